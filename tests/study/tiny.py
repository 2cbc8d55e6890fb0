"""Small paired data that trains in a second, and the studies on it."""

from __future__ import annotations

from pathlib import Path

import torch

from mmkd_lab.attribution import Joint
from mmkd_lab.core import atomic
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import failure_cases, repair_teachers, rival_hypotheses
from mmkd_lab.study.repair import RepairStudy
from mmkd_lab.training.device import threads
from mmkd_lab.training.recipe import Recipe

SIZES = {"train": 60, "val": 24, "test": 30}


def paired(kind="vectors", *, classes=3, seed=0, modalities=("a", "b"), without=()):
    """Every modality holds the class's own pattern in noise; 'a' more clearly than the rest."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(SIZES.values())
    target = torch.arange(n) % classes
    shape = (6,) if kind == "vectors" else (1, 8, 8)
    values = {}
    for i, name in enumerate(modalities):
        patterns = torch.randn(classes, *shape, generator=generator)
        values[name] = patterns[target] + (0.8 + i) * torch.randn(n, *shape, generator=generator)
    ends = torch.tensor([0, *SIZES.values()]).cumsum(0).tolist()
    splits = {name: torch.arange(ends[i], ends[i + 1]) for i, name in enumerate(SIZES) if name not in without}
    return PairedData(
        name=f"tiny_{kind}",
        modalities=values,
        target=target,
        splits=splits,
        classes=tuple("xyzuvw"[:classes]),
    )


SPEC = NetSpec(width=2, features=4)
TEACHER = NetSpec(width=4, features=8)
RECIPE = Recipe(epochs=3, min_steps=2, batch_size=16, lr=0.01)


def _settings(store: Path | str, /, **options):
    return {
        "student": "b",
        "seeds": range(2),
        "student_model": SPEC,
        "teacher_model": TEACHER,
        "recipe": RECIPE,
        "store": ResultStore(store),
        "device": "cpu",
        "progress": False,
        **options,
    }


def study(store: Path | str, /, *, kind="vectors", data=None, **options) -> Study:
    return failure_cases(data or paired(kind), **_settings(store, **options))


def repair(store: Path | str, /, data=None, *, kind="vectors", **options) -> RepairStudy:
    asked = {"ratios": (0.25, 0.5), "draws": 2, "truth": [0, 5], "joint": Joint(epochs=3, batch_size=16)}
    return repair_teachers(data or paired(kind), **_settings(store, **{**asked, **options}))


def write(store: Path | str, out: Path | str, kind: str, student: str, which: str = "failure") -> None:
    """Run the study on one thread and write its table; for a repair study the rivals' after it."""
    longer = Recipe(epochs=5, batch_size=8, lr=0.01)
    with threads(1):
        if which == "failure":
            tables = [study(store, kind=kind, student=student, recipe=longer).table]
        else:
            found = repair(store, kind=kind, student=student, ratios=[0.5], draws=1, recipe=longer)
            tables = [found.table, rival_hypotheses(found.runs).table]
    atomic.write_text(Path(out), "".join(table.to_csv(index=False) for table in tables))
