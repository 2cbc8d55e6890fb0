"""Small scenes in colour and depth, and the settings of studies on them that train in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmkd_lab import data
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.training.recipe import Recipe

ROOM = {"n_train": 24, "n_val": 8, "n_test": 10, "height": 16, "width": 16, "objects": 1}


def scenes(**more: object) -> PairedData:
    return data.load("rooms", **{**ROOM, **more})


def settings(store: Path | str, **options: object) -> dict[str, Any]:
    return {
        "student": "rgb",
        "seeds": range(2),
        "student_model": NetSpec(width=2, features=3),
        "teacher_model": NetSpec(width=3, features=4),
        "recipe": Recipe(epochs=3, batch_size=8, lr=0.02),
        "store": ResultStore(store),
        "device": "cpu",
        "progress": False,
        **options,
    }
