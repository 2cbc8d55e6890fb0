"""Ways in which the files of a published set differ from what they should be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mmkd_lab import data
from mmkd_lab.core.check import LabError

HTML = b"<!DOCTYPE html><html><body>404</body></html>"
STUB = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 131\n"


def copied(fixture: Path, to: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(fixture, to / fixture.name))


def line(file: Path, number: int, **fields: object) -> None:
    """Change fields of one line of JSON, counted from 1; None takes one away."""
    lines = file.read_text("utf-8").splitlines()
    held = json.loads(lines[number - 1]) | fields
    lines[number - 1] = json.dumps({name: value for name, value in held.items() if value is not None})
    file.write_text("\n".join(lines) + "\n", "utf-8")


def held(file: Path, change: Callable[[dict], object]) -> None:
    """Change what a file of JSON holds, in place."""
    found = json.loads(file.read_text("utf-8"))
    change(found)
    file.write_text(json.dumps(found), "utf-8")


def twice(file: Path, number: int, other: Path | None = None) -> None:
    """Write a line, counted from 1, once more, at the end of this file or another."""
    text = file.read_text("utf-8").splitlines()[number - 1]
    with (other or file).open("a", encoding="utf-8") as out:
        out.write(text + "\n")


def replaced(file: Path, old: str, new: str, count: int = 1) -> None:
    """Replace text."""
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, count), "utf-8", newline="")


def cut(file: Path, share: float = 0.5) -> None:
    """Keep the first part of a file alone."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def refused(name: str, folder: Path, says: str, **options: object) -> LabError:
    """What `data.load` says of a folder; `says` is a pattern that it must match."""
    with pytest.raises(LabError, match=says) as found:
        data.load(name, root=str(folder), **options)
    return found.value


def picture(file: Path) -> tuple[str | None, str, tuple[int, int]]:
    """Format, mode and size, as Pillow has them."""
    with Image.open(file) as opened:
        opened.load()
        return opened.format, opened.mode, opened.size
