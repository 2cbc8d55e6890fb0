"""What a test needs to meet another user's files: no permission is overlooked, and a disk can be full."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that any user reaches: pytest's own are closed to all but one."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        for place in [folder, *folder.rglob("*")]:
            place.chmod(0o777)
        shutil.rmtree(folder)


@contextmanager
def as_another_user() -> Iterator[None]:
    """Within the block root, whom no file refuses, is a user without rights; others stay who they are.

    Nothing may be imported there for the first time: root's Python may be closed to others.
    """
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Within the block no file can be longer than so many bytes, and the system says so when one would be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
