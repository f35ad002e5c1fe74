"""What `store.json` and `run.json` hold: kinds of their entries, looked at once, by one door.

Layer: plain values in, errors out. A header that passes may be trusted to hold what its readers
take from it, of the kind that they take it for; entries that no reader looks into are not listed.
"""

import re
from collections.abc import Mapping
from typing import Any

from compute.errors import InputError

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")
"""Names that become part of a file's name: no separator, no hidden file, nothing else to expand."""

DIGEST = re.compile(r"[0-9a-f]{64}\Z")

IN_A_PATH = re.compile(r"[^./\\\x00][^/\\\x00]{0,199}\Z")
"""Names of models, which are part of a folder's name, however else they are written."""

_CARD = {"name": str, "channels": [str], "layer": str, "pooling": str, "sha256": str}

_OWN = {"classes": [str], "head_classes": int, "mapped": int}

_MODEL = {
    "name": IN_A_PATH, "hash": str, "card": _CARD, "reads": str, "head": str,
    "own": _OWN, "baseline": str,
}  # fmt: skip

_COUNTS = {"cells": int, "windows": int, "usable": int, "flags": {"*": int}}

RUN_HEADER: Mapping[str, Any] = {
    "status": str, "bystander_version": str, "created": str, "finished": str, "name": str,
    "kind": str, "simulated": bool, "command": str, "fingerprint": str, "checksums": DIGEST,
    "header": {}, "localizations": [str], "conditions": [str], "protocols": [str],
    "models": [_MODEL], "rejections": [{}], "failures": [{}],
    "versions": {}, "timings": {}, "counts": {},
    "tables": {PLAIN: DIGEST}, "added": {PLAIN: DIGEST}, "unwanted": [PLAIN], "made_again": [str],
    "configuration": {"plan": {}, "embed": {}, "bootstrap": {}, "probes": [str]},
    "checks": {},
    "store": {
        "path": str, "fingerprint": str, "source": {}, "channels": [str], "size": int,
        "dtype": str, "counts": {}, "rejections": [{}],
    },
}  # fmt: skip
"""Kinds of the entries of `run.json`, where they are there.

A kind is a type, a pattern that a text matches, a list of one kind, or entries of a mapping by
name: ``*``, or a pattern, stands for all that are not named.
"""

STORE_HEADER: Mapping[str, Any] = {
    "fingerprint": PLAIN, "channels": [str], "size": int, "dtype": PLAIN, "localizations": [str],
    "source": {"kind": str, "simulated": bool, "notes": [str]}, "counts": _COUNTS,
    "files": [{"table": str, "file": PLAIN, "rows": int, "sha256": DIGEST}],
    "rejections": [{"reason": str, "count": int}],
}  # fmt: skip
"""The same of `store.json`."""

STORE_NEEDS = ("fingerprint", "channels", "size", "dtype", "localizations", "source", "counts",
               "files")  # fmt: skip
"""Entries without which a store cannot be read."""

_WORDS = {
    str: "text", int: "a whole number", bool: "true or false", PLAIN: "a plain name",
    IN_A_PATH: "a name without a slash", DIGEST: "a SHA-256",
}  # fmt: skip


def check_header(
    content: Mapping[str, Any], kinds: Mapping[Any, Any], path: str, again: str
) -> None:
    """Refuse a header that holds something of another kind.

    Parameters
    ----------
    content
        The header.
    kinds
        `RUN_HEADER` or `STORE_HEADER`.
    path
        Where it is from, for messages.
    again
        What to do about it.

    Raises
    ------
    InputError
        Names the entry, what it holds, and what it should.
    """
    for place, value, kind in _wrong(content, kinds, ""):
        raise InputError(f"{path}: {place} is {value!r:.80}, not {kind}.", again)


def _wrong(value: Any, kind: Any, place: str) -> list[tuple[str, Any, str]]:
    """Return the first entry that is of another kind: its place, its value, and the kind."""
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            return [(place, value, "a mapping")]
        rest = next(((key, kind[key]) for key in kind if key == "*" or key is PLAIN), None)
        for name, item in value.items():
            where = f"{place}.{name}" if place else str(name)
            if name in kind:
                wrong = _wrong(item, kind[name], where)
            elif rest is not None:
                wrong = _wrong(name, PLAIN, where) if rest[0] is PLAIN else []
                wrong = wrong or _wrong(item, rest[1], where)
            else:
                wrong = []
            if wrong:
                return wrong
        return []
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [(place, value, "a list")]
        for number, item in enumerate(value):
            if wrong := _wrong(item, kind[0], f"{place}.{number}"):
                return wrong
        return []
    if isinstance(kind, re.Pattern):
        fits = isinstance(value, str) and kind.match(value) is not None
    else:
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return [] if fits else [(place, value, _WORDS[kind])]
