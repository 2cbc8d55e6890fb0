"""Agreement, calibration and filters of answers, against hands and closed forms."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import TeacherOutputs, read_answers, simulate_answers
from mmkd_lab.distill.answer_quality import (
    agreement,
    best_temperature,
    judged,
    krippendorff_alpha,
    opinion_threshold,
    reliability_bins,
    share,
)
from tests.distill.pairs import pairs

DATA = pairs(splits={"train": 200, "val": 100, "test": 80})


def test_agreement_is_krippendorffs_published_example():
    """His four observers of twelve units with gaps (2011, section C): nominal alpha 0.743."""
    observed = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    counts = torch.zeros(12, 5)
    for row in observed:
        for unit, value in enumerate(row.split()):
            if value != ".":
                counts[unit, int(value) - 1] += 1
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)
    found = agreement(counts)
    assert (found.samples, found.answers) == (11, 40)
    assert found.low < found.alpha < found.high
    # By hand: all pairs of eight units agree; of the others 3 of 6, 0 of 6 and 3 of 6.
    assert found.raw == pytest.approx(100 * (8 + 0.5 + 0 + 0.5) / 11)


def test_agreement_at_its_ends():
    assert agreement(torch.eye(3)) is None
    assert np.isnan(agreement(torch.tensor([[2.0, 0], [3, 0]])).alpha)
    assert krippendorff_alpha(torch.tensor([[2.0, 0], [0, 2]])) == 1.0
    assert krippendorff_alpha(torch.ones(50, 2)) == pytest.approx(1 - 99 * 100 / 5000)


def test_calibration_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=torch.float64)
    found = judged(p.log(), torch.tensor([0, 1, 0, 1]), Task.SINGLE_LABEL)
    # Bins of 1/15: 0.9 twice, one right; 0.6 and 0.8 alone, right.
    assert found["ece"] == pytest.approx(100 * (abs(1 - 1.8) + 0.4 + 0.2) / 4)
    assert found["nll"] == pytest.approx(-(log(0.9) + log(0.1) + log(0.6) + log(0.8)) / 4)
    middle, half = (0.75 + 1.959964**2 / 8), 1.959964 * sqrt(0.75 * 0.25 / 4 + 1.959964**2 / 64)
    whole = 1 + 1.959964**2 / 4
    ends = (found["accuracy"], found["accuracy_low"], found["accuracy_high"])
    assert ends == pytest.approx((75, 100 * (middle - half) / whole, 100 * (middle + half) / whole), abs=1e-3)
    bins = reliability_bins(p.log(), torch.tensor([0, 1, 0, 1]), Task.SINGLE_LABEL)
    assert bins["confidence"].tolist() == pytest.approx([60, 80, 90])
    assert (bins["right"].tolist(), bins["n"].tolist()) == ([100, 100, 50], [1, 1, 2])
    assert np.isnan(share("x", 0, 0)["x"])


def test_the_best_temperature_is_that_of_the_closed_form():
    """Two classes, every logit margin m, a share q right: best where sigmoid(m / T) = q."""
    logits, target = torch.tensor([[4.0, 0.0]]).expand(10, 2), torch.tensor([0] * 8 + [1] * 2)
    assert best_temperature(logits, target, Task.SINGLE_LABEL) == pytest.approx(4 / log(0.8 / 0.2), rel=1e-3)
    assert best_temperature(logits, torch.zeros(10).long(), Task.SINGLE_LABEL) is None


def test_the_threshold_parts_right_from_wrong():
    score, right = torch.tensor([0.1, 0.4, 0.5, 0.7, 0.9]), torch.tensor([False, True, False, True, True])
    assert opinion_threshold(score, right) == pytest.approx(0.7)  # 2/3 - 0 is more than 3/3 - 1/2
    assert opinion_threshold(score, torch.ones(5, dtype=torch.bool)) == pytest.approx(0.1)


def _answers(**how):
    return read_answers(simulate_answers(DATA, **how), DATA)


def test_a_filter_by_the_truth_is_right_and_by_itself_as_sure_as_it_says():
    given = _answers(right=0.7, coverage=0.8)
    truth = TeacherOutputs(DATA.sample_index, 20.0 * torch.eye(3)[DATA.target][None], identity=DATA.identity)
    kept = given.filter(truth)
    assert kept.filtered["precision"].tolist() == [100, 100, 100]
    assert kept.filtered["recall"].tolist() == [100, 100, 100]
    before = given.table["accuracy"].to_numpy()
    np.testing.assert_allclose(kept.filtered["before"], before)
    assert kept.filtered["kept"].tolist() == [
        round(a * n / 100) for a, n in zip(before, (160, 80, 64), strict=True)
    ]
    assert kept.table["accuracy"].tolist() == [100, 100, 100]
    assert "train answers: 100.0 % [" in repr(kept)
    wrong = 80 - kept.filtered["kept"][1]
    assert f"was chosen on 80 validation answers, {wrong} of them wrong." in kept.notes[0]
    several = _answers(right=0.7, coverage=0.8, votes=3)
    alike = several.filter(several, threshold=0.99)
    assert (alike.counts.max(1).values == 3).all()


def test_a_second_opinions_precision_and_recall_are_those_of_chance():
    """Independent answers, right with r and s of K classes: precision and recall by Bayes."""
    data = pairs(splits={"train": 4000, "val": 800, "test": 100}, classes=4)
    r, s, k = 0.7, 0.8, 4
    first = read_answers(simulate_answers(data, right=r, coverage=0.9, seed=0), data)
    second = read_answers(simulate_answers(data, right=s, coverage=1.0, seed=1), data)
    row = first.filter(second).filtered.iloc[0]
    assert row["recall_low"] < 100 * s < row["recall_high"]
    both = r * s / (r * s + (1 - r) * (1 - s) / (k - 1))
    assert row["precision_low"] < 100 * both < row["precision_high"]


def test_what_the_second_has_not_answered_is_rejected_and_the_control_is_as_large():
    given, second = _answers(right=0.8, coverage=1.0), _answers(right=0.9, coverage=0.5, seed=3)
    kept = given.filter(second, threshold=0.5)
    assert torch.isin(kept.outputs.index, second.outputs.index).all()
    control, again = given.random_like(kept, seed=1), given.random_like(kept, seed=1)
    assert control.outputs.coverage(DATA) == kept.outputs.coverage(DATA)
    assert torch.equal(control.outputs.index, again.outputs.index)
    assert not torch.equal(control.outputs.index, given.random_like(kept, seed=2).outputs.index)


def test_filters_that_cannot_be_had_are_named():
    given = _answers(coverage=0.5)
    alone = read_answers(simulate_answers(DATA, coverage=0.5), DATA)
    elsewhere = replace(alone.outputs, identity=replace(DATA.identity, fingerprint="0" * 16))
    train = read_answers(simulate_answers(DATA.select(DATA.positions("train"))), DATA)
    for call, words in (
        (lambda: given.filter("answers.csv"), "must be answers or outputs"),
        (lambda: given.filter(elsewhere), "must be of the data"),
        (lambda: given.filter(train), "no validation sample has both"),
        (lambda: given.filter(alone, threshold=0.0), "above 0"),
        (lambda: given._only(torch.zeros(len(given.counts), dtype=torch.bool)), "must leave answers"),
        (lambda: alone.random_like(read_answers(simulate_answers(DATA, coverage=1.0), DATA)), "at most"),
    ):
        with pytest.raises(LabError, match=words):
            call()
