"""A header is read as it was written, or not at all; nothing in it can end in a traceback."""

import hashlib
import json
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import InputError
from compute.storage import sealed_json
from compute.storage.sealed_json import LARGEST, SEAL, read_sealed, sealed, unsealed, write_sealed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text("abcµ\"\\\n", max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def read(raw):
    return unsealed(raw, "run.json", 7, "Make the run anew")


@given(st.dictionaries(st.text("abc", max_size=4), VALUES, max_size=4))
def test_what_was_written_is_read(content):
    content = {**content, "schema_version": 7}
    assert read(sealed(content)) == content
    assert sealed({**content, SEAL: "another"}) == sealed(content)


@given(st.dictionaries(st.text("abc", max_size=4), VALUES, max_size=3), st.data())
def test_no_bit_can_be_another(content, data):
    raw = bytearray(sealed({**content, "schema_version": 7}))
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[place // 8] ^= 1 << place % 8
    with pytest.raises(InputError):
        read(bytes(raw))


def test_every_bit_counts():
    raw = sealed({"schema_version": 7, "rate": 1e-05, "name": "a", "list": [True, None, "é"]})
    for place in range(len(raw) * 8):
        other = bytearray(raw)
        other[place // 8] ^= 1 << place % 8
        with pytest.raises(InputError):
            read(bytes(other))


def test_the_seal_is_the_hash_of_the_file_without_it(tmp_path):
    write_sealed(tmp_path / "run.json", {"schema_version": 7, "name": "Øre µm"})
    raw = (tmp_path / "run.json").read_bytes()
    seal = json.loads(raw)[SEAL]
    assert hashlib.sha256(raw.replace(seal.encode(), b"")).hexdigest() == seal
    assert read_sealed(tmp_path / "run.json", "run", 7) == {"schema_version": 7, "name": "Øre µm"}


@pytest.mark.parametrize(
    "alter",
    [
        lambda raw: raw + b"\n",
        lambda raw: raw + raw,
        lambda raw: b" " + raw,
        lambda raw: raw.replace(b"7", b"7.0"),
        lambda raw: raw.replace(b'"a"', b'"a", "b": 1'),
        lambda raw: raw.replace(b'"seal"', b'"sea"'),
        lambda raw: json.dumps(json.loads(raw)).encode(),
        lambda raw: raw.upper(),
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
    ],
)
def test_other_bytes_are_refused(alter):
    with pytest.raises(InputError):
        read(alter(sealed({"schema_version": 7, "name": "a"})))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "is not a run: it has no run.json.*Check the path"),
        ("{half", "not readable JSON.*Make the run anew"),
        (b"\xff\xfe\x00", "not readable JSON"),
        ("[1, 2]", "holds no object"),
        ("{}", "schema version None"),
        ('{"schema_version": 8}', "schema version 8.*reads 7.*Make the run anew.*wrote it"),
        ('{"schema_version": "7"}', "schema version '7'"),
        ('{"schema_version": 7.0}', "schema version 7.0"),
        ('{"schema_version": true}', "schema version True"),
        ('{"schema_version": 7}', "has no seal.*Make the run anew"),
        ("[" * 100_000, "nests too deeply"),
        ('{"a":' * 100_000, "nests too deeply"),
        ('{"n": ' + "7" * 5000 + "}", "not readable JSON"),
        ('{"name": "\\ud800"}', "not readable JSON"),
    ],
)
def test_bad_json_names_the_file_and_what_to_do(tmp_path, text, match):
    path = tmp_path / "run.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=match) as caught:
        read_sealed(path, "run", 7)
    assert str(tmp_path) in str(caught.value)


def test_what_is_sealed_is_looked_at_all_the_same(tmp_path):
    path = tmp_path / "run.json"
    body = b'{\n  "schema_version": 7,\n  "name": "\\ud800",\n  '
    empty = body + b'"seal": ""\n}\n'
    digest = hashlib.sha256(empty).hexdigest().encode()
    path.write_bytes(empty.replace(b'""', b'"' + digest + b'"'))
    with pytest.raises(InputError, match="not readable JSON"):
        read_sealed(path, "run", 7)


def test_a_huge_header_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    monkeypatch.setattr(sealed_json, "unsealed", lambda *_: pytest.fail("was read"))
    with pytest.raises(InputError, match="a header has 67,108,864 at most"):
        read_sealed(path, "run", 7)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(InputError, match="is a pipe"):
        read_sealed(tmp_path / "run.json", "run", 7)


@pytest.mark.parametrize("seed", range(300))
def test_mutated_headers_never_end_in_a_traceback(seed):
    """Cut, doubled, exchanged and drawn bytes: refused, each in words."""
    draw = random.Random(seed)
    raw = bytearray(sealed({"schema_version": 7, "models": [{"name": "a", "n": 1.5}] * 3}))
    for _ in range(draw.randint(1, 4)):
        a, b = sorted(draw.randrange(len(raw) + 1) for _ in range(2))
        piece = draw.choice([b"", bytes(raw[a:b]) * 2, draw.randbytes(b - a), b"{" * 9, b"\\ud8"])
        raw[a:b] = piece
    if bytes(raw) != sealed({"schema_version": 7, "models": [{"name": "a", "n": 1.5}] * 3}):
        with pytest.raises(InputError):
            read(bytes(raw))
