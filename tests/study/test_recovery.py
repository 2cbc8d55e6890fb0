"""Declared shares against estimated ones."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import Study
from mmkd_lab.shares import ESTIMATORS, Estimator, declared
from mmkd_lab.shares.shares import from_masses
from mmkd_lab.study import known_shares
from mmkd_lab.study.recovery import SHARED, mean_errors, sides_of, world_of


@pytest.fixture(scope="module")
def plain():
    return known_shares(methods=["canonical", "count", "information"], seeds=[0, 1], samples=800)


def test_worlds_declare_what_they_are_asked_for():
    for shared in SHARED:
        truth = declared(world_of(shared, samples=300))
        assert truth.gamma == shared / 16
        assert truth.alpha == truth.beta
        assert truth.unobserved == 4 / 20


def test_the_truth_of_the_decomposition_is_full_redundancy(plain):
    assert plain.provenance["pid"] == {f"{shared / 16:g}": pytest.approx(1.0) for shared in SHARED}


def test_channels_find_the_declared_share_and_information_does_not(plain):
    errors = mean_errors(plain.table)
    assert errors["canonical"] < 0.05
    assert errors["count"] < 0.05
    assert errors["information"] > 0.3
    means = plain.table[plain.table["metric"] == "gamma_union"].groupby(["arm", "gamma"])["value"].mean()
    assert (np.diff(means["canonical"]) > 0.1).all()
    assert (means["information"] > 0.6).all()
    assert "10 Gaussian worlds of 800 samples" in plain.verdict


def test_mixing_spoils_counts_and_not_canonical_channels():
    mixed = known_shares(methods=["canonical", "count"], seeds=[0], encoder="tanh")
    errors = mean_errors(mixed.table)
    assert errors["canonical"] < 0.03
    assert errors["count"] > 0.05


def test_seeds_draw_worlds_of_their_own_and_the_same_again():
    spec = world_of(8, samples=300)
    one, again, other = (sides_of(spec, seed, encoder="tanh") for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.a, again.a)
    assert not np.allclose(one.a, other.a)
    assert np.abs(one.a).max() <= 1.0


def test_it_comes_back_as_it_was_saved(plain, tmp_path):
    plain.save(tmp_path)
    again = Study.load(tmp_path / plain.name)
    assert again.table.equals(plain.table)
    assert (tmp_path / f"{plain.name}.png").exists()


def test_worlds_without_a_number_are_counted():
    found = known_shares(methods=["count", "commonality"], seeds=[0, 1], samples=200)
    gammas = found.table[found.table["metric"] == "gamma_union"].groupby("arm").size()
    missing = {name: 10 - int(gammas[name]) for name in ("count", "commonality")}
    assert found.provenance["undefined"] == missing == {"count": 1, "commonality": 0}
    assert "by counted decisive channels (undefined in 1 world), 0.0" in found.verdict


def _silent(sides, seed, resamples):
    return from_masses(np.array([0.0, 0.0, 0.0, 0.0, 1.0]), method="silent")


def test_a_method_without_any_number_is_named(monkeypatch):
    monkeypatch.setitem(ESTIMATORS._parts, "count", Estimator(_silent, "counted decisive channels"))
    found = known_shares(methods=["count", "commonality"], seeds=[0], samples=200)
    assert found.verdict.endswith("on average; undefined in all of them by counted decisive channels.")
    assert found.provenance["undefined"] == {"count": 5, "commonality": 0}
    rule = r"samples = 200: leaves gamma undefined in all 5 worlds by counted decisive channels"
    with pytest.raises(LabError, match=rule):
        known_shares(methods=["count"], seeds=[0], samples=200)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"methods": ["guess"]}, "method = 'guess'"),
        ({"encoder": "deep"}, "encoder = 'deep'"),
        ({"samples": 50}, "samples = 50: must be .*at least 200"),
        ({"seeds": [1, 1]}, "seeds"),
    ],
    ids=["method", "encoder", "samples", "seeds"],
)
def test_wrong_questions_are_refused(asked, expected):
    with pytest.raises(LabError, match=expected):
        known_shares(**asked)
