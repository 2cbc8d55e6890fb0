"""Declared shares and exact informations of Gaussian worlds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.gaussian_world import information
from mmkd_lab.shares.gaussian import declared, gaussian_pid, world_pid
from mmkd_lab.shares.pid import pid
from tests.shares.worlds import Small


def test_declared_counts():
    shares = declared(Small(shared=10, specific_a=30, specific_b=0, hidden=0))
    assert (shares.alpha, shares.beta, shares.gamma) == (0.75, 0.0, 0.25)
    assert shares.gamma_a == 0.25
    assert shares.gamma_b == 1.0
    assert shares.unobserved == 0.0


def test_figure_2_with_hidden_latents():
    shares = declared(Small(shared=4, specific_a=6, specific_b=6, hidden=4))
    assert shares.gamma == pytest.approx(0.25)
    assert shares.unobserved == pytest.approx(0.2)


def test_energy_follows_the_hyperplane_and_its_order():
    delta = np.array(
        [1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 5.0, 5.0]
    )  # b, b, shared x 3, a x 3, hidden x 2
    shares = declared(Small(), hyperplane=delta, by="energy")
    assert (shares.alpha, shares.beta, shares.gamma) == pytest.approx((27 / 41, 2 / 41, 12 / 41))
    assert shares.unobserved == pytest.approx(50 / 91)
    equal = declared(Small(), by="energy")
    assert equal.gamma == declared(Small()).gamma


def test_wrong_arguments_are_refused():
    with pytest.raises(LabError, match=r"hyperplane = \(3,\): must have one coordinate per latent, \(10,\)"):
        declared(Small(), hyperplane=[1, 2, 3], by="energy")
    with pytest.raises(LabError, match="by = 'mass'"):
        declared(Small(), by="mass")
    with pytest.raises(LabError, match=r"rho = 1\.5"):
        information(1.5)
    with pytest.raises(LabError, match="width_a = 2"):
        gaussian_pid(np.eye(3), width_a=2)
    with pytest.raises(LabError, match="covariance = -"):
        gaussian_pid(np.array([[1, 2, 0], [2, 1, 0], [0, 0, 1.0]]), width_a=1)


def test_information_of_a_sign_by_numbers():
    assert information(0.0) == 0.0
    assert information(1.0) == 1.0
    t = np.linspace(-9, 9, 200_001)
    for rho in (0.1, 0.5, 0.9, 0.999):
        p = np.array([0.5 * math.erfc(-u / math.sqrt(2)) for u in rho * t / math.sqrt(1 - rho**2)])
        p = np.clip(p, 1e-300, 1 - 1e-16)
        h = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        expected = 1 - float((h * np.exp(-t * t / 2)).sum() * (t[1] - t[0]) / math.sqrt(2 * math.pi))
        assert information(rho) == pytest.approx(expected, abs=1e-7)


def test_two_modalities_that_see_different_latents_equally_well_are_redundant_to_pid():
    found = world_pid(Small(shared=0, specific_a=4, specific_b=4, hidden=0))
    assert found.unique_1 == 0.0
    assert found.unique_2 == 0.0
    assert found.redundancy == pytest.approx(information(math.sqrt(0.5)))
    assert declared(Small(shared=0, specific_a=4, specific_b=4, hidden=0)).gamma == 0.0


@pytest.mark.parametrize(
    "spec", [Small(0, 4, 4, 0), Small(3, 3, 2, 2), Small(2, 6, 0, 0), Small(0, 7, 1, 2), Small(4, 0, 0, 4)]
)
def test_the_closed_form_is_the_limit_of_the_solver_on_finer_and_finer_tables(spec):
    """Cells of (score seen by a, score seen by b), label by its exact conditional probability."""
    from scipy.special import ndtr

    own_a, own_b, both, hidden = spec.specific_a, spec.specific_b, spec.shared, spec.hidden
    errors = []
    for bins in (6, 18):
        rng = np.random.default_rng(1)
        n = 200_000
        shared = math.sqrt(both) * rng.standard_normal(n)
        only_a, only_b = math.sqrt(own_a) * rng.standard_normal(n), math.sqrt(own_b) * rng.standard_normal(n)
        score = shared + only_a + only_b
        p = ndtr(score / math.sqrt(hidden)) if hidden else (score > 0).astype(float)
        edges = np.linspace(-2.6, 2.6, bins - 1)
        one = np.searchsorted(edges, (shared + only_a) / math.sqrt(max(both + own_a, 1)))
        two = np.searchsorted(edges, (shared + only_b) / math.sqrt(max(both + own_b, 1)))
        table = np.zeros((bins, bins, 2))
        np.add.at(table[:, :, 1], (one, two), p)
        np.add.at(table[:, :, 0], (one, two), 1 - p)
        found, exact = pid(table), world_pid(spec)
        errors.append(
            max(
                abs(getattr(found, part) - getattr(exact, part))
                for part in ("redundancy", "unique_1", "unique_2")
            )
        )
    assert errors[1] < 0.03
    assert errors[1] < errors[0] + 0.005


def test_gaussian_target_against_the_formula_for_two_scalars():
    r_a, r_b, r = 0.6, 0.4, 0.3
    sigma = np.array([[1, r, r_a], [r, 1, r_b], [r_a, r_b, 1.0]])
    found = gaussian_pid(sigma, width_a=1)
    multiple = (r_a**2 + r_b**2 - 2 * r_a * r_b * r) / (1 - r**2)
    assert found.information_1 == pytest.approx(-0.5 * math.log2(1 - r_a**2))
    assert found.redundancy == pytest.approx(-0.5 * math.log2(1 - r_b**2))
    assert found.unique_2 == 0.0
    assert found.information == pytest.approx(-0.5 * math.log2(1 - multiple))


def test_gaussian_information_does_not_depend_on_the_coordinates():
    rng = np.random.default_rng(2)
    root = rng.standard_normal((5, 5))
    sigma = root @ root.T + np.eye(5)
    turn = np.eye(5)
    turn[:2, :2], turn[2:4, 2:4] = rng.standard_normal((2, 2)), rng.standard_normal((2, 2))
    before, after = gaussian_pid(sigma, width_a=2), gaussian_pid(turn @ sigma @ turn.T, width_a=2)
    for part in ("redundancy", "unique_1", "unique_2", "synergy"):
        assert getattr(after, part) == pytest.approx(getattr(before, part), abs=1e-10)
