"""Standard output that has fewer letters than the lab's sentences."""

from __future__ import annotations

import sys
from contextlib import suppress


def accept_every_letter() -> None:
    r"""Let a stream that is no Unicode show `\u2212` for a minus sign that it lacks.

    By default Python ends a program there, be it after hours of work.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # a notebook's streams, or closed ones
            if stream.errors == "strict" and not stream.encoding.lower().startswith("utf"):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
