"""Expected calibration error by hand."""

from __future__ import annotations

from math import log

import pytest
import torch

from mmkd_lab.data.paired import Task
from mmkd_lab.distill import calibration_error


def logits_of(*shares):
    return torch.tensor([[log(p), log(1 - p)] for p in shares])[None]


def test_one_bin_by_hand():
    """Sure to 0.8 and right in two cases of four: 30 points off."""
    target = torch.tensor([0, 0, 1, 1])
    assert float(calibration_error(logits_of(0.8, 0.8, 0.8, 0.8), target)) == pytest.approx(30.0, abs=1e-4)


def test_bins_do_not_make_up_for_each_other():
    """0.95 sure and wrong, 0.55 sure and right: 95 and 45 points off, half the samples in either bin."""
    logits, target = logits_of(0.95, 0.55), torch.tensor([1, 0])
    assert float(calibration_error(logits, target)) == pytest.approx((95 + 45) / 2, abs=1e-4)
    assert float(calibration_error(logits, target, bins=1)) == pytest.approx(25.0, abs=1e-4)


def test_labels_drawn_from_the_prediction_are_calibrated():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 50_000, 4, generator=generator)
    target = torch.multinomial(logits[0].softmax(-1), 1, generator=generator)[:, 0]
    assert float(calibration_error(logits, target)) < 1.0
    assert float(calibration_error(5 * logits, target)) > 10.0


def test_certain_and_right_is_zero_and_wrong_is_a_hundred():
    logits, target = torch.tensor([[[60.0, -60.0]] * 3]), torch.tensor([0, 0, 0])
    assert float(calibration_error(logits, target)) == 0.0
    assert float(calibration_error(logits.flip(-1), target)) == pytest.approx(100.0)


def test_replicas_are_apart():
    logits = torch.cat([logits_of(0.8, 0.8), logits_of(0.6, 0.6)])
    found = calibration_error(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(found, torch.tensor([20.0, 40.0], dtype=torch.float64), atol=1e-4, rtol=0)


def test_multi_label_counts_every_label():
    """Probabilities 0.8 of a label that is there and 0.3 of one that is not: 20 and 30 points off."""
    logits = torch.tensor([[[0.8, 0.3]]]).logit()
    found = calibration_error(logits, torch.tensor([[1.0, 0.0]]), task=Task.MULTI_LABEL)
    assert float(found) == pytest.approx(25.0, abs=1e-4)


def test_dense_leaves_out_what_has_no_label():
    logits = torch.randn(1, 2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, -1], [2, 1]], [[-1, 0], [1, 1]]])
    rows, known = logits.permute(0, 1, 3, 4, 2).reshape(1, 8, 3), target.flatten() >= 0
    want = calibration_error(rows[:, known], target.flatten()[known])
    torch.testing.assert_close(calibration_error(logits, target, task=Task.DENSE), want)
