"""Every estimator: known answers, invariances, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.shares import (
    Criteria,
    commonality_shares,
    decisive_channels,
    declared,
    information_shares,
    performance_shares,
)
from mmkd_lab.shares.folds import cross_fitted
from tests.shares.worlds import Small, draw, xor

QUICK = {"criteria": Criteria(permutations=100), "resamples": 15}
MARGINAL = {"criteria": Criteria("marginal", permutations=100), "resamples": 15}


def estimates(a, b, y):
    return {
        "commonality": commonality_shares(a, b, y),
        "decisive": decisive_channels(a, b, y, **QUICK).shares,
        "information": information_shares(a[:, 0], b[:, 0], y, bootstrap=20, permutations=10),
    }


# information


def codes(rule, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    one, two = rng.integers(2, size=(2, n))
    return one, two, rule(one, two)


def test_gates_by_samples():
    xor_type = information_shares(*codes(lambda i, j: i ^ j), bootstrap=20)
    assert xor_type.xor_type
    assert xor_type.synergy == pytest.approx(1.0, abs=0.01)
    copies = information_shares(*[codes(lambda i, j: i)[k] for k in (0, 0, 2)], bootstrap=20)
    assert copies.gamma == pytest.approx(1.0)
    assert copies.unobserved == pytest.approx(0.0, abs=0.01)
    one_sided = information_shares(*codes(lambda i, j: i), bootstrap=20)
    assert one_sided.alpha == pytest.approx(1.0, abs=0.01)
    assert one_sided.intervals["alpha"].low > 0.98


def test_the_bias_of_an_unrelated_label_is_removed():
    rng = np.random.default_rng(4)
    a, b, y = rng.standard_normal(400), rng.standard_normal(400), rng.integers(2, size=400)
    corrected = information_shares(a, b, y, bins=5, bootstrap=0)
    plug_in = information_shares(a, b, y, bins=5, bootstrap=0, permutations=0)
    assert 1 - corrected.unobserved < 0.4 * (1 - plug_in.unobserved)


def test_all_kinds_of_interval_hold_the_estimate():
    a, b, y = draw(n=1500)
    for kind in ("percentile", "basic", "recentred"):
        shares = information_shares(a.sum(1), b.sum(1), y, interval=kind, bootstrap=100)
        ends = shares.intervals["gamma_union"]
        assert ends.low <= shares.gamma <= ends.high
        assert ends.high - ends.low < 0.6


# commonality


def test_commonality_finds_the_declared_shares():
    a, b, y = draw(n=6000)
    shares, truth = commonality_shares(a, b, y), declared(Small())
    for name in ("alpha", "beta", "gamma_union"):
        assert shares.value(name) == pytest.approx(truth.value(name), abs=0.06)
        ends = shares.intervals[name]
        assert ends.low < truth.value(name) < ends.high
    assert shares.unobserved == pytest.approx(0.2, abs=0.05)
    assert shares.synergy == 0.0


def test_commonality_by_hand_on_orthogonal_columns():
    """Exactly uncorrelated columns: shares are ratios of squared correlations, up to the adjustment."""
    n = 1024
    wave = np.array([[1.0, -1.0][(i >> k) & 1] for k in range(3) for i in range(n)]).reshape(3, n)
    y = (wave.T @ [3.0, 2.0, 1.5] > 0).astype(int)
    a, b = wave[[0, 1]].T, wave[[0, 2]].T
    r2 = np.array([np.corrcoef(w, y)[0, 1] ** 2 for w in wave])
    shares = commonality_shares(a, b, y, products=False)
    assert shares.gamma == pytest.approx(r2[0] / r2.sum(), abs=2e-3)
    assert shares.alpha == pytest.approx(r2[1] / r2.sum(), abs=2e-3)
    assert shares.synergy is None


def test_commonality_ignores_invertible_linear_maps_and_repeated_columns():
    a, b, y = draw(n=800)
    rng = np.random.default_rng(1)
    plain = commonality_shares(a, b, y, products=False)
    turned = commonality_shares(a @ rng.standard_normal((a.shape[1],) * 2) + 3.0, b, y, products=False)
    repeated = commonality_shares(np.column_stack([a, a[:, :2]]), b, y, products=False)
    for other in (turned, repeated):
        assert other.gamma == pytest.approx(plain.gamma, abs=1e-6)
        assert other.intervals["gamma_union"].low == pytest.approx(
            plain.intervals["gamma_union"].low, abs=1e-6
        )


def test_normal_scores_undo_increasing_distortions():
    a, b, y = draw(n=800)
    plain = commonality_shares(a, b, y, ranks=True, products=False)
    bent = commonality_shares(np.exp(2 * a), b**3, y, ranks=True, products=False)
    assert bent.gamma == pytest.approx(plain.gamma, abs=1e-9)


def test_products_reveal_xor():
    a, b, y = xor(n=2000)
    shares = commonality_shares(a, b, y)
    assert shares.xor_type
    assert shares.synergy > 0.9
    assert shares.unobserved is None


# decisive channels


def test_the_right_channels_are_found():
    a, b, y = draw(n=6000)
    found = decisive_channels(a, b, y, **QUICK)
    assert set(found.channels("a", general=True)) == {0, 1, 2}
    assert {0, 1, 2, 3, 4, 5} <= set(found.channels("a"))
    assert set(found.channels("b", general=True)) == {2, 3, 4}
    assert found.shares.gamma == pytest.approx(declared(Small()).gamma, abs=0.1)
    assert found.table["p"].between(0, 1).all()


def test_false_discoveries_stay_near_their_rate():
    rng, wrong, claimed = np.random.default_rng(9), 0, 0
    criteria = Criteria(rate=0.1, permutations=40)
    for seed in range(12):
        x = rng.standard_normal((300, 40))
        y = (x[:, :5].sum(1) + rng.standard_normal(300) > 0).astype(int)
        found = decisive_channels(
            x, rng.standard_normal((300, 3)), y, criteria=criteria, resamples=0, seed=seed
        )
        hits = found.channels("a")
        wrong, claimed = wrong + int((hits >= 5).sum()), claimed + len(hits)
    assert claimed >= 50
    assert wrong / claimed < 0.2


def test_a_proxy_is_decisive_alone_and_not_beside_its_source():
    rng = np.random.default_rng(10)
    source = rng.standard_normal(3000)
    y = (source + rng.standard_normal(3000) > 0).astype(int)
    a = np.column_stack([source, source + 0.5 * rng.standard_normal(3000)])
    b = rng.standard_normal((3000, 2))
    alone = decisive_channels(a, b, y, **MARGINAL)
    beside = decisive_channels(a, b, y, **QUICK)
    assert list(alone.channels("a")) == [0, 1]
    assert list(beside.channels("a")) == [0]


def test_canonical_coordinates_undo_mixing():
    a, b, y = draw(n=4000)
    rng = np.random.default_rng(11)
    mixed = a @ rng.standard_normal((a.shape[1],) * 2), b @ rng.standard_normal((b.shape[1],) * 2)
    found = decisive_channels(*mixed, y, basis="canonical", weight="energy", **MARGINAL).shares
    plain = decisive_channels(a, b, y, weight="energy", **MARGINAL).shares
    truth = declared(Small())
    assert found.gamma == pytest.approx(truth.gamma, abs=0.07)
    assert found.gamma == pytest.approx(plain.gamma, abs=0.04)


def test_canonical_coordinates_survive_channels_that_differ_in_a_few_samples():
    """As features do that are mostly 0: some half-samples have fewer independent channels than others."""
    a, b, y = draw(n=400)
    twin = a[:, :1].copy()
    twin[:2] += 5.0
    criteria = Criteria("marginal", permutations=100, least_shared=0.05)
    options = {"basis": "canonical", "weight": "energy", "criteria": criteria, "resamples": 15}
    found = decisive_channels(np.hstack([a, twin]), b, y, **options).shares
    plain = decisive_channels(a, b, y, **options).shares
    assert found.gamma == pytest.approx(plain.gamma, abs=0.05)
    assert found.intervals


def test_xor_is_flagged_though_no_channel_is_decisive():
    a, b, y = xor(n=2000)
    for weight in ("count", "energy"):
        found = decisive_channels(a, b, y, weight=weight, **QUICK).shares
        assert found.xor_type
        assert found.synergy == 1.0
        assert "XOR-type" in found.notes[0]


def test_the_share_of_synergy_does_not_depend_on_the_weight():
    a, b, y = draw(n=2000)
    exclusive = (a[:, -1] > 0) ^ (b[:, -1] > 0)
    y = np.where(np.random.default_rng(15).random(2000) < 0.5, exclusive, y).astype(int)
    by = {weight: decisive_channels(a, b, y, weight=weight, **QUICK).shares for weight in ("count", "energy")}
    assert by["count"].synergy == pytest.approx(by["energy"].synergy, abs=1e-9)
    expected = 4 / np.pi**2 / (4 / np.pi**2 + 0.8 * 2 / np.pi)  # both halves, on the scale of variance
    assert by["count"].synergy == pytest.approx(expected, abs=0.08)
    assert not by["count"].xor_type


# performance


def test_performance_by_hand():
    shares = performance_shares(70.0, 65.0, 75.0)
    assert (shares.alpha, shares.beta, shares.gamma) == pytest.approx((0.4, 0.2, 0.4))
    assert shares.unobserved == pytest.approx(0.5)
    assert "Fewer than three seeds" in shares.notes[0]


def test_the_latent_scale_returns_the_declared_energies():
    """Bayes accuracies of 3 own, 2 own, 3 shared and 2 hidden latents of equal weight."""
    seen = {
        view: 100 * (1 - np.arccos(np.sqrt(k / 10)) / np.pi) for view, k in (("a", 6), ("b", 5), ("ab", 8))
    }
    shares = performance_shares(seen["a"], seen["b"], seen["ab"], scale="latent")
    truth = declared(Small())
    for name in ("alpha", "beta", "gamma_union", "unobserved"):
        assert shares.value(name) == pytest.approx(truth.value(name), abs=1e-9)


def test_more_together_than_apart_is_called_synergy():
    shares = performance_shares([51.0] * 3, [50.5] * 3, [90.0] * 3)
    assert shares.xor_type
    assert shares.gamma == 0.0


# the probe


def test_predictions_are_made_without_the_sample_itself():
    rng = np.random.default_rng(13)
    x, y = rng.standard_normal((200, 60)), rng.integers(2, size=200)
    accuracy = (cross_fitted(x, y).argmax(1) == y).mean()
    assert 0.3 < accuracy < 0.7  # fitted to itself it would be near 0.8
    a, _, y = draw(n=1000)
    scores = cross_fitted(a, y)
    assert np.exp(scores).sum(1) == pytest.approx(1.0)
    assert (scores.argmax(1) == y).mean() > 0.7


def test_groups_stay_on_one_side():
    rng = np.random.default_rng(14)
    group = np.repeat(np.arange(20), 10)
    y = rng.integers(2, size=20)[group]
    x = np.eye(20)[group] + 0.01 * rng.standard_normal((200, 20))
    assert (cross_fitted(x, y, strength=100.0).argmax(1) == y).mean() == 1.0
    assert (cross_fitted(x, y, strength=100.0, groups=group).argmax(1) == y).mean() < 0.9


# repeatability


@pytest.mark.parametrize("name", ["commonality", "decisive", "information"])
def test_a_seed_gives_the_same_numbers(name):
    a, b, y = draw(n=400)
    one, two = estimates(a, b, y)[name], estimates(a, b, y)[name]
    assert one.to_table().equals(two.to_table())
