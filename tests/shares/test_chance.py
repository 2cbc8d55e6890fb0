"""Noise has no shares, what one modality knows alone is no synergy, and ties do not empty a bin."""

import numpy as np
import pytest

from mmkd_lab.shares import commonality_shares, decisive_channels, discretise, information_shares
from mmkd_lab.shares.channels import chance
from mmkd_lab.shares.synergy import product_variance


def noise(seed, *, n=400, d=4, classes=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)), rng.integers(0, classes, n)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", [information_shares, commonality_shares])
def test_shares_of_noise_are_undefined_and_say_so(method, classes):
    options = (
        {"bins": 3, "bootstrap": 0, "permutations": 30}
        if method is information_shares
        else {"products": False}
    )
    found = [method(*noise(seed, classes=classes), **options) for seed in range(12)]
    undefined = [shares for shares in found if not shares.defined]
    assert len(undefined) >= 10  # each is found decisive by chance once in twenty
    assert all("not shown to exceed" in shares.notes[0] for shares in undefined)
    assert all(not shares.synergy for shares in undefined)


def test_the_f_test_is_uniform_under_chance():
    rng, p = np.random.default_rng(0), []
    for _ in range(400):
        x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
        x, y = x - x.mean(0), y - y.mean(0)
        basis = np.linalg.qr(x)[0]
        explained = float(((basis.T @ y) ** 2).sum())
        left = float((y**2).sum()) - explained
        p.append(chance(explained, left, ranks=3, freedom=36, outputs=2))
    assert np.abs(np.quantile(p, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.07
    assert chance(1.0, 0.0, ranks=1, freedom=5, outputs=1) == 0.0


NAMES = (
    "square of a shared latent",
    "square of a blurred latent",
    "threshold of a blurred latent",
    "XOR inside both",
    "XOR inside a, half of it in b",
)


def known_alone(name, rng, n):
    """Labels that one modality tells by itself, though not linearly."""
    z, other = rng.normal(size=(2, n, 3))
    blurred = [z + 0.3 * rng.normal(size=z.shape) for _ in range(2)]
    copied = np.column_stack([z[:, 1], other[:, 1:]])
    square, exclusive = z[:, 0] ** 2 > 1, z[:, 0] * z[:, 1] > 0
    cases = (
        (z, z, square),
        (*blurred, square),
        (*blurred, z[:, 0] > 1.2),
        (z, z, exclusive),
        (z, copied, exclusive),
    )
    return cases[NAMES.index(name)]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_modality_tells_alone_is_no_synergy(name):
    a, b, y = known_alone(name, np.random.default_rng(3), 2000)
    assert product_variance(a, b, y.astype(int)) < 0.01


def test_what_only_the_pair_tells_is_synergy():
    a, b = np.random.default_rng(3).normal(size=(2, 2000, 3))
    for y in (a[:, 0] * b[:, 1] > 0, a[:, 0] * b[:, 1] + a[:, 2] > 0):
        assert product_variance(a, b, y.astype(int)) > 0.15
    assert product_variance(a, b, np.arange(2000) % 2) == 0.0


def test_a_half_of_one_class_or_a_label_that_columns_settle_has_no_synergy():
    a, b, _ = noise(0, n=60)
    rare, settled = np.r_[1, np.zeros(59, int)], np.arange(60) % 2
    for seed in range(4):
        assert product_variance(a, b, rare, seed=seed) == 0.0
        assert product_variance(np.column_stack([a, settled]), b, settled, seed=seed) == 0.0


def test_intervals_that_cannot_be_given_are_said_to_be_missing():
    a, b, _ = noise(0, n=60)
    found = decisive_channels(a, b, np.r_[np.zeros(57, int), 1, 1, 1]).shares
    assert any(note.startswith("No intervals") for note in found.notes)
    assert not found.intervals


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_is_mostly_zero_keeps_what_it_tells(sign):
    rng = np.random.default_rng(0)
    x = sign * np.where(rng.random(2000) < 0.9, 0.0, 1.0 + rng.random(2000))
    codes = discretise(x, bins=5)
    y = (x != 0).astype(int)
    assert set(codes) == {0, 1}
    shares = information_shares(x, rng.normal(size=2000), y, bootstrap=0)
    assert shares.alpha == pytest.approx(1.0, abs=0.02)
    assert shares.unobserved == pytest.approx(0.0, abs=0.02)
