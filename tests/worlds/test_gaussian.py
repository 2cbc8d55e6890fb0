"""Worlds: what they declare is what they hold, and their numbers are the published ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data import load
from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, TABLE2, World, worlds
from mmkd_lab.data.datasets.gaussian_world import bayes_accuracy, information


def test_shares_of_figure_2():
    gamma = [spec.gamma_union for spec in FIGURE2]
    assert gamma == pytest.approx([0, 1 / 9, 1 / 4, 3 / 7, 2 / 3, 1])
    assert [spec.gamma_a for spec in FIGURE2] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert [spec.gamma_b for spec in FIGURE2] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert [spec.unobserved for spec in FIGURE2] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert {spec.latents for spec in FIGURE2} == {20}
    for spec in FIGURE2:
        assert spec.alpha + spec.beta + spec.gamma_union == pytest.approx(1)
        assert spec.bayes_accuracy("a") == pytest.approx(75)
        assert spec.bayes_accuracy("b") == pytest.approx(75)


def test_shares_of_figure_3_and_table_2():
    assert [spec.alpha for spec in FIGURE3] == pytest.approx([0, 1 / 2, 2 / 3, 3 / 4, 4 / 5])
    assert {spec.beta for spec in (*FIGURE3, *TABLE2)} == {0.0}
    assert [spec.unobserved for spec in FIGURE3] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])
    assert [spec.gamma_union for spec in TABLE2] == pytest.approx([1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4])
    assert {spec.bayes_accuracy("a") for spec in TABLE2} == {100.0}


def test_gamma_of_a_modality_that_sees_nothing_is_undefined():
    spec = World(0, 5, 0, hidden=0)
    assert np.isnan(spec.gamma_b)
    assert spec.gamma_a == 0


@pytest.mark.parametrize(
    ("share", "percent"), [(1 / 4, 66.67), (1 / 3, 69.59), (1 / 2, 75), (2 / 3, 80.41), (3 / 4, 83.33)]
)
def test_bayes_accuracy_known_values(share, percent):
    assert bayes_accuracy(share**0.5) == pytest.approx(percent, abs=0.005)


@pytest.mark.parametrize("rho", [0.01, 0.3, 0.5**0.5, 0.95, 0.9999])
def test_information_equals_adaptive_quadrature(rho):
    from scipy.integrate import quad
    from scipy.stats import norm

    def integrand(u):  # over u = rho t / sqrt(1 - rho^2), where no factor is a step
        p = norm.cdf(-abs(u))
        entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)) if p > 0 else 0.0
        return entropy * norm.pdf(u * slope) * slope

    slope = np.sqrt(1 - rho**2) / rho
    reach = 12 * min(1.0, 1 / slope)
    assert information(rho) == pytest.approx(1 - 2 * quad(integrand, 0, reach, epsabs=1e-12)[0], abs=1e-9)


def test_information_at_the_ends_and_in_order():
    assert information(0.0) == 0.0
    assert information(1.0) == 1.0
    found = [information(rho) for rho in np.linspace(0, 1, 50)]
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("view", ["a", "b", "ab", "shared"])
def test_the_bayes_rule_reaches_the_bayes_accuracy(view):
    spec = World(3, 4, 2, hidden=3, width_a=9, width_b=8, n_train=1, n_test=200_000, offset_a=1)
    drawn = worlds(spec, [5])
    delta = drawn.hyperplane[0]
    a, b = drawn.a[0][:, 1:8], drawn.b[0][:, :5]  # shared then specific; specific then shared
    latents = np.concatenate([b, a[:, 3:]], axis=1)
    seen = np.zeros(9)
    seen[spec.seen(view)] = delta[spec.seen(view)]
    reached = 100 * np.mean((latents @ seen > 0) == drawn.target[0])
    assert reached == pytest.approx(drawn.bayes_accuracy(view)[0], abs=0.4)
    assert drawn.information(view)[0] == pytest.approx(spec.information(view, delta))


def test_draws_follow_the_released_order():
    """The order of figure 2, written out for one world: hyperplane, latents, noise of b, noise of a."""
    drawn = worlds(FIGURE2[1], [3])
    stream = np.random.RandomState(3)
    delta = stream.randn(500)[:20]
    z, b, a = stream.randn(200, 20), stream.randn(200, 50), stream.randn(200, 25)
    b[:, :10], a[:, 8:18] = z[:, :10], z[:, 8:18]
    assert np.array_equal(drawn.hyperplane[0], delta)
    assert np.array_equal(drawn.a[0, :200], a.astype(np.float32))
    assert np.array_equal(drawn.b[0, :200], b.astype(np.float32))
    assert np.array_equal(drawn.target[0, :200], z @ delta > 0)
    stream = np.random.RandomState(4)
    z, b, a = stream.randn(1000, 20), stream.randn(1000, 50), stream.randn(1000, 25)
    b[:, :10], a[:, 8:18] = z[:, :10], z[:, 8:18]
    assert np.array_equal(drawn.a[0, 200:], a.astype(np.float32))
    assert np.array_equal(drawn.target[0, 200:], z @ delta > 0)


def test_draws_leave_the_global_generator_alone():
    np.random.seed(7)  # noqa: NPY002 - the global generator is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    worlds(FIGURE2, [0, 1])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_many_worlds_equal_one_by_one():
    many = worlds(FIGURE3, [2, 9])
    assert many.seeds == (2, 9) * 5
    for i, spec in enumerate(FIGURE3):
        alone = worlds(spec, [9])
        assert np.array_equal(many.a[2 * i + 1], alone.a[0])
        assert np.array_equal(many.b[2 * i + 1], alone.b[0])
        assert np.array_equal(many.target[2 * i + 1], alone.target[0])


def test_modality_b_does_not_change_along_figure_2():
    drawn = worlds(FIGURE2, [0])
    assert np.array_equal(drawn.b, np.broadcast_to(drawn.b[0], drawn.b.shape))
    assert not np.array_equal(drawn.a[0], drawn.a[1])


def test_a_test_stream_of_its_own():
    released, own = (worlds(replace(FIGURE2[0], stream=s), [1]) for s in ("figures", "independent"))
    assert np.array_equal(released.a[:, :200], own.a[:, :200])
    assert not np.array_equal(released.a[:, 200:], own.a[:, 200:])


def test_columns_name_every_column_once():
    spec = FIGURE2[2]
    for modality, width in (("a", 25), ("b", 50)):
        found = np.concatenate([spec.columns(modality, part) for part in ("shared", "specific", "noise")])
        assert np.array_equal(np.sort(found), np.arange(width))
    drawn = worlds(spec, [0])
    shared_a, shared_b = (
        drawn.a[0][:, spec.columns("a", "shared")],
        drawn.b[0][:, spec.columns("b", "shared")],
    )
    assert np.array_equal(shared_a, shared_b)
    only = drawn.only("a", "shared")
    assert np.array_equal(only.a[0][:, spec.columns("a", "shared")], shared_a)
    assert np.count_nonzero(only.a[0][:, spec.columns("a", "specific")]) == 0
    assert np.array_equal(only.b, drawn.b)


def test_a_world_as_paired_data():
    spec = replace(FIGURE2[3], n_val=150)
    drawn = worlds([spec], [4])
    data = drawn[0]
    assert {name: len(where) for name, where in data.splits.items()} == {
        "train": 200,
        "val": 150,
        "test": 1000,
    }
    test = data.positions("test")
    assert torch.equal(data.batch(test)["a"], torch.from_numpy(drawn.a[0, drawn.rows("test")]))
    assert data.recipe["seed"] == 4
    assert data.recipe["shared"] == 6
    assert data.fingerprint != worlds([spec], [5])[0].fingerprint
    assert drawn.fingerprint != worlds([spec], [5]).fingerprint


def test_load_by_name():
    data = load("gaussian", shared=2, specific_a=3, specific_b=1, hidden=0, width_a=6, width_b=4, n_train=50)
    assert data.shapes == {"a": (6,), "b": (4,)}
    assert len(data.splits["train"]) == 50
    assert len(data.splits["val"]) == 200


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: World(shared=-1), ("shared = -1", "at least 0")),
        (lambda: World(shared=2.5), ("shared = 2.5", "whole number")),
        (lambda: World(0, 0, 0), ("shared + specific_a + specific_b = 0", "at least 1")),
        (lambda: World(6, 4, 4, width_a=9), ("width_a = 9", "need 10 columns")),
        (lambda: World(6, 4, 4, width_a=12, offset_a=4), ("width_a = 12", "need 14 columns")),
        (lambda: World(6, 4, 4, width_b=3), ("width_b = 3", "need 10 columns")),
        (lambda: World(n_train=0), ("n_train = 0", "at least 1")),
        (lambda: World(hyperplane="one"), ("hyperplane = 'one'", "Did you mean 'ones'?")),
        (lambda: World(stream="figure"), ("stream = 'figure'", "Did you mean 'figures'?")),
        (lambda: World().rho("c"), ("view = 'c'", "'shared'")),
        (lambda: World().bayes_accuracy("a", np.ones(3)), ("hyperplane = (3,)", "(20,)")),
        (lambda: World().columns("c", "noise"), ("modality = 'c'", "'a' or 'b'")),
        (lambda: World().columns("a", "nois"), ("part = 'nois'", "Did you mean 'noise'?")),
        (lambda: worlds([], [0]), ("specs = ()", "at least one world")),
        (lambda: worlds(3, [0]), ("specs = 3", "FIGURE2")),
        (lambda: worlds(["figure2"], [0]), ("specs = 'figure2'", "World(...)")),
        (lambda: worlds([World(), World(width_b=51)], [0]), ("specs = (25, 51,", "agree in widths")),
        (lambda: worlds(World(), []), ("seeds = []", "at least one seed")),
        (lambda: worlds(World(), [1, 1]), ("seeds = [1, 1]", "twice")),
        (lambda: worlds(World(), [2**32]), ("seeds = 4294967296", "must be below 4294967295")),
        (lambda: worlds(World(), [0])[1], ("i = 1", "0 to 0")),
        (lambda: worlds(World(), [0]).rows("val"), ("split = 'val'", "'train' or 'test'")),
        (lambda: worlds(World(), [0]).modality("c"), ("view = 'c'", "'ab'")),
        (lambda: worlds(World(), [0]).only("a"), ("parts = ()", "'specific'")),
        (lambda: load("gaussian", share=3), ("= 'share'", "Did you mean 'shared'?")),
        (lambda: bayes_accuracy(1.5), ("rho = 1.5", "at most 1")),
        (lambda: information(-0.1), ("rho = -0.1", "at least 0")),
    ],
)
def test_wrong_arguments_are_named(build, parts):
    with pytest.raises(LabError) as caught:
        build()
    for part in parts:
        assert part in str(caught.value)


def test_worlds_come_one_by_one():
    drawn = worlds(FIGURE2[:2], [3])
    assert [one.fingerprint for one in drawn] == [drawn[0].fingerprint, drawn[1].fingerprint]
    assert drawn[-1].fingerprint == drawn[1].fingerprint


@pytest.mark.parametrize("i", [2, -3, "0", None, 0.0])
def test_a_world_that_is_not_there_is_named(i):
    with pytest.raises(LabError, match="i = "):
        worlds(FIGURE2[:2], [3])[i]


@pytest.mark.parametrize("plane", ["x", [1.0], np.zeros(20), np.full(20, np.nan), [10**400] * 20])
def test_hyperplanes_that_are_none_are_named(plane):
    with pytest.raises(LabError, match="hyperplane = "):
        World().rho("a", plane)
