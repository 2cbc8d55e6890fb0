"""Which samples shares are estimated from, in which units, and what is said where the splits disagree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import NetSpec
from mmkd_lab.shares import ESTIMATORS
from mmkd_lab.shares.sides import Question
from mmkd_lab.study import modality_shares
from mmkd_lab.study.sharing import shares_of
from mmkd_lab.training import Replicas


def made(left, right, y, sizes):
    """Samples dealt in their order to splits of these sizes."""
    ends = np.cumsum([0, *sizes.values()])
    rows = {name: torch.arange(ends[i], ends[i + 1]) for i, name in enumerate(sizes)}
    both = {"left": torch.as_tensor(left), "right": torch.as_tensor(right)}
    return PairedData("made", both, torch.as_tensor(y), rows, classes=tuple("abc"[: int(y.max()) + 1]))


def leaking(**sizes):
    """What two modalities have of a label has nothing in common; a random extractor of many features was
    fitted to the labels of the training split, which it knows by heart.
    """
    own, n = np.random.default_rng(0), sum(sizes.values())
    sides = own.normal(size=(2, n, 10))
    y = (sides[0, :, 0] + sides[1, :, 0] > 0).astype(np.int64)

    def features(x):
        seen = np.maximum(x @ own.normal(size=(10, 2 * n)) + own.normal(size=2 * n), 0)
        alike = seen @ seen[: sizes["train"]].T
        fitted = np.linalg.solve(alike[: sizes["train"]], 2.0 * y[: sizes["train"]] - 1)
        return np.column_stack([alike @ fitted, x[:, :3]])

    return made(*map(features, sides), y, sizes)


ONE = {"methods": ["canonical"]}


def gamma(found):
    return shares_of(found.table, "canonical")["gamma_union"].mean


@pytest.mark.parametrize(
    ("sizes", "looked_at"),
    [
        ({"train": 600, "val": 90, "test": 500}, "test"),
        ({"train": 600, "val": 500, "test": 90}, "val"),
        ({"train": 600, "val": 250, "test": 250}, "test + val"),
    ],
)
def test_features_that_leak_training_labels_are_looked_at_where_they_cannot(sizes, looked_at):
    found = modality_shares(leaking(**sizes), **ONE)
    assert set(found.table["split"]) == {looked_at}
    assert gamma(found) == pytest.approx(0.0, abs=0.05)
    assert "The splits disagree: gamma is 1.00 [1.00, 1.00] on train, 0.0" in found.verdict
    assert f"on as many of {looked_at}." in found.verdict


def test_where_all_samples_are_looked_at_those_fitted_on_are_compared_with_the_others():
    data = leaking(train=900, val=100, test=100)
    for asked in ({}, {"split": "all"}):
        found = modality_shares(data, **ONE, **asked)
        assert found.options["n"] == 1100
        assert gamma(found) == pytest.approx(1.0, abs=0.05)
        assert "The splits disagree: gamma is 0.0" in found.verdict
        assert "on test + val, 1.00 [1.00, 1.00] on as many of train." in found.verdict
        small = "All samples are looked at: test and validation have fewer than 500."
        assert (small in found.verdict) == (not asked)


def latent(n, *, wide=5, clear=2.0):
    """Two views of the latent that decides, each with columns of noise."""
    own = np.random.default_rng(1)
    z, left, right = own.normal(size=n), own.normal(size=(n, wide)), own.normal(size=(n, wide))
    left[:, 0] += clear * z
    right[:, 0] += clear * z
    return left, right, (z > 0).astype(np.int64)


def test_splits_of_one_world_agree_whatever_their_sizes():
    """What 2,000 samples of 50 columns a side show, 500 show less of, wherever they are from."""
    data = made(*latent(2550, wide=50, clear=1.0), {"train": 50, "val": 500, "test": 2000})
    found = modality_shares(data, **ONE)
    assert found.options["n"] == 2000
    ends = (
        shares_of(modality_shares(data, **ONE, split=part).table, "canonical") for part in ("test", "val")
    )
    assert [round(one["gamma_union"].mean, 1) for one in ends] == [1.0, 0.9]
    assert "disagree" not in found.verdict


def test_a_split_where_nothing_is_decisive_disagrees_with_one_where_something_is():
    left, right, y = latent(1200)
    y[600:] = np.random.default_rng(2).integers(0, 2, 600)
    asked = {"methods": ["commonality"], "estimator": "commonality"}
    verdict = modality_shares(made(left, right, y, {"train": 600, "test": 600}), **asked).verdict
    assert "The splits disagree: gamma is 0." in verdict
    assert "on train, undefined on as many of test." in verdict


def test_a_split_that_cannot_be_compared_is_named_with_the_reason():
    left, right, y = latent(800)
    y[0] = 2  # alone in its split
    y[200:210] = 2
    verdict = modality_shares(made(left, right, y, {"train": 200, "test": 600}), **ONE).verdict
    assert "train and test cannot be compared: samples of the rarest class = 1: must be at least 2" in verdict


def test_a_split_of_few_samples_is_not_compared():
    assert "disagree" not in modality_shares(leaking(train=900, val=99, test=500), split="val", **ONE).verdict


@pytest.mark.parametrize("wide", [5, 70], ids=["columns", "components"])
def test_no_share_moves_with_units_or_origins(wide):
    own, (left, right, y) = np.random.default_rng(3), latent(600, wide=wide)
    sizes = {"train": 100, "test": 500}
    plain = modality_shares(made(left, right, y, sizes)).table
    for most in (6, 30):
        units = 2.0 ** own.integers(-most, most + 1, size=(2, wide))
        moved = made(left * units[0], (right + 3) * units[1], y, sizes)
        table = modality_shares(moved).table
        assert set(table["arm"]) == set(ESTIMATORS)
        assert list(table["metric"]) == list(plain["metric"])
        np.testing.assert_allclose(table["value"], plain["value"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", [(4,), (1, 3, 5), (6, 4)], ids=["vector", "map", "sequence"])
def test_inputs_are_standardised_as_networks_are_given_them(shape):
    own = np.random.default_rng(4)
    x = (own.normal(size=(90, *shape)) + 5 * own.normal(size=shape)).astype(np.float32)
    data = made(x, x, np.arange(90) % 2, {"train": 40, "val": 20, "test": 30})
    net = Replicas.build(NetSpec(encoder="linear", modalities=("left",)), data, seeds=[0]).module()
    (read,) = net.inputs({"left": data.modalities["left"]})
    ours = Question(data, ("left", "right"), "input", 5, 0.1, lambda *_: [])._input("left")
    np.testing.assert_allclose(ours, read.flatten(1).numpy(), atol=1e-5)


def test_only_splits_there_are_can_be_asked_for():
    data = leaking(train=100, val=50, test=50)
    for wrong in ("test + val", "every"):
        with pytest.raises(LabError, match="must be one of 'train', 'val', 'test' or 'all'"):
            modality_shares(data, split=wrong)
