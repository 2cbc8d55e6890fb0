"""Spectrograms, principal components and pairs, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.data.making.pairing import balanced_labels, cut, draw, stratified_order
from mmkd_lab.data.making.pca import fit_pca
from mmkd_lab.data.making.scale import GRID, Scale, on_grid
from mmkd_lab.data.making.spectrogram import MelSpec, decibels


def test_a_tone_lands_in_its_band_at_its_power() -> None:
    spec = MelSpec()
    edges = 700 * (
        10 ** (np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 4000 / 700), 30) / 2595) - 1
    )
    band = 20
    frequency = 15.625 * round(edges[band + 1] / 15.625)  # the bin nearest the centre of the band
    tone = 0.5 * np.cos(2 * np.pi * frequency * np.arange(spec.samples) / spec.rate)
    power = spec.power(tone[None])[0]
    assert power.shape == (28, 28)
    assert set(power.argmax(axis=0)) == {band}
    # A Hann window spreads a tone of amplitude A over three bins: (A W / 4)^2 in its own, a quarter beside.
    bins = round(frequency / 15.625) + np.array([-1, 0, 1])
    expected = (0.5 * spec.window / 4) ** 2 * (np.array([0.25, 1, 0.25]) * spec.filters[bins, band]).sum()
    assert power[band].mean() == pytest.approx(expected, rel=1e-3)


def test_power_does_not_depend_on_the_batch() -> None:
    spec = MelSpec(window=128, hop=64, mel=10, frames=12)
    waves = np.random.default_rng(0).standard_normal((700, spec.samples))
    single = np.concatenate([spec.power(wave[None]) for wave in waves[[0, 350, 699]]])
    assert np.array_equal(spec.power(waves)[[0, 350, 699]], single)


@pytest.mark.parametrize("spec", [MelSpec(), MelSpec(hop=64, mel=112, frames=112)])
def test_no_band_is_empty_and_none_hears_below_the_lowest_edge(spec: MelSpec) -> None:
    assert (spec.filters.sum(axis=0) > 0).all()
    assert spec.filters[:3].sum() == 0  # 0, 15.6 and 31 Hz
    assert spec.samples == spec.window + (spec.frames - 1) * spec.hop


def test_decibels() -> None:
    power = np.array([[[1.0, 0.1], [0.001, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert decibels(power, floor=80.0)[0].tolist() == [[0.0, -10.0], [-30.0, -80.0]]
    assert (decibels(power, floor=80.0)[1] == -80.0).all()
    assert np.array_equal(decibels(power * 7.0, floor=25.0), np.maximum(decibels(power, floor=80.0), -25.0))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_standardised_training_rows_have_mean_zero_and_sd_one(kind: type) -> None:
    values = np.random.default_rng(0).normal(5.0, 3.0, (3000, 40)).astype(kind)
    scale = Scale.fit(values[:2000])
    assert scale.mean == pytest.approx(values[:2000].astype(float).mean(), rel=1e-12)
    assert scale.sd == pytest.approx(values[:2000].astype(float).std(), rel=1e-12)
    scale.apply(values)
    assert values[:2000].astype(float).mean() == pytest.approx(0.0, abs=1e-4)
    assert values[:2000].astype(float).std() == pytest.approx(1.0, abs=1e-4)
    assert np.array_equal(values.astype(float) / GRID, np.rint(values.astype(float) / GRID))


def test_a_constant_is_left_alone_and_the_grid_rounds() -> None:
    constant = np.full((4, 3), 2.5)
    Scale.fit(constant).apply(constant)
    assert (constant == 0).all()
    assert on_grid(np.array([0.1, -0.1, 0.126]), 0.25).tolist() == [0.0, 0.0, 0.25]


def test_pca_agrees_with_scikit_learn() -> None:
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    images = (load_digits().images.reshape(-1, 64) * 15).astype(np.uint8)
    ours, theirs = fit_pca(images[:1200]), PCA(svd_solver="full").fit(images[:1200] / 255.0)
    assert ours.energy == pytest.approx(theirs.explained_variance_ratio_, abs=1e-12)
    for kept in (1, 3, 64):
        reduced = PCA(kept, svd_solver="full").fit(images[:1200] / 255.0)
        expected = reduced.inverse_transform(reduced.transform(images[1200:] / 255.0))
        assert ours.keep(images[1200:] / 255.0, kept) == pytest.approx(expected, abs=1e-9)


def test_energy_chooses_the_fewest_components() -> None:
    scores = np.random.default_rng(0).integers(0, 2, (400, 4))
    pca = fit_pca((scores * [200, 100, 50, 25]).astype(np.uint8))
    total = np.cumsum(pca.energy)
    assert total[-1] == pytest.approx(1.0)
    assert [pca.components_for(share) for share in (1e-9, total[0], total[0] + 1e-6, total[1], 1.0)] == [
        1,
        1,
        2,
        2,
        4,
    ]
    with pytest.raises(LabError, match="images"):
        fit_pca(np.zeros((1, 4), np.uint8))


def test_pairs_have_equal_labels_and_use_every_item_alike() -> None:
    rng = np.random.default_rng(0)
    pool = np.arange(100, 160)
    pool_labels = rng.permutation(np.arange(60) % 3)
    labels = balanced_labels(145, 3, rng)
    assert sorted(np.bincount(labels)) == [48, 48, 49]
    chosen = draw(labels, pool, pool_labels, rng)
    assert np.array_equal(pool_labels[chosen - 100], labels)
    times = np.bincount(chosen - 100, minlength=60)
    assert set(times) == {2, 3}
    with pytest.raises(LabError, match="labels = 3"):
        draw(np.array([3]), pool, pool_labels, rng)


def test_stratified_order_and_cut() -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    order = stratified_order(labels, rng)
    assert sorted(order) == list(range(1000))
    for start in range(0, 1000, 100):
        assert np.bincount(labels[order[start : start + 100]]) == pytest.approx([60, 30, 10], abs=3)
    parts = cut(np.arange(50), (0.5, 0.2, 0.3), rng)
    assert [len(part) for part in parts] == [25, 10, 15]
    assert sorted(np.concatenate(parts)) == list(range(50))


def test_columns_are_standardised_by_the_training_rows() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(5.0, [1.0, 30.0, 0.01, 0.0], (400, 4))
    train = np.arange(300)
    found = standardise(table, train)
    assert np.abs(found[train, :3].mean(axis=0)).max() < 1 / 256
    assert found[train, :3].std(axis=0) == pytest.approx([1, 1, 1], abs=1 / 256)
    assert (found[:, 3] == 0).all()
    assert np.array_equal(standardise(table * [3, 4, 5, 6], train), found)
