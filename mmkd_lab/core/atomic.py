"""Write a file so that a reader, or a crash, never meets half of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Write `content` at `path` atomically: a temporary file in the same folder, fsync, rename.

    The folder is made if needed. Raises `OSError` when the disk refuses; then nothing is left behind.
    """
    return _replace(Path(path), lambda partial: partial.write_bytes(content), suffix="")


def write_text(path: Path | str, content: str) -> Path:
    """Write `content` as UTF-8 at `path`, line ends as given, atomically; see `write_bytes`."""
    return write_bytes(path, content.encode())


def write_with(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Let `write(partial)` produce a file, then put it at `path` atomically.

    `partial` ends as `path` does, for writers that choose the format by the suffix.
    """
    path = Path(path)
    return _replace(path, write, suffix=path.suffix)


def _replace(path: Path, write: Callable[[Path], object], *, suffix: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.partial{suffix}")
    try:
        write(partial)
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and keeps renames in order by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
