"""One question of several."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab import data, study
from mmkd_lab.core.check import LabError
from mmkd_lab.data import PairedData, Task

N = 600
SPLITS = {"train": np.arange(300), "val": np.arange(300, 450), "test": np.arange(450, N)}


def several(task: Task, target: np.ndarray, **sides: np.ndarray) -> PairedData:
    names = tuple("xyz"[: target.shape[1]])
    return PairedData("several", sides or {"a": target, "b": target}, target, SPLITS, names, task=task)


def test_the_label_that_half_of_the_training_samples_have_is_asked_for_unless_another_is_named() -> None:
    rng = np.random.default_rng(0)
    many = several(Task.MULTI_LABEL, (rng.random((N, 3)) < (0.1, 0.45, 0.9)).astype(np.float32))
    asked = data.one_label(replace(many, metrics=("vqa_accuracy",)))
    assert asked.metrics == ()  # it is no metric of single labels
    assert asked.task is Task.SINGLE_LABEL
    assert asked.classes == ("not y", "y")
    assert torch.equal(asked.target, many.target[:, 1].long())
    assert data.one_label(many, "z").classes == ("not z", "z")
    assert "asked of one label alone: y" in repr(asked)
    assert data.one_label(asked) is asked


def test_amounts_are_cut_at_the_median_of_training() -> None:
    amounts = np.tile(np.arange(100.0), 6)
    values = (amounts[:, None] * (1.0, -2.0)).astype(np.float32)
    asked = data.one_label(several(Task.REGRESSION, values))
    assert asked.classes == ("low x", "high x")
    assert torch.equal(asked.target, torch.from_numpy(amounts > 49.5).long())
    assert torch.equal(data.one_label(several(Task.REGRESSION, values), "y").target, 1 - asked.target)


@pytest.mark.parametrize("task", [Task.MULTI_LABEL, Task.REGRESSION])
def test_shares_are_those_of_the_question(task: Task) -> None:
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=(2, N, 1))
    amount = shared + own
    target = np.hstack([amount, shared]) if task is Task.REGRESSION else np.hstack([amount, shared]) > 0
    a, b = np.hstack([shared, own]), np.hstack([shared, rng.normal(size=(N, 1))])
    given = {"a": a.astype(np.float32), "b": b.astype(np.float32)}
    pair = several(task, target.astype(np.float32), **given)

    def gamma(label: str) -> float:
        asked = pair if label == data.one_label(pair).classes[1].split()[-1] else data.one_label(pair, label)
        found = study.modality_shares(asked, methods=["canonical"], split="all").table
        return float(found.loc[found["metric"] == "gamma_union", "value"].iloc[0])

    assert gamma("y") > 0.9
    assert 0.35 < gamma("x") < 0.65


def test_what_has_no_question_is_refused() -> None:
    ones = several(Task.MULTI_LABEL, np.ones((N, 2), np.float32))
    with pytest.raises(LabError, match="label = 'x': must be had by some training samples"):
        data.one_label(ones)
    with pytest.raises(LabError, match="label = 'w': must be one of 'x' or 'y'"):
        data.one_label(ones, "w")
    a = np.zeros((N, 3, 8, 8), np.float32)
    dense = PairedData("d", {"a": a}, np.zeros((N, 8, 8), int), SPLITS, ("p", "q"), task=Task.DENSE)
    with pytest.raises(LabError, match="must have labels of whole samples"):
        data.one_label(dense)
