"""Write a file so that a reader, or a crash, never meets half of it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STALE = 3600.0  # seconds after which a half-written file is one that a killed process left


def write_bytes(path: Path | str, content: bytes, *, replace: bool = True) -> Path:
    """Write `content` at `path` atomically; see `write_with`."""
    return write_with(path, lambda partial: partial.write_bytes(content), suffix="", replace=replace)


def write_text(path: Path | str, content: str) -> Path:
    r"""Write `content` as UTF-8 at `path`, line ends as given, atomically; see `write_with`.

    Halves of characters, as in a file name that is no UTF-8, are written as `\udcff`.
    """
    return write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_with(
    path: Path | str, write: Callable[[Path], object], *, suffix: str | None = None, replace: bool = True
) -> Path:
    """Let `write(partial)` make a file in the folder of `path`, then fsync and rename it.

    The folder is made if needed. `partial` ends in `suffix`, by default as `path` does, for writers that
    choose the format by it. Unless it may `replace`, the first of several writers wins, and the others leave
    its file as it is. When anything fails, nothing is left behind; what killed processes left here, is
    removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    partial = path.with_name(f".{uuid.uuid4().hex}.partial{path.suffix if suffix is None else suffix}")
    try:
        write(partial)
        _sync(partial, os.O_RDWR)
        partial.replace(path) if replace else _first(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name != "nt":  # Windows cannot open a folder, and keeps renames in order by itself
        _sync(path.parent, os.O_RDONLY)
    return path


def _first(partial: Path, path: Path) -> None:
    """Give the file its name, unless one has it: a link is made or refused, with nothing in between."""
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: the last writer wins
        partial.replace(path)
        return
    partial.unlink()


def _sweep(folder: Path) -> None:
    """Remove half-written files that nobody has touched for an hour."""
    for left in folder.glob(f".{'?' * 32}.partial*"):
        with suppress(OSError):  # another process was faster, or another user owns it
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
