"""Metrics, worked out by hand and by torchmetrics."""

from __future__ import annotations

import pickle
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torchmetrics.functional import classification as theirs

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.models import ModelAdapter, NetSpec
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from mmkd_lab.training.metrics import METRICS, register_metric, score
from tests.training.toy import dense, labels, toy

SINGLE, MULTI, DENSE = Task.SINGLE_LABEL, Task.MULTI_LABEL, Task.DENSE


def test_single_label_by_hand():
    logits = torch.tensor([[[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [5.0, 1.0]], [[0.0, 1.0]] * 4])
    shared = score(logits, torch.tensor([0, 1, 0, 0]), task=SINGLE)
    assert shared["accuracy"].tolist() == [75.0, 25.0]
    each = score(logits, torch.tensor([[0, 1, 0, 0], [1, 1, 1, 1]]), task=SINGLE)
    assert each["accuracy"].tolist() == [75.0, 100.0]
    even = score(torch.zeros(1, 5, 4), torch.tensor([0, 1, 2, 3, 0]), task=SINGLE)
    assert float(even["nll"]) == pytest.approx(log(4), rel=1e-12)
    sure = torch.tensor([[[log(3.0), 0.0]]], dtype=torch.float64)
    assert float(score(sure, torch.tensor([1]), task=SINGLE)["nll"]) == pytest.approx(log(4), rel=1e-12)
    assert list(shared) == ["accuracy", "balanced_accuracy", "macro_f1", "nll"]


def test_percent_has_no_rounding_of_single_precision():
    logits = torch.zeros(1, 10_000, 2)
    logits[0, :8946, 1] = 1.0
    assert score(logits, torch.ones(10_000, dtype=torch.int64), task=SINGLE)["accuracy"].tolist() == [89.46]


def test_multi_label_by_hand():
    # said: [1 1 0], [0 1 0]; true: [1 0 0], [1 1 0]. Label 0: one hit, one miss; label 1: one hit, one false
    # alarm; label 2: never. F1 is 2/3, 2/3 and 0; together two hits of 3 said and 3 true.
    logits = torch.tensor([[[1.0, 2.0, -1.0], [-1.0, 1.0, -3.0]]])
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    found = score(logits, target, task=MULTI)
    assert float(found["macro_f1"]) == pytest.approx(100 * (4 / 3) / 3)
    assert float(found["micro_f1"]) == pytest.approx(100 * 2 / 3)
    assert float(score(torch.zeros(1, 2, 3), target, task=MULTI)["nll"]) == pytest.approx(log(2))
    assert list(found) == ["macro_f1", "micro_f1", "nll"]


def test_dense_by_hand():
    # One image of 2x2, three classes; the last pixel has no label. Said 0 0 / 1 1, true 0 1 / 1 none.
    said = torch.tensor([[[0, 0], [1, 1]]])
    logits = 9.0 * torch.nn.functional.one_hot(said, 3).permute(0, 3, 1, 2)[None].float()
    target = torch.tensor([[[0, 1], [1, -1]]])
    found = score(logits, target, task=DENSE)
    assert float(found["pixel_accuracy"]) == pytest.approx(100 * 2 / 3)
    # class 0: 1 of 2; class 1: 1 of 2; class 2 occurs nowhere
    assert float(found["miou"]) == pytest.approx(50.0)
    assert float(score(torch.zeros_like(logits), target, task=DENSE)["nll"]) == pytest.approx(log(3))
    assert list(found) == ["miou", "pixel_accuracy", "nll"]
    # A class that is only said counts against the mean.
    said = torch.tensor([[[0, 2]]])
    logits = 9.0 * torch.nn.functional.one_hot(said, 3).permute(0, 3, 1, 2)[None].float()
    assert float(score(logits, torch.tensor([[[0, 0]]]), task=DENSE)["miou"]) == pytest.approx(25.0)


def test_torchmetrics_agrees():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 60, 4, generator=draw, dtype=torch.float64)
    target = torch.randint(0, 4, (60,), generator=draw)
    pixels = torch.randn(2, 9, 4, 5, 6, generator=draw, dtype=torch.float64)
    classes = torch.randint(-1, 3, (9, 5, 6), generator=draw)  # class 3 is said and never there
    several = torch.randint(0, 2, (60, 4), generator=draw)
    several[:, 3] = 0  # a label that is never there
    single = score(logits, target, task=SINGLE)
    multi = score(logits, several.double(), task=MULTI)
    maps = score(pixels, classes, task=DENSE)
    for r in range(2):
        said = logits[r].sigmoid()
        micro = theirs.multiclass_accuracy(logits[r], target, 4, average="micro")
        wanted = {
            "accuracy": (single, micro),
            "macro_f1": (multi, theirs.multilabel_f1_score(said, several, 4, average="macro")),
            "micro_f1": (multi, theirs.multilabel_f1_score(said, several, 4, average="micro")),
            "miou": (maps, theirs.multiclass_jaccard_index(pixels[r], classes, 4, ignore_index=-1)),
            "pixel_accuracy": (
                maps,
                theirs.multiclass_accuracy(pixels[r], classes, 4, average="micro", ignore_index=-1),
            ),
        }
        for name, (found, value) in wanted.items():
            assert float(found[name][r]) == pytest.approx(100 * float(value), abs=1e-4), name


def test_a_metric_of_yours_is_in_every_history_and_none_of_the_labs_can_be_replaced():
    @register_metric("share_of_zero", task=SINGLE)
    def share_of_zero(logits, target):
        return float((logits.argmax(-1) == 0).double().mean())

    try:
        data = toy()
        replicas = Replicas.build(NetSpec("linear"), data, seeds=[0, 1], device="cpu")
        found = evaluate(replicas, data, split="test")
        assert list(found) == ["accuracy", "balanced_accuracy", "macro_f1", "nll", "share_of_zero"]
        by_hand = (replicas.predict(data, split="test").argmax(-1) == 0).double().mean(1)
        assert found["share_of_zero"].tolist() == pytest.approx(by_hand.tolist())
        register_metric("share_of_zero", task=SINGLE)(lambda logits, target: logits)
        with pytest.raises(LabError, match="must give one number"):
            evaluate(replicas, data, split="test")
    finally:
        METRICS.forget("share_of_zero")
    with pytest.raises(LabError, match="lab's own"):
        register_metric("accuracy", task=SINGLE)(share_of_zero)


def test_what_the_data_ask_for_is_told_beside_the_tasks_own():
    data = replace(toy(), metrics=("auroc",))
    replicas = Replicas.build(NetSpec("linear"), data, seeds=[0], device="cpu")
    assert "auroc" not in evaluate(replicas, toy(), split="test")
    assert list(evaluate(replicas, data, split="test"))[-1] == "auroc"
    several, recipe = replace(labels(), metrics=("vqa_accuracy",)), Recipe(epochs=1, batch_size=8)
    nets = Replicas.build(NetSpec("linear"), several, seeds=[0], device="cpu")
    history = fit(nets, several, multi_label_loss, recipe, progress=False).history
    assert "vqa_accuracy" in set(history["metric"])
    assert pickle.loads(pickle.dumps(data)).metrics == ("auroc",)
    for name, says in (("vqa_accuracy", "single label task"), ("aurok", "Did you mean 'auroc'")):
        with pytest.raises(LabError, match=says):
            evaluate(replicas, replace(data, metrics=(name,)), split="test")


@pytest.mark.parametrize("classes", [2, 4])
def test_auroc_is_that_of_scikit_learn(classes):
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 90, classes, generator=draw).double()
    if classes == 2:
        logits = (2 * logits).round() / 2  # ties
    target = torch.randint(0, classes, (90,), generator=draw)
    found = float(score(logits, target, task=SINGLE, also=["auroc"])["auroc"])
    likely = logits[0].softmax(-1).numpy()
    wanted = roc_auc_score(target.numpy(), likely[:, 1] if classes == 2 else likely, multi_class="ovr")
    assert found == pytest.approx(100 * wanted)
    alone = torch.zeros(90, dtype=torch.int64)
    assert float(score(logits, alone, task=SINGLE, also=["auroc"])["auroc"]) == 50.0


def test_vqa_accuracy_is_what_the_target_says_of_the_first_answer():
    logits, target = torch.tensor([[[3.0, 1.0], [0.0, 1.0]]]), torch.tensor([[0.3, 1.0], [0.0, 0.9]])
    found = score(logits, target, task=MULTI, also=["vqa_accuracy"])
    assert float(found["vqa_accuracy"]) == pytest.approx(60.0)


def test_weighted_f1_is_that_of_scikit_learn():
    draw = torch.Generator().manual_seed(2)
    logits, target = torch.randn(1, 90, 4, generator=draw), torch.randint(0, 3, (90,), generator=draw)
    found = float(score(logits, target, task=SINGLE, also=["weighted_f1"])["weighted_f1"])
    wanted = f1_score(target, logits[0].argmax(-1), average="weighted", zero_division=0)
    assert found == pytest.approx(100 * wanted)


def test_what_is_reported_of_sentiment():
    # Said and true scores: 3.4 and 3 are the same of seven; 0 is on the side of what is not negative.
    said = torch.tensor([3.4, -0.2, 0.4, -2.6, 0.0]).double()[None, :, None]
    true = torch.tensor([3.0, 0.2, 0.6, -3.0, 0.0])[:, None].double()
    also = ["pearson", "acc_7", "acc_2", "acc_2_nonzero"]
    found = {name: float(v) for name, v in score(said, true, task=Task.REGRESSION, also=also).items()}
    assert found["pearson"] == pytest.approx(np.corrcoef(said[0, :, 0], true[:, 0])[0, 1])
    assert (found["acc_7"], found["acc_2"], found["acc_2_nonzero"]) == (80.0, 80.0, 75.0)
    still = score(torch.zeros_like(said), true, task=Task.REGRESSION, also=["pearson"])
    assert float(still["pearson"]) == 0.0


def multi_label_loss(logits, target, teacher=None):
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, target.to(logits.dtype), reduction="none"
    )
    return {"loss": each.mean((-2, -1))}


class PixelNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 1)

    def forward(self, a):
        return self.conv(a)


def dense_loss(logits, target, teacher=None):
    log_p = logits.log_softmax(2).gather(2, target.clamp(min=0)[:, :, None])[:, :, 0]
    real = target >= 0
    return {"loss": -(log_p * real).sum((1, 2, 3)) / real.sum((1, 2, 3))}


@pytest.mark.parametrize(("task", "mode"), [("labels", "stacked"), ("dense", "stacked"), ("dense", "looped")])
def test_other_tasks_train_and_are_scored(task, mode):
    recipe = Recipe(epochs=30, batch_size=8, lr=0.05)
    if task == "labels":
        data, loss, least = labels(), multi_label_loss, {"macro_f1": 90, "micro_f1": 90}
        replicas = Replicas.build(NetSpec("linear"), data, seeds=[0, 1], device="cpu")
    else:
        data, loss, least = dense(), dense_loss, {"miou": 80, "pixel_accuracy": 90}
        replicas = Replicas.of([ModelAdapter(PixelNet()) for _ in range(2)], device="cpu")
    found = evaluate(
        fit(replicas, data, loss, recipe, mode=mode, progress=False).replicas, data, split="test"
    )
    for name, bound in least.items():
        assert (found[name] > bound).all(), name
