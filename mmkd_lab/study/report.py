"""What the studies that train networks on real data have in common: their data, rows and provenance."""

from __future__ import annotations

import platform
from importlib.metadata import version

import numpy as np
import torch

from mmkd_lab import __version__
from mmkd_lab import data as datasets
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.store import Result
from mmkd_lab.study.networks import THREADS
from mmkd_lab.study.profiles import Profile
from mmkd_lab.study.setting import Setting


def load_data(dataset: str | PairedData, size: Profile) -> PairedData:
    """Paired data as given, or a dataset by name with the profile's parameters."""
    if isinstance(dataset, PairedData):
        return dataset
    if not isinstance(dataset, str):
        raise LabError("dataset", type(dataset).__name__, "must be a dataset's name or a PairedData")
    return datasets.load(dataset, **size.data.get(dataset, {}))


def score_rows(
    study: str, dataset: str, arm: str, role: str, seed: int, result: Result
) -> list[tuple[object, ...]]:
    """One row per split and metric, in the order of `summary.COLUMNS`."""
    return [
        (study, dataset, arm, role, seed, split, metric, value)
        for split, scores in result.metrics["scores"].items()
        for metric, value in scores.items()
    ]


def provenance(setting: Setting, *, study: str, profile: str) -> dict[str, object]:
    """What determined the outcome."""
    return {
        "study": study,
        "profile": profile,
        **dataset_of(setting.data),
        "student": setting.student,
        "teacher": setting.teacher,
        "arms": [arm.name for arm in setting.arms],
        "seeds": list(setting.seeds),
        "student_spec": setting.student_spec.on(setting.student).as_dict(),
        "teacher_spec": setting.teacher_spec.as_dict(),
        "student_recipe": setting.student_recipe.as_dict(),
        "teacher_recipe": setting.teacher_recipe.as_dict(),
        "kd_weight": setting.kd_weight,
        "temperature": setting.temperature,
        "convention": setting.convention,
        "device": str(setting.device),
        "threads": THREADS,
        "versions": versions(),
    }


def dataset_of(data: PairedData) -> dict[str, object]:
    """What a dataset is, for provenance."""
    return {
        "dataset": data.name,
        "dataset_parameters": _plain_recipe(data),
        "fingerprint": data.fingerprint,
        "samples": {split: len(where) for split, where in data.splits.items()},
    }


def versions(*also: str) -> dict[str, str]:
    """The versions of the lab, of what every study computes with, and of other packages by name."""
    found = {
        "mmkd_lab": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return found | {name: version(name) for name in also}


def file_name(text: str) -> str:
    """`text` with every character that does not belong into a file name replaced."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text)


def _plain_recipe(data: PairedData) -> dict[str, object]:
    """The dataset's own parameters, as text where JSON cannot hold them."""
    plain = (bool, int, float, str, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in data.recipe.items()}
