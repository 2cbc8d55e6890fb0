"""Small comparisons of KD and MSD."""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch

from mmkd_lab.data.text import Vocabulary
from mmkd_lab.distill.reliability import UnreliableTeacher
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import kd_vs_msd
from mmkd_lab.study.msd_networks import MsdWorkshop
from mmkd_lab.study.msd_run import school_of
from mmkd_lab.study.msd_setting import settle
from mmkd_lab.study.msd_sizes import PROFILES
from tests.study.tiny import RECIPE, SPEC, paired

#: What `settle` wants said, untuned, for one seed.
PLAIN = {
    **dict.fromkeys(("student_spec", "teacher_spec", "recipe", "teacher_recipe", "weighting", "learned")),
    **{
        "seeds": [0],
        "removal": "zeros",
        "aux": "only",
        "temperature": 2.0,
        "kd_weight": 0.5,
        "msd_weight": 1.0,
    },
    **{"teacher_dropout": 0.0, "drop": 0.3, "gate": False, "tune": False, "rates": None, "meta_share": 0.2},
    "device": torch.device("cpu"),
}
FEW = ("no_kd", "kd", "msd_uniform", "msd_instance")


def compare(store, /, data=None, **options):
    settings = {
        "seeds": range(2),
        "meta_share": 0.2,
        "student_spec": SPEC,
        "teacher_spec": NetSpec(width=4, features=8),
        "recipe": RECIPE,
        "store": ResultStore(store),
        "device": "cpu",
        "progress": False,
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)
        return kd_vs_msd(paired() if data is None else data, **settings)


def school(store, data=None, **options):
    """A setting and its teachers, without students."""
    setting = settle(
        paired() if data is None else data,
        replace(PROFILES["quick"], recipe=RECIPE, student=SPEC, teacher=NetSpec(width=4, features=8)),
        **{**PLAIN, "arms": ["kd", "kd_views", "msd_uniform"], **options},
    )
    return setting, school_of(MsdWorkshop(setting, ResultStore(store), lambda *_: None), [0], others=False)


def values(found, arm, metric="nll", view="a+b", split="test"):
    part = found.table.query("arm == @arm and metric == @metric and split == @split and view == @view")
    return part.sort_values("seed")["value"].to_numpy()


def with_text():
    """Modality 'b' is two token ids."""
    data = paired()
    words = Vocabulary.of(["x", "y", "z"])
    said = torch.from_numpy(words.encode(["xyz"[i % 3] for i in range(len(data))], length=2))
    return replace(data, modalities={**data.modalities, "b": said}, vocabularies={"b": words})
