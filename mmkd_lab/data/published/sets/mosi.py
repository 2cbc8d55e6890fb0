"""mosi: how positive is what somebody says of a film? CMU-MOSI, Zadeh et al. 2016, from -3 to 3.

Features of words, voice and face, by time, in one pickle: that of MMSA (`aligned_50.pkl`, `unaligned_50.pkl`)
or the older one of the MulT authors and of MultiBench, whose words are other vectors; its names of segments
may repeat, so that samples are called by split and row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.places import prepared_folder
from mmkd_lab.data.published import recipes
from mmkd_lab.data.published.fixtures import mosi as fixture
from mmkd_lab.data.published.pickles import PickledRow, held
from mmkd_lab.data.published.publication import Observation, Publication
from mmkd_lab.data.published.sheet import Array, Column, Sheet
from mmkd_lab.data.task import Task

FEATURES = ("text", "audio", "vision")
#: Scores rounded, as Acc-7 counts them.
SEVEN = tuple(f"{score:+d}" if score else "0" for score in range(-3, 4))
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_HOW = (
    "The features are shared by their authors through the drives that github.com/thuiar/MMSA names. Put "
    "{title}/Processed/aligned_50.pkl, or the file alone, into that folder."
)


@dataclass(frozen=True)
class FeatureSteps:
    """As `PickledRow`, with NaN and infinite numbers as 0, and with `mean` their mean over time."""

    mean: bool

    def __call__(self, key: tuple[Any, ...]) -> Array:
        """Read it. Raises `DamagedFile`."""
        found = PickledRow(clean=True)(key)
        return found.mean(axis=0) if self.mean else found


def read(folder: Path, recipe: recipes.Mosi) -> Sheet:
    """The segments, by split. Raises `DamagedFile`."""
    return sheet_of(folder, recipe, "MOSI")


def sheet_of(folder: Path, recipe: recipes.Mosi, title: str) -> Sheet:
    """The sheet of a pickle of this kind."""
    path = _found(folder, recipe, title)
    lists = _lists(path)
    said = [(part, i) for part, found in lists["id"].items() for i in range(len(found))]
    score = np.array([lists["score"][part][i] for part, i in said], dtype=np.float32)
    names = [lists["id"][part][i] for part, i in said]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DamagedFile(str(path), f"id {twice!r}", "must not occur twice")
    seven, mean = recipe.target == "seven", recipe.steps == "mean"
    odd = lists["odd"]
    return Sheet(
        ids=tuple(names),
        classes=SEVEN if seven else ("sentiment",),
        task=Task.SINGLE_LABEL if seven else Task.REGRESSION,
        target=np.clip(np.round(score), -3, 3).astype(np.int64) + 3 if seven else score[:, None],
        split=tuple(_SPLITS[part] for part, _ in said),
        group=tuple(lists["video"][part][i] for part, i in said),
        modalities={
            one: Column([(str(path), part, one, i) for part, i in said], FeatureSteps(mean))
            for one in FEATURES
        },
        layout=f"{lists['form']}: {path.name}",
        notes=tuple(
            f"{n:,} samples of {one} hold NaN or infinite numbers, now 0" for one, n in odd.items() if n
        ),
        files=(path,),
        metrics=("weighted_f1",) if seven else ("pearson", "acc_7", "acc_2", "acc_2_nonzero"),
    )


def _found(folder: Path, recipe: recipes.Mosi, title: str) -> Path:
    small = title.lower()
    aligned = recipe.form == "aligned"
    names = [f"{recipe.form}_50.pkl", f"{small}_data{'' if aligned else '_noalign'}.pkl", f"{small}_raw.pkl"]
    homes = (folder / title / "Processed", folder / "Processed", folder)
    every = [home / name for name in names[: 3 if aligned else 2] for home in homes]
    path = next((one for one in every if one.is_file()), None)
    if path is None:
        raise DamagedFile(str(every[0]), "missing", "must be there", _HOW.format(title=title))
    return path


def _lists(path: Path) -> dict[str, Any]:
    """What the pickle says beside its features, kept on disk: a large one is not read whole at every load."""
    with reading(path, "must be a pickle of features"):
        about = path.stat()
    key = digest([str(path.resolve()), about.st_size, about.st_mtime_ns])
    kept = prepared_folder() / "lists" / f"{key}.json"
    if not kept.is_file():
        write_text(kept, json.dumps(_looked_at(path)))
    found: dict[str, Any] = json.loads(kept.read_text("utf-8"))
    return found


def _looked_at(path: Path) -> dict[str, Any]:
    found = held(path)
    if not isinstance(found, Mapping) or not set(_SPLITS) <= set(found):
        shown = f"{type(found).__name__} {list(found)[:5] if isinstance(found, Mapping) else ''}"
        raise DamagedFile(str(path), shown, "must be a dictionary of train, valid and test")
    told: dict[str, Any] = {"id": {}, "video": {}, "score": {}, "odd": dict.fromkeys(FEATURES, 0)}
    widths: dict[str, tuple[int, ...]] = {}
    for part in _SPLITS:
        place, values = f"{path}: {part}", found[part]
        if not isinstance(values, Mapping):
            raise DamagedFile(place, type(values).__name__, "must be a dictionary")
        newer = "regression_labels" in values
        told["form"] = "MMSA's pickle of features" if newer else "a pickle of features of the MulT form"
        score = _member(values, "regression_labels" if newer else "labels", place)
        with reading(place, "must hold scores that are numbers"):
            score = np.asarray(score, dtype=np.float64).reshape(len(score), -1)
        with reading(f"{place}: id", "must be a list of names"):
            names = [_name(one) for one in _member(values, "id", place)]
        for one in FEATURES:
            numbers = _numbers(_member(values, one, place), f"{place}: {one}")
            widths.setdefault(one, numbers.shape[1:])
            wrong = numbers.shape != (len(names), *widths[one]) or len(widths[one]) != 2
            if wrong:
                rule = f"must be ({len(names)}, steps, numbers), the same in every split"
                raise DamagedFile(f"{place}: {one}", numbers.shape, rule)
            told["odd"][one] += int((~np.isfinite(numbers)).any(axis=(1, 2)).sum())
        _check_scores(score, len(names), place)
        told["score"][part] = score[:, 0].tolist()
        told["id"][part] = [name if newer else f"{part}/{i}" for i, (name, _) in enumerate(names)]
        told["video"][part] = [video for _, video in names]
    return told


def _member(values: Mapping[Any, Any], name: str, place: str) -> Any:  # noqa: ANN401 - what was pickled
    if name not in values:
        raise DamagedFile(place, f"without {name!r}: {list(values)}", f"must have {name!r}")
    return values[name]


def _numbers(value: object, place: str) -> Array:
    with reading(place, "must be numbers"):
        return np.asarray(value, dtype=np.float32)


def _check_scores(score: Array, count: int, place: str) -> None:
    if score.shape != (count, 1):
        raise DamagedFile(f"{place}: labels", score.shape, f"must be one score for each of {count} ids")
    bad = np.flatnonzero(~(np.abs(score[:, 0]) <= 3))
    if len(bad):
        raise DamagedFile(
            f"{place}: labels", f"{score[bad[0], 0]} in row {bad[0]}", "must lie between -3 and 3"
        )


def _name(value: Any) -> tuple[str, str]:  # noqa: ANN401 - text, bytes or a list of these
    """The name of a segment and of its video: 'video$_$clip', or a list that begins with the video."""
    parts = np.asarray(value).reshape(-1).tolist()
    text = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in parts]
    video = text[0].rpartition("$_$")[0] or text[0].partition("[")[0]
    return "_".join(text), video


def examine(prefixes: Mapping[str, str]) -> Any:  # noqa: ANN401 - see `Publication.examine`
    """A look at whether the file is the one that MMSA names, by how its SHA-256 begins."""

    def look(_: Path, recipe: recipes.Mosi, sheet: Sheet) -> Iterator[Observation]:
        import hashlib

        (file,) = sheet.files
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        same = found.startswith(prefixes[recipe.form])
        named = f"MMSA's {recipe.form}_50.pkl begins {prefixes[recipe.form]}"
        yield Observation("ok" if same else "note", "sha256", f"{found[:8]}...; {named}")

    return look


PUBLICATION = Publication(
    name="mosi",
    title="CMU-MOSI",
    licence="none stated for the features; the videos belong to their makers",
    citation="Zadeh, Zellers, Pincus, Morency: MOSI, 2016; features of Yu, Xu, Yuan, Wu (MMSA), AAAI 2021",
    home="https://github.com/thuiar/MMSA",
    read=read,
    fixture=fixture.write,
    how=_HOW.format(title="MOSI"),
    expected={"train": 1284, "val": 229, "test": 686},
    examine=examine({"aligned": "d3994fd2", "unaligned": "78e0f8b5"}),
)
build = PUBLICATION.build
