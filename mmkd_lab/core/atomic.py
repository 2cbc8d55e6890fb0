"""Write a file so that a reader, or a crash, never meets half of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Write `content` at `path` atomically; see `write_with`."""
    return write_with(path, lambda partial: partial.write_bytes(content), suffix="")


def write_text(path: Path | str, content: str) -> Path:
    """Write `content` as UTF-8 at `path`, line ends as given, atomically; see `write_with`."""
    return write_bytes(path, content.encode())


def write_with(path: Path | str, write: Callable[[Path], object], *, suffix: str | None = None) -> Path:
    """Let `write(partial)` make a file in the folder of `path`, then fsync and rename it.

    The folder is made if needed. `partial` ends in `suffix`, by default as `path` does, for writers that
    choose the format by it. When anything fails, nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.partial{path.suffix if suffix is None else suffix}")
    try:
        write(partial)
        _sync(partial, os.O_RDWR)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name != "nt":  # Windows cannot open a folder, and keeps renames in order by itself
        _sync(path.parent, os.O_RDONLY)
    return path


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
