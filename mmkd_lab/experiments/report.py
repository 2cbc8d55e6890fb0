"""What every study tells beside its table: rows, data, versions, file names, time."""

from __future__ import annotations

import hashlib
import platform
import re
import time
import unicodedata
from importlib.metadata import version

import numpy as np
import torch

from mmkd_lab import __version__
from mmkd_lab import data as datasets
from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import Interval
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.profiles import Profile

_LONGEST = 80


def load_data(dataset: object, profile: Profile) -> PairedData:
    """Paired data as given, or a dataset by name with the profile's parameters."""
    if isinstance(dataset, PairedData):
        return dataset
    if not isinstance(dataset, str):
        raise LabError("dataset", type(dataset).__name__, "must be a dataset's name or a PairedData")
    return datasets.load(dataset, **profile.data.get(dataset, {}))


def dataset_of(data: PairedData) -> dict[str, object]:
    """What a dataset is, for provenance."""
    plain = (bool, int, float, str, type(None))
    recipe = {name: v if isinstance(v, plain) else str(v) for name, v in data.recipe.items()}
    return {
        "dataset": data.name,
        "dataset_parameters": recipe,
        "fingerprint": data.fingerprint,
        "samples": {split: len(where) for split, where in data.splits.items()},
    }


def provenance(
    experiment: Experiment, counts: dict[str, int], started: float, *options: str
) -> dict[str, object]:
    """What determined the outcome of an experiment."""
    return {
        "study": experiment.study,
        **dataset_of(experiment.data),
        "reads": {who: list(names) for who, names in experiment.modalities.items()},
        "arms": list(experiment.names),
        "left_out": dict(experiment.left_out),
        "seeds": list(experiment.seeds),
        "student_model": experiment.student.describe(),
        "teacher_models": {sees: one.describe() for sees, one in experiment.teachers.items()},
        "student_recipe": experiment.student_recipe.as_dict(),
        "teacher_recipe": experiment.teacher_recipe.as_dict(),
        **experiment.config.describe(*options),
        "device": str(experiment.device),
        "holds_for": _holds_for(experiment),
        "networks": counts,
        "versions": versions(),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _holds_for(experiment: Experiment) -> str:
    """On which machines the table comes out again."""
    if "32" in experiment.student_recipe.precision or "16" in experiment.student_recipe.precision:
        return (
            f"this processor ({platform.processor() or platform.machine()}): training is in single precision"
        )
    return "every processor: training is in double precision"


def versions(*also: str) -> dict[str, str]:
    """The versions of the lab, of what every study computes with, and of other packages by name."""
    found = {
        "mmkd_lab": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return found | {name: version(name) for name in also}


def file_name(*parts: str) -> str:
    """A file name of parts, of ASCII letters, digits, '-' and '_', at most 80 long.

    Names that would come out alike, or too long, carry a digest of what they were: two data sets of different
    names never share a file.
    """
    text = "_".join(parts)
    flat = unicodedata.normalize("NFKD", text)
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", "".join(c for c in flat if not unicodedata.combining(c)))
    if clean == text and len(clean) <= _LONGEST:
        return clean
    return f"{clean[: _LONGEST - 9].strip('_') or 'study'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def words(found: Interval, above: str, below: str, neither: str = "is not shown to differ from") -> str:
    """`above` or `below`, when the interval lies above or below zero, else that nothing is shown."""
    return {1: above, 0: neither, -1: below}[found.side]
