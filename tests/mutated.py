"""Seeded ways in which the bytes of a file become others."""

import random

PIECES = (
    b"", b"[", b"]]", b'"', b"=", b"'''", b"\n[a]\n", b"\x00", b"\xff", b"9" * 400, b"1e999",
    b"nan", b"-1", b"true", b"{}", b'"\\ud800"', b"../../x", b"a" * 70_000,
)  # fmt: skip


def mutated(raw: bytes, draw: random.Random, reach: int) -> bytes:
    """Exchange, insert, double or cut some bytes among the first."""
    found = bytearray(raw)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(min(reach, len(found)) or 1)
        to = min(len(found), at + draw.choice([0, 1, 1, 4, 30]))
        kind = draw.randrange(5)
        if kind == 0:
            found[at:to] = draw.choice(PIECES)
        elif kind == 1:
            found[at : at + 1] = bytes([found[at] ^ 1 << draw.randrange(8)]) if found else b""
        elif kind == 2:
            found[at:at] = found[at:to]
        elif kind == 3:
            del found[at:to]
        else:
            found[at:to] = draw.randbytes(to - at)
    return bytes(found[: draw.randrange(len(found) + 1)] if draw.random() < 0.1 else found)
