"""Shares of two modalities by every method: closed forms, symmetry, subjects, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.shares.estimators import ESTIMATORS, _blocks, _mean_recall
from mmkd_lab.shares.sides import Sides, leading, lively, possible_folds
from mmkd_lab.study import modality_shares
from mmkd_lab.study.sharing_verdict import noted, sentence, shares_of
from tests.shares.worlds import blurred

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


def test_samples_of_one_subject_do_not_count_as_many(crowd):
    left = crowd.modalities["left"][:120].clone()
    left[::7] = left.flip(0)[::7]  # not everybody agrees, or there would be no spread
    rows = torch.arange(120).repeat_interleave(10)
    a, b, y = left[rows], crowd.modalities["right"][rows], crowd.target[rows].numpy()
    asked = {"layer": "given", "estimator": "information", "methods": ["information"]}
    widths = []
    for group in (None, rows):
        table = modality_shares(paired(a, b, y, group=group), **asked).table
        found = shares_of(table, "information")["gamma_union"]
        widths.append(found.high - found.low)
    assert widths[1] > 1.5 * widths[0]


def test_no_subject_is_on_both_sides_of_a_probe():
    """Columns that name the subject, and a label that is the subject's: only a leak could tell it."""
    subjects = np.repeat(np.arange(60), 10)
    y = (subjects % 2).astype(np.int64)
    names = np.eye(60)[subjects] + 0.01 * rng.normal(size=(600, 60))
    leaky = Sides.of(names, names, y)
    sound = Sides.of(names, names, y, subjects=subjects)
    assert (leaky.said_a.argmax(1) == y).mean() > 0.9
    assert (sound.said_a.argmax(1) == y).mean() < 0.7


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


def test_a_note_that_all_seeds_have_is_told_once():
    notes = {"count": {"0": ["Few."], "1": ["Few.", "Odd."], "2": ["Few."]}, "information": {"1": ["Thin."]}}
    told = " By counted decisive channels: Few. By counted decisive channels (seed 1): Odd."
    assert noted(notes, 3) == f"{told} By information (PID) (seed 1): Thin."
    assert noted({}, 3) == ""


def test_a_share_that_some_seeds_lack_says_so(crowd):
    asked = {"layer": "given", "estimator": "commonality", "methods": ["commonality"], "seeds": [0, 1, 2]}
    table = modality_shares(crowd, **asked).table
    lost = table[~((table["seed"] == 1) & table["metric"].str.startswith("gamma_union"))]
    said = sentence(lost, "commonality", ("left", "right"), 1200, "given")
    assert "(undefined in 1 of 3 seeds), only left" in said
    assert "undefined" not in sentence(table, "commonality", ("left", "right"), 1200, "given")


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


def test_a_study_comes_back_as_it_was_saved(crowd, tmp_path):
    asked = {"layer": "given", "estimator": "commonality", "methods": ["commonality"]}
    found = modality_shares(crowd, seeds=[0, 1], **asked)
    found.save(tmp_path)
    again = Study.load(tmp_path / found.name)
    assert again.table.equals(found.table)
    assert set(found.table["seed"]) == {0, 1}
    assert any("nominal 95 % intervals" in text.get_text() for text in again.plot().texts)


def test_wide_inputs_become_their_leading_components():
    base = rng.normal(size=(200, 3))
    wide = base @ rng.normal(size=(3, 80)) + 1e-6 * rng.normal(size=(200, 80))
    found = leading(wide, components=3)
    fitted = found @ np.linalg.lstsq(found, wide - wide.mean(0), rcond=None)[0]
    np.testing.assert_allclose(fitted, wide - wide.mean(0), atol=1e-4)
    np.testing.assert_array_equal(leading(base), base)


def test_columns_that_hardly_ever_vary_are_left_out():
    x = rng.normal(size=(200, 3))
    x[:197, 1] = 0.0
    np.testing.assert_array_equal(lively("a", x), x[:, [0, 2]])
    with pytest.raises(LabError, match=r"b = \(200, 1\): must hold a column that varies"):
        lively("b", x[:, [1]])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"layer": "deep"}, "layer = 'deep'"),
        ({"estimator": "guess"}, "method = 'guess'"),
        ({"methods": ["count", "guess"]}, "method = 'guess'"),
        ({"estimator": "canonical", "methods": ["count"]}, "estimator = 'canonical': must be one of 'count'"),
        ({"modalities": ["left", "left"]}, "modalities = .*must be two different names"),
        ({"modalities": ["left", "top"]}, "modality = 'top'"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"profile": "huge"}, "profile"),
        ({"store": "here"}, "store = 'here'"),
        ({"least_shared": 1.5}, "least_shared = 1.5"),
        ({"folds": 1}, "folds = 1"),
        ({"split": "tset"}, "split = 'tset'"),
        ({"split": "train", "layer": "features"}, "split = 'train'"),
    ],
    ids=[
        "layer",
        "estimator",
        "methods",
        "not asked",
        "twice",
        "modality",
        "seeds",
        "profile",
        "store",
        "threshold",
        "folds",
        "split",
        "fitted on",
    ],
)
def test_wrong_questions_are_refused(asked, expected, crowd):
    with pytest.raises(LabError, match=expected):
        modality_shares(crowd, **asked)


def test_columns_that_are_no_probabilities_are_refused(crowd):
    y = crowd.target.numpy()
    with pytest.raises(
        LabError, match=r"modality 'left' = \(1200, 2\): must be probabilities of the 4 classes"
    ):
        modality_shares(paired(rng.random((1200, 2)), rng.random((1200, 2)), y), layer="given")


def test_three_modalities_must_be_named(crowd):
    third = PairedData(
        name="made",
        modalities={**crowd.modalities, "top": crowd.modalities["left"]},
        target=crowd.target,
        splits=crowd.splits,
        classes=crowd.classes,
    )
    with pytest.raises(LabError, match=r"modalities = .*must be named unless there are exactly two"):
        modality_shares(third)


def test_many_labels_a_sample_are_refused():
    y = rng.integers(0, 2, size=(90, 3)).astype(np.float32)
    x = np.float32(rng.normal(size=(90, 2)))
    made = paired(x, x, y, classes=3, task=Task.MULTI_LABEL)
    with pytest.raises(LabError, match=r"dataset = .*must have one label a sample"):
        modality_shares(made)


def test_few_samples_leave_few_components():
    own = np.random.default_rng(6)
    wide = own.normal(size=(80, 60))
    assert leading(wide).shape == (80, 20)
    assert leading(own.normal(size=(400, 60))).shape == (400, 50)
    flat = own.normal(size=(80, 3)) @ own.normal(size=(3, 60))
    assert leading(flat).shape == (80, 3)  # more components would be rounding


def test_wide_inputs_of_few_samples_go_through_every_method():
    own = np.random.default_rng(7)
    y = np.arange(90) % 2
    a, b = (np.float32(own.normal(size=(90, 50)) + 2 * y[:, None] * np.eye(50)[0]) for _ in range(2))
    assert set(modality_shares(paired(a, b, y)).table["arm"]) == set(ESTIMATORS)


def test_units_do_not_matter_where_columns_become_components():
    own = np.random.default_rng(9)
    y = np.arange(400) % 2
    a, b = (np.float32(own.normal(size=(400, 70)) + y[:, None] * np.eye(70)[0]) for _ in range(2))
    units = np.float32(2.0 ** own.integers(-9, 9, size=70))
    asked = {"methods": ["commonality"], "estimator": "commonality"}
    one, other = (modality_shares(paired(x, b, y), **asked).table["value"] for x in (a, a * units))
    np.testing.assert_allclose(one, other, atol=1e-9)


def halves(test_like_train):
    """1,200 samples for training and 600 for testing, in which one latent is shared, or is not."""
    own = np.random.default_rng(10)
    latent, a, b = own.normal(size=1800), own.normal(size=(1800, 3)), own.normal(size=(1800, 3))
    a[:, 0] += 2 * latent
    b[:, 0] += 2 * latent
    if not test_like_train:
        b[1200:] = own.normal(size=(600, 3))
    y = (latent > 0).astype(np.int64)
    return PairedData(
        name="made",
        modalities={"left": torch.tensor(a), "right": torch.tensor(b)},
        target=torch.tensor(y),
        splits={"train": torch.arange(1200), "test": torch.arange(1200, 1800)},
        classes=("a", "b"),
    )


def test_a_large_test_split_is_looked_at_and_compared_with_the_others():
    asked = {"methods": ["commonality"], "estimator": "commonality"}
    same, other = (modality_shares(halves(way), **asked) for way in (True, False))
    assert same.options["n"] == other.options["n"] == 600
    assert set(same.table["split"]) == {"test"}
    assert "disagree" not in same.verdict
    assert "The splits disagree: gamma is 0." in other.verdict
    assert modality_shares(halves(True), split="all", **asked).options["n"] == 1800
    assert modality_shares(halves(True), split="train", **asked).provenance["split"] == "train"


def test_small_splits_leave_all_samples_with_a_note(crowd):
    asked = {"layer": "given", "estimator": "commonality", "methods": ["commonality"]}
    found = modality_shares(crowd, **asked)
    assert found.options["n"] == 1200
    assert "All samples are looked at, since no split that nothing is fitted on has 500." in found.verdict


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


@pytest.mark.parametrize("method", ["canonical", "count"])
def test_the_threshold_of_shared_channels_can_be_set(method):
    a, b, y = blurred(0.2)
    asked = {"methods": [method], "estimator": method}
    gammas = {}
    for least in (0.1, 0.5):
        found = modality_shares(paired(a, b, y), least_shared=least, **asked)
        gammas[least] = shares_of(found.table, method)["gamma_union"].mean
        assert f"By {ESTIMATORS[method].label}: gamma hangs on where shared begins" in found.verdict
        assert found.provenance["least_shared"] == least
    assert gammas == pytest.approx({0.1: 1.0, 0.5: 0.0}, abs=0.05)


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
