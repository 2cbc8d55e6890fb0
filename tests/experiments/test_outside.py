"""What comes from outside the package is named like the lab's own, and runs in every study."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

from mmkd_lab.distill import UnreliableTeacher
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import failure_cases, kd_vs_msd, repair_teachers
from mmkd_lab.training.recipe import Recipe
from tests.study.tiny import SPEC, paired
from tests.study.tiny_msd import with_text

REPOSITORY = Path(__file__).parents[2]
OUTSIDE = Path(__file__).with_name("outside.py")
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


def as_program(store):
    """What the file prints as a program."""
    command, env = [sys.executable, str(OUTSIDE)], {**os.environ, "MMKD_LAB_STORE": str(store)}
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_cell(store):
    """What the file prints as a cell of a notebook."""
    notebook = new_notebook(cells=[new_code_cell(OUTSIDE.read_text(encoding="utf-8"))])
    env = {**os.environ, "MMKD_LAB_STORE": str(store)}
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute(env=env)
    outputs = notebook.cells[0].outputs
    return "".join(one.text for one in outputs if one.output_type == "stream" and one.name == "stdout")


@pytest.mark.long
@pytest.mark.parametrize("run", [as_program, pytest.param(as_cell, marks=pytest.mark.kernel)])
def test_a_method_an_arm_a_ranking_a_metric_and_a_dataset_run_in_every_study(run, tmp_path):
    # In a process of its own: what is registered is there for every other test, too.
    found = pd.read_csv(io.StringIO(run(tmp_path)))
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


def every_study(store, data, student, other, full, *, teacher=None, repaired="mg_kd", treated="msd_instance"):
    """All three on one data set: a student, a teacher of the other modality, a student of both modalities."""
    given = {**SETTINGS, "store": ResultStore(store), "student_model": student}
    across = {"student": "b", "teacher_model": other, **given}
    both = {**given, "student_model": full, "teacher_model": full if teacher is None else teacher}
    return (
        failure_cases(data, arms=["no_kd", "cm_kd"], **across),
        repair_teachers(data, arms=["no_kd", repaired], ratios=[0.5], **across),
        kd_vs_msd(data, arms=["kd", treated], tune=False, **both),
    )


def assert_whole(studies):
    for found in studies:
        students = found.table.query("role == 'student' and split == 'test' and metric == 'accuracy'")
        assert students["value"].between(0, 100).all()
        assert set(students["seed"]) == {0, 1}


def test_networks_of_ones_own_run_in_every_study(tmp_path):
    assert_whole(every_study(tmp_path, paired("images"), Cnn, OfA, Both))


def csv_of(data, path):
    """A table of a teacher's outputs by sample, as another program would write it."""
    logits = torch.randn(len(data), 3, generator=torch.Generator().manual_seed(0))
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", *data.classes])
        rows.writerows([int(i), *row] for i, row in zip(data.sample_index, logits.tolist(), strict=True))
    return path


def test_a_frozen_network_teaches_in_every_study(tmp_path):
    torch.manual_seed(0)
    one, both = (kind().eval().requires_grad_(False) for kind in (OfA, Both))
    data, frozen = paired("images"), {"other": one}
    assert_whole(every_study(tmp_path, data, Cnn, frozen, Both, teacher=both, repaired="cm_kd"))


def test_a_table_of_outputs_teaches_in_every_study(tmp_path):
    data = paired("images")
    path = csv_of(data, tmp_path / "outputs.csv")
    given = {"teacher": path, "repaired": "cm_kd", "treated": "no_kd"}
    assert_whole(every_study(tmp_path / "store", data, Cnn, {"other": path}, Both, **given))


def text_model():
    """A tiny BERT for the two token ids of modality 'b'."""
    from transformers import BertConfig, BertForSequenceClassification

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return BertForSequenceClassification(
        BertConfig(vocab_size=8, num_labels=3, max_position_embeddings=8, **small)
    )


def vision_model():
    """A tiny ViT for the 8 by 8 maps of one channel."""
    from transformers import ViTConfig, ViTForImageClassification

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return ViTForImageClassification(
        ViTConfig(image_size=8, patch_size=4, num_channels=1, num_labels=3, **small)
    )


@pytest.mark.parametrize(
    ("model", "data"), [(text_model, with_text), (vision_model, lambda: paired("images"))]
)
def test_a_model_of_transformers_is_a_student_of_one_modality(model, data, tmp_path):
    across = {"student": "b", "student_model": model, "teacher_model": SPEC, **SETTINGS}
    store = ResultStore(tmp_path)
    assert_whole(
        [
            failure_cases(data(), arms=["no_kd", "cm_kd"], store=store, **across),
            repair_teachers(data(), arms=["no_kd", "mg_kd"], ratios=[0.5], store=store, **across),
        ]
    )


class Text(nn.Module):
    """A model of transformers in a network of one's own that reads both modalities."""

    def __init__(self, inside, other):
        super().__init__()
        self.inside, self.other = inside(), nn.Linear(other, 3)

    def forward(self, a, b):
        kind = {"pixel_values": b} if b.is_floating_point() else {"input_ids": b}
        return self.inside(**kind).logits + self.other(a.flatten(1))


@pytest.mark.parametrize(
    ("model", "data", "size"), [(text_model, with_text, 6), (vision_model, lambda: paired("images"), 64)]
)
def test_a_model_of_transformers_inside_a_network_meets_kd_and_msd(model, data, size, tmp_path):
    def make():
        return Text(model, size)

    given = {**SETTINGS, "student_model": make, "teacher_model": make, "store": ResultStore(tmp_path)}
    assert_whole([kd_vs_msd(data(), arms=["kd", "msd_instance"], tune=False, **given)])
