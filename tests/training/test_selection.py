"""Early selection and stopping: by the validation split alone, replica by replica."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from mmkd_lab.training.select import Selection
from tests.training.toy import plain, toy

RECIPE = Recipe(epochs=8, batch_size=8, optimiser="sgd", lr=0.3, schedule="constant")
SPEC = NetSpec("mlp", width=2, features=6)


def trained(data, recipe=RECIPE, mode="stacked"):
    replicas = Replicas.build(SPEC, data, seeds=[0, 1, 2], device="cpu")
    return fit(replicas, data, plain, recipe, mode=mode, progress=False)


def seen(selection, epochs):
    """Feed (scores, nlls) per epoch; the one parameter holds the epoch's number."""
    for epoch, (scores, nlls) in enumerate(epochs, start=1):
        state = {"w": torch.full((2, 3), float(epoch))}
        selection.see(epoch, torch.tensor(scores), torch.tensor(nlls), state)
    return selection


def start():
    return {"w": torch.zeros(2, 3)}


def test_the_best_score_wins_then_the_lower_nll_then_the_earlier_epoch():
    epochs = [([50.0, 80.0], [1.0, 1.0]), ([60.0, 80.0], [2.0, 0.5]), ([60.0, 80.0], [2.0, 0.5])]
    found = seen(Selection(Recipe(), start()), epochs)
    assert found.epoch.tolist() == [2, 2]
    assert found.state["w"][:, 0].tolist() == [2.0, 2.0]
    found = seen(Selection(Recipe(), start()), [*epochs, ([60.0, 79.0], [1.9, 0.1])])
    assert found.epoch.tolist() == [4, 2]
    assert found.state["w"].tolist() == [[4.0] * 3, [2.0] * 3]


@pytest.mark.parametrize("select", ["best_val", "last"])
def test_patience_stops_a_replica_for_good(select):
    epochs = [
        ([5.0, 1.0], [1.0, 1.0]),
        ([4.0, 2.0], [1.0, 1.0]),
        ([4.0, 3.0], [1.0, 1.0]),
        ([9.0, 4.0], [1.0, 1.0]),
    ]
    found = seen(Selection(Recipe(patience=2, select=select), start()), epochs)
    assert found.stopped.tolist() == [True, False]
    assert found.epoch.tolist() == [1 if select == "best_val" else 3, 4]


def test_the_selected_weights_are_those_of_the_best_validation_epoch():
    data = toy(noise=2.0)
    fitted = trained(data)
    val = fitted.history[fitted.history["split"] == "val"]
    found = evaluate(fitted.replicas, data, split="val")
    for r in range(3):
        mine = val[val["replica"] == r].pivot_table(index="epoch", columns="metric", values="value")
        best = mine.sort_values(["accuracy", "nll"], ascending=[False, True], kind="stable").index[0]
        assert fitted.best_epoch[r] == best
        assert found["accuracy"][r] == pytest.approx(mine.loc[best, "accuracy"])
        assert found["nll"][r] == pytest.approx(mine.loc[best, "nll"], rel=1e-4)
    assert len(set(fitted.best_epoch)) > 1  # else this would show nothing


def test_test_data_plays_no_part():
    data = toy(noise=2.0)
    test = data.positions("test")
    ruined = {name: value.clone() for name, value in data.modalities.items()}
    for value in ruined.values():
        value[test] = 1e3 * torch.randn(value[test].shape)
    target = data.target.clone()
    target[test] = target[test].roll(1)
    other = replace(data, modalities=ruined, target=target)
    one, two = trained(data), trained(other)
    assert np.array_equal(one.best_epoch, two.best_epoch)
    for name, value in one.replicas.parameters.items():
        assert torch.equal(value, two.replicas.parameters[name])
    assert one.history.equals(two.history)


def test_stopping_early_is_the_same_in_both_modes():
    data = toy(noise=2.0)
    recipe = replace(RECIPE, epochs=12, patience=2)
    fitted, long = trained(data, recipe), trained(data, replace(RECIPE, epochs=12))
    other = trained(data, recipe, "looped")
    assert np.array_equal(fitted.best_epoch, other.best_epoch)
    epochs = fitted.history.groupby("replica")["epoch"].max()
    assert epochs.equals(other.history.groupby("replica")["epoch"].max())
    assert epochs.min() < 12
    for r in range(3):
        assert epochs[r] in (12, fitted.best_epoch[r] + 2)
    same = fitted.history.merge(long.history, on=["replica", "seed", "epoch", "split", "metric"])
    assert len(same) == len(fitted.history)
    np.testing.assert_allclose(same["value_x"], same["value_y"])


def test_a_replica_that_was_stopped_may_diverge_afterwards():
    data, recipe, steps = toy(noise=2.0), replace(RECIPE, epochs=12, patience=2), 7
    fitted = trained(data, recipe)
    ends = fitted.history.groupby("replica")["epoch"].max()
    first, epoch = int(ends.idxmin()), int(ends.min())
    assert epoch < ends.max()
    calls = []

    def diverging(logits, target, teacher=None):
        calls.append(1)
        loss = plain(logits, target)["loss"]
        ruin = torch.ones(3)
        ruin[first] = torch.nan if len(calls) > epoch * steps else 1.0
        return {"loss": loss * ruin}

    replicas = Replicas.build(SPEC, data, seeds=[0, 1, 2], device="cpu")
    other = fit(replicas, data, diverging, recipe, mode="stacked", progress=False)
    assert len(calls) > epoch * steps
    assert other.history.equals(fitted.history)
    assert torch.equal(
        other.replicas.predict(data, split="test"), fitted.replicas.predict(data, split="test")
    )


def test_without_validation_the_last_epoch_is_kept():
    data = toy()
    only = {name: where for name, where in data.splits.items() if name != "val"}
    fitted = trained(replace(data, splits=only), replace(RECIPE, select="last"))
    assert fitted.best_epoch.tolist() == [8, 8, 8]
    assert set(fitted.history["split"]) == {"train"}


def test_validation_may_be_rarer_and_still_sees_the_end():
    fitted = trained(toy(), replace(RECIPE, epochs=7, validate_every=3))
    looked = fitted.history.loc[fitted.history["split"] == "val", "epoch"]
    assert sorted(set(looked)) == [3, 6, 7]


def test_steps_cut_the_last_pass_short():
    fitted = trained(toy(), replace(RECIPE, epochs=None, steps=10))
    assert fitted.history["epoch"].max() == 2  # 50 samples in batches of 8 are 7 steps
