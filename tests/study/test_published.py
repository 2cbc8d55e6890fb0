"""Every published data set, by a fixture in its own form, through every notebook's study; as short as can be.

Where a study is not made for a task, it says so itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest

from mmkd_lab import data, study
from mmkd_lab.attribution import Joint
from mmkd_lab.core.check import LabError
from mmkd_lab.data import DATASETS
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.experiments.profiles import PROFILES
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study.diagnosis.run import PARTS
from mmkd_lab.training import Recipe

pytest.importorskip("av")
pytest.importorskip("h5py")

RECIPE = Recipe(epochs=2, batch_size=32, lr=0.01)
NETS = {"student_model": NetSpec(width=2, features=4), "teacher_model": NetSpec(width=2, features=6)}


@dataclass(frozen=True)
class Case:
    """A set as the test loads it: who teaches whom, and what makes it small."""

    student: str
    teacher: str
    small: Mapping[str, object] = field(default_factory=dict)


SMALL = {"size": (8, 8)}
CLIP = {**SMALL, "audio_frames": 8, "frames": 1}
CASES = {
    "av_mnist_npy": Case("image", "audio"),
    "crema_d": Case("audio", "video", CLIP),
    "crisismmd": Case("text", "image", SMALL),
    "hateful_memes": Case("image", "text", SMALL),
    "iemocap": Case("audio", "video", CLIP),
    "meld": Case("audio", "video", CLIP),
    "mm_imdb": Case("image", "text", SMALL),
    "mosei": Case("vision", "text", {"steps": "mean"}),
    "mosi": Case("audio", "text", {"steps": "mean"}),
    "nyu_depth_v2": Case("rgb", "depth", SMALL),
    "ravdess_clips": Case("audio", "video", CLIP),
    "snli_ve": Case("text", "image", SMALL),
    "vggsound": Case("audio", "video", CLIP),
    "vqa_v2": Case("text", "image", SMALL),
}
#: What a study says of a task that it is not made for.
REFUSED = {
    ("modality_shares", Task.DENSE): "must have labels of whole samples",
    ("diagnose", Task.DENSE): "task of dataset = 'dense': must be single label or multi-label",
    ("diagnose", Task.REGRESSION): "task of dataset = 'regression': must be single label or multi-label",
}


@cache
def loaded(case: str) -> PairedData:
    return data.load(case, fixture=True, **CASES[case].small)


def failure_cases(paired: PairedData, case: Case, common: dict[str, Any]) -> object:
    pair = {"student": case.student, "teacher": case.teacher, "arms": ["no_kd", "cm_kd"]}
    return study.failure_cases(paired, **pair, **NETS, recipe=RECIPE, **common)


def repair_teachers(paired: PairedData, case: Case, common: dict[str, Any]) -> object:
    pair = {"student": case.student, "teacher": case.teacher, "arms": ["no_kd", "mg_kd"]}
    brief = {"ratios": [0.5], "losses": ["ce + kd"], "draws": 1, "joint": Joint(epochs=2)}
    return study.repair_teachers(paired, **pair, **brief, **NETS, recipe=RECIPE, **common)


def kd_vs_msd(paired: PairedData, case: Case, common: dict[str, Any]) -> object:
    pair = paired.only(case.student, case.teacher)
    some = {"arms": ["kd", "msd_uniform"], "tune": False}
    return study.kd_vs_msd(pair, **some, **NETS, recipe=RECIPE, **common)


def modality_shares(paired: PairedData, case: Case, common: dict[str, Any]) -> object:
    names = [case.teacher, case.student]
    layer = "features" if set(names) & set(paired.vocabularies) else "input"
    how = {"methods": ["performance"], "estimator": "performance", "layer": layer, "store": common["store"]}
    return study.modality_shares(paired, modalities=names, **how, jobs=1)


def diagnose(paired: PairedData, case: Case, common: dict[str, Any]) -> object:
    pair = {"student": case.student, "teacher": case.teacher}
    return study.diagnose(paired, **pair, **NETS, recipe=RECIPE, budget=None, joint=Joint(epochs=2), **common)


STUDIES: dict[str, Callable[[PairedData, Case, dict[str, Any]], Any]] = {
    one.__name__: one for one in (failure_cases, repair_teachers, kd_vs_msd, modality_shares, diagnose)
}


#: To the studies they are what crema_d is, but for names and, of the first, larger pictures.
ALIKE = ("av_mnist_npy", "iemocap", "ravdess_clips", "vggsound")

#: Pictures with texts, whose diagnosis, which takes longest, is crisismmd's likewise.
PICTURES = ("hateful_memes", "mm_imdb", "snli_ve", "vqa_v2")


def chosen() -> list[object]:
    """Every set and study; alike ones are left to the long run."""
    long = [pytest.mark.long]
    every = [(case, name) for case in CASES for name in STUDIES]
    late = {
        (case, name) for case, name in every if case in ALIKE or (case in PICTURES and name == "diagnose")
    }
    return [pytest.param(*one, marks=long if one in late else []) for one in every]


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Networks of the quick profile, too, are small and short here."""
    nets = {"student": NETS["student_model"], "teacher": NETS["teacher_model"]}
    monkeypatch.setitem(PROFILES, "quick", replace(PROFILES["quick"], recipe=RECIPE, **nets))


def test_every_published_set_is_here():
    published = {name for name, entry in DATASETS.items() if entry.published}
    assert set(CASES) == published


@pytest.mark.filterwarnings("ignore::mmkd_lab.distill.UnreliableTeacher")
@pytest.mark.parametrize(("case", "name"), chosen())
def test_the_studies_run_on_every_set(case, name, tmp_path):
    paired = loaded(case)
    common = {"seeds": [0], "store": ResultStore(tmp_path), "jobs": 1, "progress": False}
    says = REFUSED.get((name, paired.task))
    if says is not None:
        with pytest.raises(LabError, match=says):
            STUDIES[name](paired, CASES[case], common)
        return
    found = STUDIES[name](paired, CASES[case], common)
    assert paired.name in found.verdict
    if name == "diagnose":
        assert set(found.sections) == {part.name for part in PARTS} - {"arms"}
    if name in ("failure_cases", "kd_vs_msd"):
        assert set(paired.metrics) <= set(found.table["metric"])
