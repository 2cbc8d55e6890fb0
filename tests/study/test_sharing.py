"""Shares of two modalities by every method: closed forms, symmetry, subjects, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data import rooms
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.shares.components import leading
from mmkd_lab.shares.estimators import ESTIMATORS, _blocks, _mean_recall
from mmkd_lab.shares.folds import possible_folds
from mmkd_lab.shares.sides import Sides, lively
from mmkd_lab.study import modality_shares
from mmkd_lab.study.sharing import _sentence, shares_of

rng = np.random.default_rng(0)


def paired(a, b, y, *, classes=None, group=None, task=Task.SINGLE_LABEL):
    rows = torch.arange(len(y))
    third = len(y) // 3
    return PairedData(
        name="made",
        modalities={"left": torch.as_tensor(a), "right": torch.as_tensor(b)},
        target=torch.as_tensor(y),
        splits={"train": rows[:third], "val": rows[third : 2 * third], "test": rows[2 * third :]},
        classes=tuple("abcdef"[: classes or int(np.max(y)) + 1]),
        task=task,
        group=group,
    )


def votes(codes, classes):
    """All raters agree on one class."""
    return np.eye(classes, dtype=np.float32)[codes]


@pytest.fixture(scope="module")
def crowd():
    """Four classes by two bits: left tells the first bit, right both, so that left is in right."""
    bits = rng.integers(0, 2, size=(1200, 2))
    y = 2 * bits[:, 0] + bits[:, 1]
    return paired(votes(2 * bits[:, 0], 4), votes(y, 4), y)


def test_information_of_votes_is_that_of_the_bits(crowd):
    asked = {"layer": "given", "estimator": "information", "methods": ["information"]}
    found = shares_of(modality_shares(crowd, **asked).table, "information")
    assert found["gamma_union"].mean == pytest.approx(0.5, abs=0.02)
    assert found["alpha"].mean == pytest.approx(0.0, abs=0.01)
    assert found["beta"].mean == pytest.approx(0.5, abs=0.02)
    assert found["unobserved"].mean == pytest.approx(0.0, abs=0.02)
    assert found["gamma_a"].mean == pytest.approx(1.0, abs=0.02)
    assert found["gamma_union"].low <= found["gamma_union"].mean <= found["gamma_union"].high


def test_naming_the_modalities_the_other_way_swaps_their_shares(crowd):
    asked = {"layer": "given", "estimator": "information", "methods": ["information"]}
    one = shares_of(modality_shares(crowd, modalities=["left", "right"], **asked).table, "information")
    other = shares_of(modality_shares(crowd, modalities=["right", "left"], **asked).table, "information")
    for name, swapped in (("alpha", "beta"), ("gamma_a", "gamma_b"), ("gamma_union", "gamma_union")):
        assert one[name].mean == pytest.approx(other[swapped].mean, abs=1e-6)


def test_every_method_finds_the_declared_share_but_information():
    shares = {"shared": 6, "specific_a": 5, "specific_b": 5, "hidden": 4, "hyperplane": "ones"}
    world = data.load("gaussian", **shares, n_train=1400, n_val=0, n_test=100)
    found = modality_shares(world)
    assert found.options["n"] == 1500
    for method in ESTIMATORS:
        gamma = shares_of(found.table, method)["gamma_union"]
        assert gamma.low <= gamma.mean <= gamma.high, method  # and neither is NaN
        assert (abs(gamma.mean - 6 / 16) < 0.1) == (method != "information"), method
        assert ESTIMATORS[method].label in found.verdict
    assert "gamma 0." in found.verdict
    assert "only a 0." in found.verdict


@pytest.mark.parametrize("sizes", [(0.9, 0.1), (0.8, 0.1, 0.1), (0.5, 0.5)], ids=["9:1", "8:1:1", "1:1"])
def test_noise_has_no_accuracies_to_share_whatever_the_sizes_of_the_classes(sizes):
    own = np.random.default_rng(0)
    y = own.choice(len(sizes), size=2000, p=sizes)
    noise = Sides.of(own.normal(size=(2000, 4)), own.normal(size=(2000, 4)), y)
    found = ESTIMATORS["performance"](noise, 0, 0)
    assert not found.defined
    assert f"Guessing reaches {100 / len(sizes):.1f} %" in found.notes[0]


def test_accuracies_of_rare_classes_find_who_knows_them():
    own = np.random.default_rng(1)
    y = (own.random(3000) < 0.1).astype(np.int64)
    knows = own.normal(size=(3000, 3)) + 1.5 * y[:, None]
    noise = own.normal(size=(3000, 3))
    alone, copied = (ESTIMATORS["performance"](Sides.of(knows, b, y), 0, 0) for b in (noise, knows.copy()))
    assert alone.alpha > 0.9
    assert copied.gamma > 0.95
    assert alone.intervals["gamma_union"].high < 0.2 < 0.9 < copied.intervals["gamma_union"].low


def test_recall_is_the_mean_over_the_classes_by_hand():
    y, said = np.array([0, 0, 0, 0, 1, 1, 3]), np.array([0, 0, 0, 1, 1, 0, 3])
    every = np.arange(7)
    assert _mean_recall(said, y, every) == pytest.approx(100 * (3 / 4 + 1 / 2 + 1) / 3)
    assert _mean_recall(said, y, every[:4]) == pytest.approx(75.0)


@pytest.mark.parametrize("of", [None, 5], ids=["samples", "subjects"])
def test_every_block_has_every_class_and_whole_subjects(of):
    y = np.array([0] * 180 + [1] * 20)
    x, subjects = rng.normal(size=(200, 2)), None if of is None else np.arange(200) // of
    blocks = _blocks(Sides.of(x, x, y, subjects=subjects), 0)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(200))
    assert all(set(y[rows]) == {0, 1} for rows in blocks)
    assert len(blocks) == (20 if of is None else 4)  # the rare class has 20 samples, and 4 subjects
    if of is not None:
        assert sum(len(set(subjects[rows])) for rows in blocks) == 40


def test_notes_of_every_seed_are_kept_and_told():
    y = rng.integers(0, 2, size=300)
    a, b = (np.float32(rng.normal(size=(300, 3))) for _ in range(2))
    found = modality_shares(paired(a, b, y), estimator="performance", methods=["performance"], seeds=[4, 7])
    notes = found.provenance["notes"]["performance"]
    assert list(notes) == ["4", "7"]
    for seed in ("4", "7"):
        assert f" By accuracies (seed {seed}): {notes[seed][0]}" in found.verdict
    assert "alpha, beta and gamma are undefined" in found.verdict
    assert found.plot() is not None


def test_a_share_that_some_seeds_lack_says_so(crowd):
    asked = {"layer": "given", "estimator": "commonality", "methods": ["commonality"], "seeds": [0, 1, 2]}
    table = modality_shares(crowd, **asked).table
    lost = table[~((table["seed"] == 1) & table["metric"].str.startswith("gamma_union"))]
    said = _sentence(lost, "commonality", ("left", "right"), 1200, "given")
    assert "(undefined in 1 of 3 seeds), only left" in said
    assert "undefined" not in _sentence(table, "commonality", ("left", "right"), 1200, "given")


def test_xor_gets_no_diagram():
    a, b = rng.normal(size=(2, 1500, 1)).astype(np.float32)
    y = ((a[:, 0] > 0) ^ (b[:, 0] > 0)).astype(np.int64)
    said = [np.stack([1.0 - p, p], 1) for p in (1 / (1 + np.exp(-4 * x[:, 0])) for x in (a, b))]
    found = modality_shares(paired(*said, y), layer="given", estimator="information", methods=["information"])
    assert "XOR-type" in found.title
    assert any("No diagram" in text.get_text() for text in found.plot().axes[0].texts)


def test_features_are_those_of_networks_on_the_test_split(tmp_path):
    """More features of both networks than samples of the test split, which no method can take as they are."""
    own = np.random.default_rng(5)
    y = own.integers(0, 2, size=240)
    a, b = (np.float32(own.normal(size=(240, 6)) + y[:, None] * np.eye(6)[0]) for _ in range(2))
    asked = {"layer": "features", "store": ResultStore(tmp_path), "seeds": [3]}
    first, again = (modality_shares(paired(a, b, y), **asked) for _ in range(2))
    assert first.options["n"] == 80
    assert set(first.table["split"]) == {"test"}
    assert set(first.table["arm"]) == set(ESTIMATORS)
    assert first.table.equals(again.table)


def test_wide_inputs_become_their_leading_components():
    own = np.random.default_rng(6)
    assert leading(own.normal(size=(80, 60))).shape == (80, 20)  # few samples leave few components
    assert leading(own.normal(size=(400, 60))).shape == (400, 50)
    flat = own.normal(size=(80, 3)) @ own.normal(size=(3, 60))
    assert leading(flat).shape == (80, 3)  # more components would be rounding
    base = rng.normal(size=(200, 3))
    wide = base @ rng.normal(size=(3, 80)) + 1e-6 * rng.normal(size=(200, 80))
    found = leading(wide, components=3)
    fitted = found @ np.linalg.lstsq(found, wide - wide.mean(0), rcond=None)[0]
    np.testing.assert_allclose(fitted, wide - wide.mean(0), atol=1e-4)
    np.testing.assert_array_equal(leading(base), base)
    pictures = own.normal(size=(40, 300))  # more columns than samples
    u, sizes, directions = np.linalg.svd(pictures - pictures.mean(0), full_matrices=False)
    signs = np.sign([one[np.abs(one).argmax()] for one in directions[:10]])
    np.testing.assert_allclose(leading(pictures), u[:, :10] * sizes[:10] * signs, atol=1e-10)


def test_columns_that_hardly_ever_vary_are_left_out():
    x = rng.normal(size=(200, 3))
    x[:197, 1] = 0.0
    np.testing.assert_array_equal(lively("a", x), x[:, [0, 2]])
    with pytest.raises(LabError, match=r"b = \(200, 1\): must hold a column that varies"):
        lively("b", x[:, [1]])


def test_wide_inputs_of_few_samples_go_through_every_method():
    own = np.random.default_rng(7)
    y = np.arange(90) % 2
    a, b = (np.float32(own.normal(size=(90, 50)) + 2 * y[:, None] * np.eye(50)[0]) for _ in range(2))
    assert set(modality_shares(paired(a, b, y)).table["arm"]) == set(ESTIMATORS)


def few(rare, *, n=300):
    own = np.random.default_rng(8)
    y = np.zeros(n, dtype=np.int64)
    y[np.linspace(0, n - 1, rare).astype(int)] = 1  # some in every split
    a, b = (np.float32(own.normal(size=(n, 3)) + 3.0 * y[:, None]) for _ in range(2))
    return a, b, y


def test_a_class_with_fewer_samples_than_folds_has_fewer_folds_and_a_note():
    note = "Probes are fitted in 4 folds, not 5: there are 4 samples of the rarest class."
    found = modality_shares(paired(*few(4)), methods=["commonality"], estimator="commonality")
    assert found.verdict.count(note) == 1
    assert "Probes are fitted" not in modality_shares(paired(*few(4)), methods=["canonical"], folds=4).verdict
    assert "Probes are fitted" not in modality_shares(paired(*few(9)), methods=["canonical"]).verdict
    with pytest.raises(LabError, match=r"samples of the rarest class = 1: must be at least 2"):
        possible_folds(few(1)[2], None, 5)


@pytest.mark.parametrize("layer", ["input", "predictions"])
def test_a_modality_that_does_not_vary_is_named(layer):
    a, _, y = few(120)
    still, nearly = np.ones_like(a), np.ones_like(a)
    nearly[0] = 0.0
    for flat in (still, nearly):
        with pytest.raises(
            LabError, match=r"modality 'right' = \(300, [13]\): must hold a column that varies"
        ):
            modality_shares(paired(a, flat, y), layer=layer)


def made(**modalities):
    n = 90
    rows, y = torch.arange(n), modalities.pop("y", torch.arange(n) % 2)
    splits = {"train": rows[:30], "val": rows[30:60], "test": rows[60:]}
    task = Task.SINGLE_LABEL if y.ndim == 1 else Task.MULTI_LABEL
    return PairedData("made", modalities, y, splits, classes=("a", "b"), task=task)


X = torch.rand(90, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("data", "asked", "expected"),
    [
        ({}, {"layer": "deep"}, "layer = 'deep'"),
        ({}, {"estimator": "guess"}, "method = 'guess'"),
        ({}, {"methods": ["count", "guess"]}, "method = 'guess'"),
        ({}, {"methods": ["count"]}, "estimator = 'canonical': must be one of 'count'"),
        ({}, {"modalities": ["left", "left"]}, "must be two different names"),
        ({}, {"modalities": ["left", "top"]}, "modality = 'top'"),
        ({}, {"seeds": [1, 1]}, "seeds"),
        ({}, {"profile": "huge"}, "profile"),
        ({}, {"store": "here"}, "store = 'here'"),
        ({}, {"least_shared": 1.5}, "least_shared = 1.5"),
        ({}, {"folds": 1}, "folds = 1"),
        ({}, {"split": "tset"}, "split = 'tset'"),
        ({}, {"split": "train", "layer": "features"}, "split = 'train'"),
        ({}, {"layer": "given"}, "modality 'left' = (90, 3): must be probabilities of the 2 classes"),
        ({"top": X}, {}, "must be named unless there are exactly two"),
    ],
)
def test_wrong_questions_are_refused(data, asked, expected):
    with pytest.raises(LabError) as caught:
        modality_shares(made(**{"left": X, "right": X, **data}), **asked)
    assert expected in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize(("kinds", "gamma"), [((0.5, 0.5, 0.0, 0.0), 0.0), ((0.25, 0.25, 0.5, 0.0), 0.5)])
def test_objects_of_rooms_share_what_is_declared(kinds, gamma, shared):
    size = {"n_train": 400, "n_val": 100, "n_test": 400, "height": 24, "width": 24}
    scenes = data.load("rooms", **size, **dict(zip(rooms.KINDS, kinds, strict=True)))
    asked = {"modalities": ("depth", "rgb"), "layer": "features", "store": ResultStore(shared), "jobs": 1}
    found = modality_shares(rooms.objects(scenes), methods=["commonality"], estimator="commonality", **asked)
    assert shares_of(found.table, "commonality")["gamma_union"].mean == pytest.approx(gamma, abs=0.1)
