"""Who may read, from the secrets: whatever is misspelt is an error, so that nothing opens by it."""

import os
import random
import re
from pathlib import Path

import pytest

from compute.errors import InputError
from dashboard.server.sign_in import SignIn, read
from tests.mutated import mutated

SECRET = "a secret of this test"
AUTH = f"""[auth]
redirect_uri = "http://localhost/oauth2callback"
cookie_secret = "{SECRET}"
client_id = "bystander"
client_secret = "hidden"
server_metadata_url = "http://localhost/.well-known/openid-configuration"
"""
ACCESS = '[access]\nemails = ["*@lab.org"]\n'
ON = SignIn(True, None, SECRET)

MISTAKES = {
    "a typo": AUTH.replace("[auth]", "[auth"),
    "a double key": AUTH + 'client_id = "again"\n',
    "a double section": AUTH + ACCESS + ACCESS,
    "a bad escape": AUTH + 'expose_tokens = "\\q"\n',
    "a text that does not end": AUTH + 'expose_tokens = "id\n',
    "a byte-order mark": "\ufeff" + AUTH,
    "a mark before nothing": "\ufeff",
    "nonsense": "sign in please\n",
    "nested too deeply": "a = " + "[" * 5000,
    "a number of many digits": "auth = " + "1" * 5000,
    "[Auth]": AUTH.replace("[auth]", "[Auth]"),
    "[auht]": AUTH.replace("[auth]", "[auht]"),
    "[[auth]]": AUTH.replace("[auth]", "[[auth]]"),
    "[auth ] in a name": AUTH.replace("[auth]", '["auth "]'),
    "[access.auth]": AUTH.replace("[auth]", "[access.auth]"),
    "no section at all": AUTH.replace("[auth]\n", ""),
    "a dotted key": "auth.enabled = true\n",
    "empty [auth]": "[auth]\n",
    "auth = true": "auth = true\n",
    "auth = false": "auth = false\n",
    "auth is a text": 'auth = "on"\n',
    "auth is empty": 'auth = ""\n',
    "access without auth": ACCESS,
    "empty access": AUTH + "[access]\n",
    "access is a list": 'access = ["*@lab.org"]\n' + AUTH,
    "emails is a text": AUTH + '[access]\nemails = "*@lab.org"\n',
    "emails is a table": AUTH + "[access.emails]\nada = true\n",
    "emails is a number": AUTH + "[access]\nemails = 1\n",
    "emails is true": AUTH + "[access]\nemails = true\n",
    "emails holds no texts": AUTH + "[access]\nemails = [1]\n",
    "emails holds lists": AUTH + '[access]\nemails = [["*@lab.org"]]\n',
    "emails holds an empty text": AUTH + '[access]\nemails = [""]\n',
    "email": AUTH + '[access]\nemail = ["*@lab.org"]\n',
    "Emails": AUTH + '[access]\nEmails = ["*@lab.org"]\n',
    "two spellings": AUTH + ACCESS + 'email = ["*"]\n',
    "[acces]": AUTH + ACCESS.replace("access", "acces"),
    "[Access]": AUTH + ACCESS.replace("access", "Access"),
    "[[access]]": AUTH + ACCESS.replace("[access]", "[[access]]"),
    "emails below [auth]": AUTH + 'emails = ["*@lab.org"]\n',
    "emails before all": 'emails = ["*@lab.org"]\n' + AUTH,
    "[auth.access]": AUTH + ACCESS.replace("access", "auth.access"),
    "emails in client_kwargs": AUTH + '[auth.client_kwargs]\nemails = ["*@lab.org"]\n',
    "emails of a provider": AUTH + '[auth.google]\nclient_id = "x"\nemails = ["*@lab.org"]\n',
    "emails of a connection": AUTH + '[connections.x]\nurl = "x"\nemails = ["*@lab.org"]\n',
    "another app's secrets": AUTH + "[other]\nkey = 1\n",
    "an unknown key": AUTH + "enabled = false\n",
    "no cookie secret": AUTH.replace("cookie_secret", "cookie_secert"),
    "an empty cookie secret": AUTH.replace(SECRET, ""),
    "a short cookie secret": AUTH.replace(SECRET, "…"),
    "a cookie secret of spaces": AUTH.replace(SECRET, " " * 40),
    "a number as cookie secret": AUTH.replace(f'"{SECRET}"', "1234567890123456789"),
    "no client": "\n".join(AUTH.splitlines()[:3]),
    "an empty client": AUTH.replace('"bystander"', '""'),
    "nobody's provider": "\n".join(AUTH.splitlines()[:3]) + "\n[auth.google]\nclient_id = 'x'\n",
}


@pytest.fixture
def secrets(tmp_path):
    return tmp_path / ".streamlit" / "secrets.toml"


def write(path: Path, text: str | bytes) -> list[str]:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(path)]


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_opens_nothing(secrets, text):
    with pytest.raises(InputError, match=re.escape("secrets.toml")) as caught:
        read(write(secrets, text))
    assert caught.value.remedy
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_one_place_is_not_covered_by_another(secrets, tmp_path, text):
    if text == ACCESS:  # a list in one file and [auth] in another are a whole configuration
        return
    good = write(tmp_path / "good.toml", AUTH)
    wrong = write(secrets, text)
    for places in (good + wrong, wrong + good):
        with pytest.raises(InputError):
            read(places)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (AUTH.replace("[auth]", "[auht]"), 1),
        (AUTH + 'client_id = "again"\n', 7),
        (AUTH + '[access]\nemails = "*@lab.org"\n', 8),
        (AUTH + '[access]\nemail = ["*@lab.org"]\n', 8),
        (AUTH + "[acces]\n", 7),
        (AUTH + 'emails = ["*@lab.org"]\n', 7),
        (AUTH.encode() + b"# \xe9\n", 7),
        ("\ufeff" + AUTH, 1),
    ],
)
def test_the_line_is_named(secrets, text, line):
    with pytest.raises(InputError, match=f"line {line}\\b"):
        read(write(secrets, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SignIn()),
        ("# nothing yet\n", SignIn()),
        ('[connections.x]\nurl = "sqlite://"\n', SignIn()),
        (AUTH, ON),
        (AUTH.replace("\n", "\r\n"), ON),
        (AUTH + "expose_tokens = ['id']\n[auth.client_kwargs]\nprompt = 'login'\n", ON),
        (AUTH + "[auth.google]\nclient_id = 'x'\nauthorize_params = { hd = 'x' }\n", ON),
        (
            "\n".join(AUTH.splitlines()[:3])
            + "\n[auth.default]\n"
            + "\n".join(AUTH.splitlines()[3:]),
            ON,
        ),
        (ACCESS + AUTH, SignIn(True, ("*@lab.org",), SECRET)),
        (AUTH + "[access]\nemails = []\n", SignIn(True, (), SECRET)),
    ],
)
def test_what_streamlit_allows_is_understood(secrets, text, expected):
    assert read(write(secrets, text)) == expected


def test_sections_of_later_places_replace_earlier_ones(secrets, tmp_path):
    first = write(tmp_path / "first.toml", AUTH + '[access]\nemails = ["*"]\n')
    later = write(secrets, ACCESS)
    assert read([*first, *later, str(tmp_path / "none.toml")]).readers == ("*@lab.org",)
    assert read(later + first).readers == ("*",)


def test_nothing_there_is_open_unless_someone_named_it(tmp_path):
    place = str(tmp_path / ".streamlit" / "secrets.toml")
    assert read([place]) == SignIn()
    with pytest.raises(InputError, match="is not there"):
        read([place], named=True)


def test_what_is_there_and_no_file_is_an_error(secrets):
    places = [str(secrets)]
    secrets.mkdir(parents=True)
    with pytest.raises(InputError, match="no file"):
        read(places)
    secrets.rmdir()
    secrets.symlink_to("nowhere.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read(places)
    secrets.unlink()
    secrets.parent.rmdir()
    secrets.parent.symlink_to("nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read(places)
    secrets.parent.unlink()
    secrets.parent.write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        read(places)


def test_what_may_not_be_read_is_an_error(secrets, monkeypatch):
    places = write(secrets, AUTH)
    secrets.chmod(0)
    if os.access(secrets, os.R_OK):  # to the superuser every file is open

        def refuse(*_args, **_options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        read(places)


def mount(folder: Path, **sections) -> list[str]:
    """Write secrets as Kubernetes mounts them."""
    for name, values in sections.items():
        (folder / name).mkdir(parents=True)
        for key, value in values.items():
            (folder / name / key).write_text(value + "\n")
    return [str(folder)]


def test_a_folder_of_secrets(tmp_path):
    values = {
        "redirect_uri": "http://localhost/oauth2callback", "cookie_secret": SECRET,
        "client_id": "x", "client_secret": "x", "server_metadata_url": "http://localhost",
    }  # fmt: skip
    folder = tmp_path / "mounted"
    places = mount(folder, auth=values)
    (folder / "..data").mkdir()
    assert read(places, named=True) == ON
    listed = write(tmp_path / "readers.toml", ACCESS)
    assert read(places + listed, named=True).readers == ("*@lab.org",)
    mount(folder, access={"emails": "*@lab.org"})
    with pytest.raises(InputError, match="access"):
        read(places)


@pytest.mark.parametrize("name", ["auht", "Auth", "auth"])
def test_a_mistake_in_a_folder_of_secrets(tmp_path, name):
    with pytest.raises(InputError, match="mounted"):
        read(mount(tmp_path / "mounted", **{name: {"cookie_secret": SECRET, "client_id": "x"}}))


def test_a_folder_that_holds_no_secrets(tmp_path):
    (tmp_path / "auth.txt").write_text("on")
    with pytest.raises(InputError, match="cannot be read"):
        read([str(tmp_path)])
    with pytest.raises(InputError, match="is not there"):
        read([str(tmp_path / "nowhere")], named=True)


READER = {"is_logged_in": True, "email": "Ada@lab.org"}


@pytest.mark.parametrize(
    ("emails", "user", "expected"),
    [
        (("ada@lab.org",), {}, True),
        (("*@lab.org",), {}, True),
        (("*@lab.org",), {"email": "ada@lab.org.evil.com"}, False),
        (("*@lab.org",), {"email": None}, False),
        (("*",), {"email": ""}, False),
        (("*",), {"email": ["ada@lab.org"]}, False),
        ((), {}, False),
        (("*@lab.org",), {"is_logged_in": "yes"}, False),
        (("*@lab.org",), {"is_logged_in": 1}, False),
        (None, {"email": None}, True),
        (None, {"is_logged_in": None}, False),
        *((("*@lab.org",), {"email_verified": yes}, True) for yes in (True, "true", "True", 1)),
        *(
            (("*@lab.org",), {"email_verified": no}, False)
            for no in (False, "false", "False", 0, "0", "no", "", " ", None, [], {}, 0.0, "off")
        ),
    ],
)
def test_a_list_of_readers_is_kept_to(emails, user, expected):
    assert SignIn(True, emails, SECRET).admits(READER | user) is expected


def test_it_is_said_who_may_read():
    assert "off: whoever" in str(SignIn())
    assert "on: anyone with an account" in str(ON)
    assert "(1 pattern)" in str(SignIn(True, ("a",), SECRET))
    assert "(2 patterns)" in str(SignIn(True, ("a", "b"), SECRET))
    assert SECRET not in repr(ON)


@pytest.mark.parametrize("seed", range(300))
def test_mutated_secrets_open_nothing(tmp_path, seed):
    """Refused, or sign-in is asked for all the same."""
    path, whole = tmp_path / "secrets.toml", (AUTH + ACCESS).encode()
    raw = mutated(whole, random.Random(f"secrets {seed}"), len(whole))
    if not raw.strip():
        pytest.skip("nothing is left of the file")
    path.write_bytes(raw)
    try:
        rules = read([str(path)], named=True)
    except InputError as error:
        assert "secrets.toml" in str(error)  # noqa: PT017 - either way is right
        return
    assert rules.required
    assert not rules.admits({})
    if b'["*@lab.org"]' in raw:
        stranger = {"is_logged_in": True, "email": "eve@elsewhere.org", "email_verified": True}
        assert not rules.admits(stranger)
