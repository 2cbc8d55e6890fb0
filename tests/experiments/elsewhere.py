"""What must be the same everywhere: data, trained networks of every encoder, the tables of three studies.

python -m tests.experiments.elsewhere <folder>   writes all of it.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import pandas as pd

from mmkd_lab import data
from mmkd_lab.distill import UnreliableTeacher
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import failure_cases, kd_vs_msd, repair_teachers
from mmkd_lab.training.recipe import Recipe
from tests.study.tiny import paired
from tests.training import processors

TIMES = ("seconds_per_step", "steps_of_kd")
SMALL = {"n_train": 500, "n_val": 100, "n_test": 100}
MADE = [("gaussian", {"stream": "independent"}), ("av_digits", SMALL), ("shapes_vl", SMALL)]


def fingerprints():
    """Of generated sets, and of one from files where they are."""
    asked = [*MADE, ("av_mnist", {**SMALL, "noise": "pink"})] if os.environ.get("MMKD_LAB_MIRROR") else MADE
    return [data.load(name, **given).fingerprint for name, given in asked]


def tables(store, jobs=1):
    """The tables of three studies, without times."""
    given = {
        "seeds": range(2),
        "student_model": NetSpec(width=2, features=4),
        "teacher_model": NetSpec(width=4, features=8),
        "recipe": Recipe(epochs=2, batch_size=16, lr=0.01),
        "store": ResultStore(store),
        "jobs": jobs,
        "device": "cpu",
        "progress": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)
        found = [
            failure_cases(paired("images"), student="b", **given),
            repair_teachers(paired(), student="b", arms=["no_kd", "cm_kd", "mg_kd"], ratios=[0.5], **given),
            kd_vs_msd(paired(), arms=["kd", "msd_instance", "fitnet"], tune=False, **given),
        ]
    each = [study.table[~study.table["metric"].isin(TIMES)] for study in found]
    return pd.concat(each, ignore_index=True)


def main(folder):
    """Write `data.json`, `logits.pt` and `tables.csv`."""
    (folder / "data.json").write_text(json.dumps(fingerprints()))
    processors.main(folder / "logits.pt")
    tables(folder / "store").to_csv(folder / "tables.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
