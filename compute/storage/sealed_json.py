"""Headers of folders as sealed JSON: refused unless every byte is as it was written. No torch.

Layer: reads and writes one file. `store.json`, `run.json` and `export.json` decide what every table
beside them means, and nothing else has their checksum. So each ends in its own seal, the SHA-256 of
the file with that seal left empty, and is read by one door: size, seal, depth, numbers and texts
are looked at here, and what is behind it may trust them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compute.errors import InputError
from compute.storage.atomic_files import writing
from compute.storage.regular_files import refuse_special

SEAL = "seal"
"""The last entry of a sealed object."""

LARGEST = 64 * 2**20
"""Bytes of a header at most; that of a million cells has some hundred thousand."""

_EMPTY = b'"' + SEAL.encode() + b'": ""\n}\n'
_TAIL = re.compile(rb'"' + SEAL.encode() + rb'": "([0-9a-f]{64})"\n\}\n\Z')
_TAIL_LENGTH = len(_EMPTY) + 64


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with its seal.

    Parameters
    ----------
    path
        The file.
    content
        What JSON holds; a `seal` in it is replaced.

    Raises
    ------
    DiskError
        See `compute.storage.atomic_files.writing`.
    """
    raw = sealed(content)
    with writing(path) as temporary:
        temporary.write_bytes(raw)


def sealed(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as bytes that end in their seal; a `seal` in it is replaced."""
    empty = {**{key: value for key, value in content.items() if key != SEAL}, SEAL: ""}
    raw = (json.dumps(empty, indent=2, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(raw).hexdigest().encode()
    return raw.removesuffix(_EMPTY) + _EMPTY.replace(b'""', b'"' + digest + b'"')


def read_sealed(path: Path, what: str, reads: int, again: str = "") -> dict[str, Any]:
    """Read a sealed JSON object and check its schema version.

    Parameters
    ----------
    path
        `store.json` or `run.json`.
    what
        What its folder is, for messages: ``"crop store"`` or ``"run"``.
    reads
        The schema version that can be read.
    again
        What to do about a file that cannot be used; by default, to make the folder anew.

    Returns
    -------
    dict
        Its content, without the seal.

    Raises
    ------
    InputError
        The file is missing, too large, not JSON, of another schema version, or not as it was
        written.
    """
    again = again or f"Make the {what} anew"
    refuse_special(path)
    if not path.is_file():
        raise InputError(
            f"{path.parent} is not a {what}: it has no {path.name}.",
            "Check the path, or that the command that makes it has finished.",
        )
    size = path.stat().st_size
    if size > LARGEST:
        raise InputError(
            f"{path} has {size:,} bytes; a header has {LARGEST:,} at most.", f"{again}."
        )
    return unsealed(path.read_bytes(), str(path), reads, again)


def unsealed(raw: bytes, path: str, reads: int, again: str) -> dict[str, Any]:
    """Check the bytes of a sealed JSON object and return its content, without the seal.

    Parameters
    ----------
    raw
        The bytes.
    path
        Where they are from, for messages.
    reads, again
        See `read_sealed`.

    Raises
    ------
    InputError
        See `read_sealed`.
    """
    # An older or a newer header is told as one, sealed or not: its version says more than its seal.
    content = _parsed(raw, path, again)
    version = content.get("schema_version")
    if type(version) is not int or version != reads:
        raise InputError(
            f"{path} has schema version {version!r}; this version of Bystander reads {reads}.",
            f"{again}, or use the version of Bystander that wrote it.",
        )
    found = _TAIL.search(raw[-_TAIL_LENGTH:])
    if found is None:
        raise InputError(
            f"{path} has no seal: it was altered after it was written, or by an earlier version "
            "of Bystander.",
            f"{again}.",
        )
    if hashlib.sha256(raw[:-_TAIL_LENGTH] + _EMPTY).hexdigest() != found[1].decode():
        raise InputError(f"{path} was altered after it was written.", f"{again}.")
    del content[SEAL]
    return content


def _parsed(raw: bytes, path: str, again: str) -> dict[str, Any]:
    """Parse JSON; refuse what is no object, nests too deeply or holds what no text can."""
    try:
        content = json.loads(raw.decode())
        if b"\\u" in raw:  # half a pair of surrogates is no character, and fails where it is shown
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError as error:
        raise InputError(f"{path} is not readable JSON: it nests too deeply.", f"{again}.") from (
            error
        )
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON: {str(error)[:200]}.", f"{again}.") from (
            error
        )
    if not isinstance(content, dict):
        raise InputError(f"{path} is not readable JSON: it holds no object.", f"{again}.")
    return content
