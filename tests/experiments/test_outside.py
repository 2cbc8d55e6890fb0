"""What comes from outside the package is named like the lab's own, and runs in every study."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from mmkd_lab.distill import UnreliableTeacher
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import failure_cases, kd_vs_msd, repair_teachers
from mmkd_lab.training.recipe import Recipe
from tests.study.tiny import SPEC, paired
from tests.study.tiny_msd import with_text

REPOSITORY = Path(__file__).parents[2]
SETTINGS = {
    "seeds": range(2),
    "recipe": Recipe(epochs=2, batch_size=16, lr=0.01),
    "device": "cpu",
    "progress": False,
}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)
        yield


def test_a_method_an_arm_a_ranking_a_metric_and_a_dataset_run_in_every_study(tmp_path):
    # In a process of its own: what is registered is there for every other test, too.
    command = [sys.executable, "-m", "tests.experiments.outside", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(io.StringIO(done.stdout))
    for arm in ("near_kd", "quiet_kd", "near_all"):
        rows = found[(found["arm"] == arm) & (found["role"] == "student")]
        assert set(rows["seed"]) == {0, 1}
        assert "top_2" in set(rows["metric"])


class Cnn(nn.Module):
    """Batch normalisation, one positional tensor for the modality it reads."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(16, 3)

    def forward(self, b):
        return self.head(self.body(b).flatten(1))


class Both(nn.Module):
    """A transformer over rows of both maps, called by keyword."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 8)
        self.body = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, *, a, b):
        return self.head(self.body(self.embed(torch.cat([a[:, 0], b[:, 0]], dim=1))).mean(1))


class OfA(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, a):
        return self.head(a.flatten(1))


def every_study(store, data, student, other, full):
    """All three on one data set, with a student, a teacher of the other modality and one of both."""
    given = {**SETTINGS, "store": ResultStore(store)}
    across = {"student": "b", "student_model": student, "teacher_model": other, **given}
    return (
        failure_cases(data, arms=["no_kd", "cm_kd"], **across),
        repair_teachers(data, arms=["no_kd", "mg_kd"], ratios=[0.5], **across),
        kd_vs_msd(
            data, arms=["kd", "msd_instance"], student_model=full, teacher_model=full, tune=False, **given
        ),
    )


def assert_whole(studies):
    for found in studies:
        students = found.table.query("role == 'student' and split == 'test' and metric == 'accuracy'")
        assert students["value"].between(0, 100).all()
        assert set(students["seed"]) == {0, 1}


def test_networks_of_ones_own_run_in_every_study(tmp_path):
    assert_whole(every_study(tmp_path, paired("images"), Cnn, OfA, Both))


def test_a_frozen_network_and_a_table_are_teachers(tmp_path):
    data = paired("images")
    torch.manual_seed(0)
    frozen, path = OfA().eval().requires_grad_(False), tmp_path / "outputs.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", *data.classes])
        rows.writerows([int(i), *torch.randn(3).tolist()] for i in data.sample_index)
    for teacher in (frozen, path):
        found = failure_cases(
            data,
            student="b",
            student_model=Cnn,
            teacher_model={"other": teacher},
            arms=["no_kd", "cm_kd"],
            store=ResultStore(tmp_path / "store"),
            **SETTINGS,
        )
        assert set(found.table.query("arm == 'cm_kd' and role == 'student'")["seed"]) == {0, 1}


def test_text_is_read_by_a_transformers_model(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    data = with_text()

    def bert():
        settings = {
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 8,
        }
        size = len(data.vocabularies["b"])
        return BertForSequenceClassification(
            BertConfig(vocab_size=max(size, 4) + 4, num_labels=3, max_position_embeddings=8, **settings)
        )

    found = failure_cases(
        data,
        student="b",
        student_model=bert,
        teacher_model=SPEC,
        arms=["no_kd", "cm_kd"],
        store=ResultStore(tmp_path),
        **SETTINGS,
    )
    assert set(found.table.query("role == 'student'")["arm"]) == {"no_kd", "cm_kd"}
