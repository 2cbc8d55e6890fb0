"""Samples that lack a modality: never seen, never trained on, and told of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmkd_lab.attribution import by_modality
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.distill import Distillation, labels_only
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.losses.kd import KD
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec, View
from mmkd_lab.models.removal import Learned, Mean, Permutation, Zeros
from mmkd_lab.study import kd_vs_msd, modality_shares
from mmkd_lab.training import fit, teacher_outputs
from mmkd_lab.training.inputs import standardised
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from tests.study import tiny
from tests.study.tiny_msd import FEW

RECIPE = Recipe(epochs=3, batch_size=16, lr=0.02, precision="64-true")
B = NetSpec(encoder="linear", modalities=("b",))
BOTH = NetSpec(encoder="linear")


def lacking(junk=0.0, *, share=4, of=("a", "b")):
    """Tiny data whose every fourth sample lacks a or b, in turn."""
    data = tiny.paired()
    gone = torch.arange(len(data))
    present = {name: gone % (share * len(of)) != share * i for i, name in enumerate(of)}
    x = {name: values.clone() for name, values in data.modalities.items()}
    for name, there in present.items():
        x[name][~there] = junk
    return replace(data, modalities=x, present=present)


def trained(data, spec=BOTH, loss=None, recipe=RECIPE, **more):
    start = Replicas.build(spec, data, seeds=[0], dtype=torch.float64)
    return fit(start, data, loss or labels_only(), recipe, progress=False, **more).replicas


def same(one, other, **close):
    torch.testing.assert_close(one, other, **(close or {"rtol": 0, "atol": 0}))


def test_all_there_is_the_field_left_out():
    data = tiny.paired()
    whole = replace(data, present={"a": torch.ones(len(data), dtype=torch.bool)})
    assert whole.fingerprint == data.fingerprint
    assert dict(whole.present) == {}
    assert lacking().fingerprint != replace(lacking(), present={}).fingerprint


@pytest.mark.parametrize("size", [16, None])
def test_what_stands_in_absent_rows_is_seen_by_nobody(size):
    recipe = replace(RECIPE, batch_size=size)
    found = []
    for junk in (0.0, 1e6):
        data = lacking(junk)
        net = trained(data, recipe=recipe)
        views = [net.predict(data), net.predict(data, view=View.only("a"), removal="mean")]
        found.append(
            [*views, Mean.of(data).means["b"], by_modality(net.module(), data).table["value"].to_numpy()]
        )
        there = standardised(data, "a")[data.positions("train")[data.present["a"][data.positions("train")]]]
        same(there.mean(0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-9)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_student_of_an_absent_modality_is_that_of_the_samples_that_have_it():
    data = lacking(of=("b",))
    train = data.positions("train")
    kept = torch.cat([train[data.present["b"][train]], data.positions("val"), data.positions("test")])
    subset = data.select(kept)
    teacher = teacher_outputs(trained(data, NetSpec(encoder="linear", modalities=("a",))), data)
    loss = Distillation(((0.5, CrossEntropy(Task.SINGLE_LABEL)), (0.5, KD(4.0, "kl", Task.SINGLE_LABEL))))
    rows = torch.isin(teacher.index, subset.sample_index)
    alone = replace(teacher, index=teacher.index[rows], logits=teacher.logits[:, rows], identity=None)
    for how in ({}, {"loss": loss}):
        taught = [{"teacher": one} if how else {} for one in (replace(teacher, identity=None), alone)]
        one, other = (trained(d, B, **how, **t) for d, t in zip((data, subset), taught, strict=True))
        same(one.predict(subset), other.predict(subset))


def test_a_network_of_both_meets_the_removal_that_views_have():
    """A set whose absent rows were replaced by hand, and one that says what is absent."""
    data = lacking()
    net = trained(data, NetSpec(encoder="linear", standardise=False))
    by_hand = replace(data, present={})  # the absent rows hold zeros already
    same(trained(by_hand, NetSpec(encoder="linear", standardise=False)).predict(by_hand), net.predict(data))
    there = data.present["a"]
    only_b = net.predict(by_hand, view=View.only("b"), removal=Zeros())
    same(net.predict(data)[:, ~there], only_b[:, ~there])
    learned = NetSpec(encoder="linear", baseline=True)
    stood = trained(data, learned, absent=Learned())
    asked = stood.predict(data, removal="learned")
    same(
        asked[:, ~there],
        stood.predict(replace(data, present={}), view=View.only("b"), removal="learned")[:, ~there],
    )


def test_modality_dropout_leaves_a_sample_what_it_has():
    data = lacking(1e6)
    recipe = replace(RECIPE, modality_dropout=0.9)
    found = [trained(one, recipe=recipe, dropout_removal=Zeros()) for one in (data, lacking(-1e6))]
    same(*(net.predict(data) for net in found))


def test_teachers_say_nothing_of_what_they_do_not_see():
    data = lacking()
    said = teacher_outputs(trained(data, NetSpec(encoder="linear", modalities=("a",))), data)
    assert said.partial
    assert torch.equal(said.index, data.sample_index[data.present["a"]])
    whole = teacher_outputs(trained(data), data)
    assert not whole.partial
    assert len(whole.index) == len(data)


def test_failure_cases_tells_of_complete_and_incomplete_samples(tmp_path):
    study = tiny.study(tmp_path, data=lacking(), recipe=RECIPE)
    test = study.table.query("split == 'test' and seed == 0 and arm == 'no_kd' and role == 'student'")
    value = test.set_index("metric")["value"]
    whole = lacking().seen(whole=True)[lacking().positions("test")].double()
    parts = whole.mean() * value["accuracy (complete)"] + (1 - whole.mean()) * value["accuracy (incomplete)"]
    assert value["accuracy"] == pytest.approx(float(parts))
    assert any(
        "Of 114 samples some lack a modality: a in 15 and b in 14." in one
        for one in study.provenance["notes"]
    )
    assert any(one.startswith("Networks of b see nothing of ") for one in study.provenance["notes"])
    asked = tiny.study(tmp_path, data=lacking(), recipe=RECIPE, metric="accuracy (complete)")
    assert "test accuracy (complete)), in points." in asked.verdict
    asked.plot()


def test_sharing_looks_at_complete_samples(tmp_path):
    data = lacking()
    study = modality_shares(data, methods=["canonical"], split="all", seeds=[0])
    both = int(data.seen(whole=True).sum())
    assert f"Only the {both} of {len(data)} samples with both modalities are looked at." in study.verdict
    alone = modality_shares(
        data.select(data.seen(whole=True).nonzero().flatten()), methods=["canonical"], split="all", seeds=[0]
    )
    np.testing.assert_array_equal(study.table["value"], alone.table["value"])


@pytest.mark.filterwarnings("ignore:Seeing")
def test_kd_vs_msd_of_incomplete_samples(tmp_path):
    study = kd_vs_msd(
        lacking(),
        arms=FEW,
        seeds=range(2),
        student_model=tiny.SPEC,
        teacher_model=tiny.TEACHER,
        tune=False,
        recipe=RECIPE,
        store=ResultStore(tmp_path),
        device="cpu",
        progress=False,
    )
    assert "accuracy (incomplete)" in set(study.table["metric"])


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ({"c": torch.ones(114, dtype=torch.bool)[:5]}, "present"),
        ({"a": torch.ones(5, dtype=torch.bool)}, "must be a mask"),
        ({"a": torch.arange(114)}, "must be a mask"),
        ({"a": torch.zeros(114, dtype=torch.bool)}, "at least"),
        ({name: torch.arange(114) > 3 for name in "ab"}, "must leave every sample a modality"),
    ],
)
def test_wrong_masks(present, message):
    with pytest.raises(LabError, match=message):
        replace(tiny.paired(), present=present)


def test_what_cannot_be_had(tmp_path):
    with pytest.raises(LabError, match="permutation"):
        trained(lacking(), recipe=RECIPE, absent=Permutation())
    with pytest.raises(LabError, match="Take the complete ones"):
        tiny.repair(tmp_path, lacking())
