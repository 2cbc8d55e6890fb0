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
from tests.study.tiny import RECIPE, SPEC, paired

FEW = ("no_kd", "kd", "msd_uniform", "msd_instance")


def compare(store, /, data=None, **options):
    settings = {
        "seeds": range(2),
        "meta_share": 0.2,
        "student_model": SPEC,
        "teacher_model": NetSpec(width=4, features=8),
        "recipe": RECIPE,
        "store": ResultStore(store),
        "device": "cpu",
        "progress": False,
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)
        return kd_vs_msd(paired() if data is None else data, **settings)


def values(found, arm, metric="nll", view="a+b", split="test"):
    part = found.table.query("arm == @arm and metric == @metric and split == @split and view == @view")
    return part.sort_values("seed")["value"].to_numpy()


def with_text():
    """Modality 'b' is two token ids."""
    data = paired()
    words = Vocabulary.of(["x", "y", "z"])
    said = torch.from_numpy(words.encode(["xyz"[i % 3] for i in range(len(data))], length=2))
    return replace(data, modalities={**data.modalities, "b": said}, vocabularies={"b": words})
