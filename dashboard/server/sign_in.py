"""Who may read, as Streamlit's secrets say: closed unless understood. Plain files, no Streamlit.

Streamlit itself takes a secrets file that it cannot parse for one that is not there, and hands on
whatever keys it finds. Here every file is read anew, and a mistake in one is an error, never a
door that stands open.
"""

import fnmatch
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.errors import InputError, unknown_value

SECTIONS = ("auth", "access", "connections")
"""Sections that the secrets may have; the last is Streamlit's own, for databases."""

CLIENT = ("client_id", "client_secret", "server_metadata_url")
"""Keys that Streamlit refuses a provider without."""

AUTH = ("redirect_uri", "cookie_secret", *CLIENT, "client_kwargs", "expose_tokens")
"""Keys of ``[auth]`` that Streamlit 1.67 reads."""

PROVIDER = (
    *(*CLIENT, "client_kwargs", "expose_tokens", "api_base_url"),
    *(
        f"{step}_{part}"
        for step in ("request_token", "access_token", "refresh_token", "authorize")
        for part in ("url", "params")
    ),
)
"""Keys of ``[auth.NAME]``: those of authlib's ``OAUTH_CLIENT_PARAMS``."""

SHORTEST_SECRET = 16
"""Characters of a cookie secret; whoever guesses it can sign a cookie."""

VERIFIED = ("true", "1", "yes")
"""What a provider may say of an address that it has verified; anything else refuses."""

Where = Callable[[str], str]


@dataclass(frozen=True)
class SignIn:
    """Who may read.

    Parameters
    ----------
    required
        Whether readers have to sign in.
    readers
        Patterns of addresses (``ada@lab.org``, ``*@lab.org``); None for everyone who signs in.
    cookie_secret
        What the cookie of a reader is signed with.
    """

    required: bool = False
    readers: tuple[str, ...] | None = None
    cookie_secret: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Say it in a sentence."""
        if not self.required:
            return "Sign-in is off: whoever reaches this address can read."
        if self.readers is None:
            return "Sign-in is on: anyone with an account at the provider can read."
        count = len(self.readers)
        return f"Sign-in is on: readers on the list ({count} pattern{'' if count == 1 else 's'})."

    def admits(self, user: Mapping[str, Any]) -> bool:
        """Whether a reader may see the runs.

        Parameters
        ----------
        user
            Claims of the identity provider, and ``is_logged_in``. Where there is a list, the
            address must be on it; an ``email_verified`` that is there must say yes.
        """
        if not self.required:
            return True
        if user.get("is_logged_in") is not True:
            return False
        if self.readers is None:
            return True
        mail = user.get("email")
        if not isinstance(mail, str) or not mail:
            return False
        if str(user.get("email_verified", True)).strip().lower() not in VERIFIED:
            return False
        return any(fnmatch.fnmatchcase(mail.lower(), item.lower()) for item in self.readers)


def read(places: Sequence[str], *, named: bool = False) -> SignIn:
    """Read who may read from the places where Streamlit looks for secrets.

    Parameters
    ----------
    places
        Files that end in ``.toml`` and folders of secrets; a section of a later one replaces that
        of an earlier one, as in Streamlit.
    named
        Whether someone chose these places. One that is not there is then an error; otherwise it
        has nothing to say.

    Returns
    -------
    SignIn
        Not required where no place has ``[auth]``.

    Raises
    ------
    InputError
        A place is there and not understood; names the file, the line, and the way out.
    """
    sections: dict[str, Any] = {}
    for place in places:
        path = Path(place)
        try:
            if not _there(path):
                if named:
                    raise InputError(
                        f"{path}, where the secrets should be, is not there.",
                        "Mend the setting secrets.files, or make the file.",
                    )
            elif place.endswith(".toml"):
                sections |= _from_file(path)
            else:
                sections |= _from_folder(path)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror or error}.",
                "Give the server's user the right to read it, or take it away.",
            ) from error
    auth, access = sections.get("auth"), sections.get("access")
    if auth is None:
        if access is not None:
            raise InputError(
                f"{', '.join(places)}: there is a list of readers, [access], but no [auth].",
                "Add [auth], or take [access] out.",
            )
        return SignIn()
    readers = None if access is None else tuple(access["emails"])
    return SignIn(True, readers, auth["cookie_secret"])


def _there(path: Path) -> bool:
    """Whether something is there, if only a link that leads nowhere."""
    try:
        path.stat()
    except FileNotFoundError:
        return any(part.is_symlink() and not part.exists() for part in (path, path.parent))
    return True


def _from_file(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file.", "Put a file in its place, or take it away.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8.", "Save the file as UTF-8, then start again."
        ) from None
    if text.startswith("\ufeff"):
        raise InputError(
            f"{path}, line 1: a byte-order mark stands before the first letter.",
            "Save the file as UTF-8 without it, then start again.",
        )
    try:
        sections = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not understood: {error}.", "Mend that line, then start again."
        ) from None

    def where(name: str) -> str:
        start = re.compile(rf"\s*\[?\s*(\w+\s*\.\s*)*[\"']?{re.escape(name)}\b")
        lines = enumerate(text.splitlines(), 1)
        return next((f"{path}, line {n}" for n, line in lines if start.match(line)), str(path))

    _check(sections, where)
    return sections


def _from_folder(path: Path) -> dict[str, Any]:
    """Read a folder of secrets as Kubernetes mounts it: FOLDER/SECTION/KEY holds a value."""
    sections: dict[str, Any] = {}
    for folder in path.iterdir():
        if folder.name.startswith(".."):  # Kubernetes' own links to what is current
            continue
        try:
            values = {
                item.name: item.read_text(encoding="utf-8").strip()
                for item in folder.iterdir()
                if not item.is_dir()
            }
        except UnicodeDecodeError:
            raise InputError(f"A secret in {folder} is not UTF-8.", "Write it anew.") from None
        # Streamlit takes a folder with one file for that file's value.
        sections[folder.name] = next(iter(values.values())) if len(values) == 1 else values
    _check(sections, lambda name: f"{path}, {name}")
    return sections


def _check(sections: Mapping[str, Any], where: Where) -> None:
    """Refuse what is no part of the sign-in configuration, and what lacks one."""
    _known(sections, SECTIONS, "section", where)
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise InputError(
                f"{where(name)}: {name} is no section.", f"Begin one with a line [{name}]."
            )
    if "auth" in sections:
        _check_auth(sections["auth"], where)
    if "access" in sections:
        _check_access(sections["access"], where)
    if _holds(sections.get("connections"), "emails"):
        raise _misplaced(where)


def _check_auth(auth: Mapping[str, Any], where: Where) -> None:
    providers = {
        name: value
        for name, value in auth.items()
        if isinstance(value, dict) and name != "client_kwargs"
    }
    if "emails" in auth or _holds(auth.get("client_kwargs"), "emails"):
        raise _misplaced(where)
    _known(auth.keys() - providers.keys(), AUTH, "key of [auth]", where)
    for name, provider in providers.items():
        if "emails" in provider or _holds(provider.get("client_kwargs"), "emails"):
            raise _misplaced(where)
        _known(provider, PROVIDER, f"key of [auth.{name}]", where)
    needed = {"redirect_uri": auth, "cookie_secret": auth}
    needed |= dict.fromkeys(CLIENT, providers.get("default", auth))
    for key, section in needed.items():
        value = section.get(key)
        if not isinstance(value, str) or not value.strip():
            raise InputError(
                f"{where(key if key in section else 'auth')}: [auth] needs {key}, a text.",
                "docs/deploy.md shows a whole section; without [auth] nobody has to sign in.",
            )
    if len(auth["cookie_secret"].strip()) < SHORTEST_SECRET:
        raise InputError(
            f"{where('cookie_secret')}: cookie_secret has fewer than {SHORTEST_SECRET} characters, "
            "so it could be guessed.",
            'Make one: python3 -c "import secrets; print(secrets.token_hex(32))".',
        )


def _check_access(access: Mapping[str, Any], where: Where) -> None:
    _known(access, ("emails",), "key of [access]", where)
    emails = access.get("emails")
    if not isinstance(emails, list) or not all(isinstance(one, str) and one for one in emails):
        raise InputError(
            f"{where('emails' if 'emails' in access else 'access')}: emails is "
            f"{emails!r}, not a list of texts.",
            'Write emails = ["ada@lab.org", "*@group.org"]; leave [access] out for everyone who '
            "can sign in.",
        )


def _known(names: Collection[str], allowed: Sequence[str], kind: str, where: Where) -> None:
    for name in names:
        if name == "emails" and name not in allowed:
            raise _misplaced(where)
        if name not in allowed:
            error = unknown_value(f"{kind} in {where(name)}:", name, allowed)
            raise InputError(
                error.problem,
                f"{error.remedy} Where these are another app's secrets, give the dashboard a file "
                "of its own: STREAMLIT_SECRETS_FILES=FILE.toml.",
            )


def _holds(value: Any, name: str) -> bool:
    """Whether a section, or one within it, has a key."""
    return isinstance(value, dict) and (
        name in value or any(_holds(inner, name) for inner in value.values())
    )


def _misplaced(where: Where) -> InputError:
    return InputError(
        f"{where('emails')}: the list of readers, emails, stands outside [access].",
        "Write a line [access] before it.",
    )
