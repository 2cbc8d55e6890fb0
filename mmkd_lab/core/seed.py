"""Seeds that do not collide: one seed a run, one stream a purpose."""

from __future__ import annotations

import hashlib


def derive(seed: int, *purpose: str) -> int:
    """A 63-bit seed for one purpose of one run, the same on every machine and version of Python.

    `derive(0, "init")` and `derive(0, "order")` are unrelated streams; both belong to seed 0.
    """
    text = "/".join((str(seed), *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
