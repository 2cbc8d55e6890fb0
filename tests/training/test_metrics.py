"""Metrics, worked out by hand."""

from __future__ import annotations

from math import log

import pytest
import torch

from mmkd_lab.data.paired import Task
from mmkd_lab.models import ModelAdapter, NetSpec
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from mmkd_lab.training.metrics import accuracy, f1, mean_iou, nll, pixel_accuracy, score
from tests.training.toy import dense, labels


def test_accuracy_is_in_percent_per_replica():
    logits = torch.tensor([[[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [5.0, 1.0]], [[0.0, 1.0]] * 4])
    assert accuracy(logits, torch.tensor([0, 1, 0, 0])).tolist() == [75.0, 25.0]
    assert accuracy(logits, torch.tensor([[0, 1, 0, 0], [1, 1, 1, 1]])).tolist() == [75.0, 100.0]


def test_percent_has_no_rounding_of_single_precision():
    logits = torch.zeros(1, 10_000, 2)
    logits[0, :8946, 1] = 1.0
    assert accuracy(logits, torch.ones(10_000, dtype=torch.int64)).tolist() == [89.46]


def test_nll_is_in_nats():
    even = torch.zeros(1, 5, 4)
    assert float(nll(even, torch.tensor([0, 1, 2, 3, 0]))) == pytest.approx(log(4))
    sure = torch.tensor([[[log(3.0), 0.0]]])
    assert float(nll(sure, torch.tensor([1]))) == pytest.approx(log(4))
    assert float(nll(sure, torch.tensor([0]))) == pytest.approx(log(4 / 3))


def test_multi_label_by_hand():
    # said: [1 1 0], [0 1 0]; true: [1 0 0], [1 1 0]. Label 0: one hit, one miss; label 1: one hit, one false
    # alarm; label 2: never. F1 is 2/3, 2/3 and 0; together two hits of 3 said and 3 true.
    logits = torch.tensor([[[1.0, 2.0, -1.0], [-1.0, 1.0, -3.0]]])
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    assert float(f1(logits, target, average="macro")) == pytest.approx(100 * (4 / 3) / 3)
    assert float(f1(logits, target, average="micro")) == pytest.approx(100 * 2 / 3)
    assert float(nll(torch.zeros(1, 2, 3), target, task=Task.MULTI_LABEL)) == pytest.approx(log(2))
    assert list(score(logits, target, task=Task.MULTI_LABEL)) == ["macro_f1", "micro_f1", "nll"]


def test_dense_by_hand():
    # One image of 2x2, three classes; the last pixel has no label. Said 0 0 / 1 1, true 0 1 / 1 none.
    said = torch.tensor([[[0, 0], [1, 1]]])
    logits = 9.0 * torch.nn.functional.one_hot(said, 3).permute(0, 3, 1, 2)[None].float()
    target = torch.tensor([[[0, 1], [1, -1]]])
    assert float(pixel_accuracy(logits, target)) == pytest.approx(100 * 2 / 3)
    # class 0: 1 of 2; class 1: 1 of 2; class 2 occurs nowhere
    assert float(mean_iou(logits, target)) == pytest.approx(50.0)
    assert float(nll(torch.zeros_like(logits), target, task=Task.DENSE)) == pytest.approx(log(3))
    assert list(score(logits, target, task=Task.DENSE)) == ["miou", "pixel_accuracy", "nll"]


def test_a_class_that_is_only_said_counts_against_the_mean():
    said = torch.tensor([[[0, 2]]])
    logits = 9.0 * torch.nn.functional.one_hot(said, 3).permute(0, 3, 1, 2)[None].float()
    assert float(mean_iou(logits, torch.tensor([[[0, 0]]]))) == pytest.approx((50.0 + 0.0) / 2)


def multi_label_loss(logits, target, teacher=None):
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return {"loss": each.mean((-2, -1))}


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_multi_label_networks_train_and_are_selected_by_macro_f1(mode):
    data = labels()
    replicas = Replicas.build(NetSpec("linear"), data, seeds=[0, 1], device="cpu")
    fitted = fit(
        replicas, data, multi_label_loss, Recipe(epochs=30, batch_size=8, lr=0.05), mode=mode, progress=False
    )
    found = evaluate(fitted.replicas, data, split="test")
    assert (found["macro_f1"] > 90).all()
    assert (found["micro_f1"] > 90).all()


class PixelNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 1)

    def forward(self, x):
        return self.conv(x["a"])


def dense_loss(logits, target, teacher=None):
    log_p = logits.log_softmax(2).gather(2, target.clamp(min=0)[:, :, None])[:, :, 0]
    real = target >= 0
    return {"loss": -(log_p * real).sum((1, 2, 3)) / real.sum((1, 2, 3))}


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_an_own_dense_network_trains_and_is_scored(mode):
    data = dense()
    replicas = Replicas.of([ModelAdapter(PixelNet(), modalities=("a",)) for _ in range(2)], device="cpu")
    fitted = fit(
        replicas, data, dense_loss, Recipe(epochs=30, batch_size=8, lr=0.1), mode=mode, progress=False
    )
    assert fitted.replicas.predict(data, split="test").shape == (2, 8, 2, 5, 4)
    found = evaluate(fitted.replicas, data, split="test")
    assert (found["miou"] > 80).all()
    assert (found["pixel_accuracy"] > 90).all()
