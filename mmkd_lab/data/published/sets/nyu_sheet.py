"""What every form of NYU Depth V2 has in common: frames, their readers, and the sheet of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmkd_lab.core.check import LabError
from mmkd_lab.data.published.recipes import NyuDepthV2
from mmkd_lab.data.published.sets.nyu_labels import NAMES
from mmkd_lab.data.published.sheet import Column, ItemReader, Sheet, whole_groups
from mmkd_lab.data.task import Task


@dataclass(frozen=True)
class Frame:
    """One frame: its number from 1, its split, and its scene where that is known."""

    number: int
    split: str
    scene: str = ""


@dataclass(frozen=True)
class Readers:
    """What reads a picture, a depth map and a label map."""

    image: ItemReader
    depth: ItemReader
    labels: ItemReader


def neighbours(i: int) -> str:
    """A group of frame i where scenes are not named: frames of one scene follow one another, three or so."""
    return f"frames from {5 * (i // 5) + 1}"


def filled(recipe: NyuDepthV2, whose: str) -> None:
    """Raise `LabError` where raw depth is asked of a form that lacks it."""
    if recipe.depth != "filled":
        raise LabError("depth", recipe.depth, f"must be 'filled': {whose} form has no raw depth")


def sheet_of(
    frames: Sequence[Frame], keys: tuple[Sequence[Any], ...], readers: Readers, recipe: NyuDepthV2
) -> Sheet:
    """The sheet of frames; keys of their pictures, depths and labels."""
    split = tuple(one.split for one in frames)
    group, note = whole_groups([one.scene for one in frames], split)
    return Sheet(
        ids=tuple(str(one.number) for one in frames),
        classes=NAMES[recipe.labels],
        task=Task.DENSE,
        target=Column(keys[2], readers.labels),
        split=split,
        modalities={"rgb": Column(keys[0], readers.image), "depth": Column(keys[1], readers.depth)},
        group=group,
        notes=(note,),
    )


def told(
    sheet: Sheet,
    layout: str,
    notes: tuple[str, ...],
    files: tuple[Path, ...],
    missing: tuple[str, ...] = (),
) -> Sheet:
    """The sheet with its form, and more to say."""
    notes = tuple(filter(None, (*sheet.notes, *notes)))
    return replace(sheet, layout=layout, notes=notes, files=files, missing=sheet.missing + missing)
