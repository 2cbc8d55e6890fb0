"""The released code's numbers come out again: figures 2 and 3, Table 2, and the large-sample check.

The reference numbers are re-runs of the authors' Gaussian experiments (Xue et al. 2023), in percent and in
points.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, worlds
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds

PROPER = WorldsRecipe(convention="kl")


def by_spec(values, specs):
    """Seed means, one for each world of the sweep."""
    return values.reshape(len(specs), -1).mean(axis=1)


def curves(drawn, specs, **options):
    """Teacher, no KD, KD, and KD minus no KD along a sweep."""
    fit = fit_worlds(drawn, **options)
    teacher = by_spec(fit.accuracy("cm_kd", role="teacher"), specs)
    no_kd, kd = (by_spec(fit.accuracy(arm), specs) for arm in ("no_kd", "cm_kd"))
    return teacher, no_kd, kd, kd - no_kd


def test_figure_2_with_the_released_seeds():
    teacher, no_kd, kd, _ = curves(worlds(FIGURE2, range(10)), FIGURE2)
    np.testing.assert_allclose(teacher, [70.38, 70.17, 70.42, 72.58, 76.37, 73.38], atol=0.05, rtol=0)
    np.testing.assert_allclose(no_kd, [69.41] * 6, atol=0.05, rtol=0)
    np.testing.assert_allclose(kd, [68.70, 68.96, 69.07, 69.65, 70.94, 71.91], atol=0.05, rtol=0)


def test_figure_2_spread_of_the_paired_difference():
    fit = fit_worlds(worlds(FIGURE2, range(10)))
    gain = (fit.accuracy("cm_kd") - fit.accuracy("no_kd")).reshape(6, 10)
    np.testing.assert_allclose(gain.std(axis=1), [1.00, 0.86, 1.21, 1.47, 1.14, 1.49], atol=0.05, rtol=0)


@pytest.fixture(scope="module")
def hundred():
    return worlds(FIGURE2, range(100))


def test_figure_2_with_a_hundred_seeds(hundred):
    teacher, no_kd, _, gain = curves(hundred, FIGURE2)
    np.testing.assert_allclose(teacher, [70.52, 70.52, 71.05, 71.35, 72.11, 71.96], atol=0.05, rtol=0)
    np.testing.assert_allclose(no_kd, [68.59] * 6, atol=0.05, rtol=0)
    np.testing.assert_allclose(gain, [-1.36, -0.81, -0.05, 0.55, 1.41, 2.28], atol=0.15, rtol=0)


def test_figure_2_with_the_true_divergence(hundred):
    gain = curves(hundred, FIGURE2, recipe=PROPER)[3]
    np.testing.assert_allclose(gain, [-2.86, -1.81, -0.45, 0.59, 1.85, 3.18], atol=0.15, rtol=0)


def test_figure_3_with_the_released_seeds():
    teacher, no_kd, kd, _ = curves(worlds(FIGURE3, range(10)), FIGURE3)
    np.testing.assert_allclose(teacher, [58.45, 65.20, 70.78, 79.62, 90.53], atol=0.05, rtol=0)
    np.testing.assert_allclose(no_kd, [57.90] * 5, atol=0.05, rtol=0)
    np.testing.assert_allclose(kd, [59.49, 58.87, 58.56, 58.46, 58.21], atol=0.05, rtol=0)


def test_figure_3_with_a_hundred_seeds():
    teacher, no_kd, _, gain = curves(worlds(FIGURE3, range(100)), FIGURE3)
    np.testing.assert_allclose(teacher, [57.86, 64.73, 71.32, 79.18, 89.75], atol=0.05, rtol=0)
    np.testing.assert_allclose(no_kd, [57.96] * 5, atol=0.05, rtol=0)
    np.testing.assert_allclose(gain, [1.36, 1.00, 0.66, 0.34, 0.12], atol=0.15, rtol=0)


def test_the_gain_is_one_of_small_samples():
    """Thirty seeds with the true divergence at gamma 0, 1/4 and 1; kl_only at gamma 0."""
    specs = [FIGURE2[i] for i in (0, 2, 5)]
    wanted = {200: ([-3.05, -0.93, 2.95], -12.5), 1000: ([-1.94, -1.77, 0.90], -21.9)}
    for n_train, (gains, alone) in wanted.items():
        sized = [replace(spec, n_train=n_train) for spec in specs]
        fit = fit_worlds(worlds(sized, range(30)), arms=("no_kd", "cm_kd", "kl_only"), recipe=PROPER)
        no_kd = fit.accuracy("no_kd")
        gain, worth = (by_spec(fit.accuracy(arm) - no_kd, specs) for arm in ("cm_kd", "kl_only"))
        np.testing.assert_allclose(gain, gains, atol=0.6, rtol=0)
        assert worth[0] == pytest.approx(alone, abs=1.5)


def test_no_network_beats_the_bayes_accuracy():
    drawn = worlds(FIGURE2, range(10))
    fit = fit_worlds(drawn)
    assert fit.accuracy("no_kd").mean() < drawn.bayes_accuracy("b").mean()
    assert fit.accuracy("cm_kd", role="teacher").mean() < drawn.bayes_accuracy("a").mean()
