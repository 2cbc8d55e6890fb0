"""Small paired data that trains in a second, and the study on it as a process of its own.

python -m tests.study.tiny <store> <out.csv> <kind> <student>
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mmkd_lab.data.paired import PairedData
from mmkd_lab.nets import NetSpec
from mmkd_lab.runs.store import ResultStore
from mmkd_lab.study import Study, failure_cases
from mmkd_lab.train.recipe import Recipe

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
RECIPE = Recipe(epochs=3, batch_size=16, lr=0.01)


def study(store: Path | str, /, *, kind="vectors", student="b", **options) -> Study:
    settings = {
        "seeds": range(2),
        "student_spec": SPEC,
        "teacher_spec": NetSpec(width=4, features=8),
        "recipe": RECIPE,
        "store": ResultStore(store),
        "device": "cpu",
        "progress": False,
        **options,
    }
    data = settings.pop("data", None) or paired(kind)
    return failure_cases(data, student=student, **settings)


if __name__ == "__main__":
    torch.set_num_threads(1)
    root, out, kind, student = sys.argv[1:5]
    study(root, kind=kind, student=student, recipe=Recipe(epochs=5, batch_size=8, lr=0.01)).table.to_csv(
        out, index=False
    )
