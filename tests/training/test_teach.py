"""Cached teachers say what they would say on the spot, and one split's views know nothing of another's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill.method import HEAD
from mmkd_lab.distill.teacher_outputs import identity_of
from mmkd_lab.distill.views import msd_views
from mmkd_lab.models import Mean, NetSpec, Permutation, View, removal_named
from mmkd_lab.training import Replicas
from mmkd_lab.training.teach import teacher_outputs
from tests.distill.pairs import pairs

SPECS = {
    "zeros": NetSpec("mlp", width=2, features=8),
    "mean": NetSpec("mlp", width=2, features=8),
    "attention": NetSpec("mlp", width=2, features=8, fusion="attention"),
    "learned": NetSpec("mlp", width=2, features=8, baseline=True),
}


def teachers(data, spec):
    return Replicas.build(spec, data, seeds=[0, 1], device="cpu")


@pytest.mark.parametrize("name", SPECS)
def test_cached_is_uncached(name):
    data = pairs(modalities=3)
    replicas = teachers(data, SPECS[name])
    views = [*msd_views(data.modalities), *msd_views(data.modalities, kind="drop")]
    found = teacher_outputs(replicas, data, views=views, removal=name, layers=[HEAD], view_features=True)
    assert (found.removal, found.identity) == (name, identity_of(data))
    rows = data.positions("train")[torch.tensor([4, 2, 9])]
    x, said = data.batch(rows), found.rows(data.sample_index[rows])
    operator = removal_named(name, data)
    for r in range(2):
        net = replicas.module(r)
        with torch.no_grad():
            torch.testing.assert_close(said.logits[r], net(x), atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(said.at()[r], net.features(x), atol=1e-6, rtol=1e-5)
            for view in views:
                kept = operator.apply(x, view)
                torch.testing.assert_close(said.views[view][r], net(kept), atol=1e-6, rtol=1e-5)
                torch.testing.assert_close(
                    said.view_features[view][r], net.features(kept), atol=1e-6, rtol=1e-5
                )


@pytest.mark.parametrize("name", SPECS)
def test_keeping_twice_is_keeping_once(name):
    data = pairs(modalities=3)
    operator, x = removal_named(name, data), data.batch(data.positions("val"))
    for view in (*msd_views(data.modalities), View.only(), View.full(data.modalities)):
        once = operator.apply(x, view)
        twice = operator.apply(once, view)
        assert once.keys() == twice.keys()
        assert all(torch.equal(once[key], twice[key]) for key in once)


def test_a_permutation_stays_within_its_split():
    """Other inputs for val and test leave what is said about a training sample as it was."""
    data = pairs()
    replicas, views = teachers(data, SPECS["zeros"]), msd_views(data.modalities)
    rest = torch.cat([data.positions(name) for name in ("val", "test")])
    x = {m: values.clone() for m, values in data.modalities.items()}
    for values in x.values():
        values[rest] += 5.0
    one, two = (
        teacher_outputs(replicas, d, views=views, removal="permutation")
        for d in (data, replace(data, modalities=x))
    )
    for split, same in (("train", True), ("meta", True), ("val", False)):
        index = data.sample_index[data.positions(split)]
        a, b = (said.rows(index).views[views[0]] for said in (one, two))
        assert torch.equal(a, b) is same
    index = data.sample_index[data.positions("train")]
    assert not torch.allclose(one.rows(index).views[views[0]], one.rows(index).logits)


def test_permutations_repeat_and_features_are_of_the_same_draw():
    data = pairs()
    replicas, views, operator = (
        teachers(data, SPECS["zeros"]),
        msd_views(data.modalities),
        Permutation(seed=3),
    )
    one, two = (
        teacher_outputs(replicas, data, views=views, removal=operator, view_features=True) for _ in range(2)
    )
    for view in views:
        assert torch.equal(one.views[view], two.views[view])
        head = replicas.module(0).head
        with torch.no_grad():
            torch.testing.assert_close(
                head(one.view_features[view][0]), one.views[view][0], atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, Task.MULTI_LABEL], ids=["single", "multi"])
def test_many_draws_average_probabilities(task):
    data = pairs(task=task)
    replicas, view = teachers(data, SPECS["zeros"]), View.only("a")
    many = teacher_outputs(replicas, data, views=[view], removal="permutation", draws=40)
    law = torch.sigmoid if task is Task.MULTI_LABEL else (lambda z: z.softmax(-1))
    rows = data.positions("train")
    said = law(many.rows(data.sample_index[rows]).views[view][0])
    # The exact marginal: every training sample's b with this sample's a.
    x = data.batch(rows)
    n = len(rows)
    every = {"a": x["a"].repeat_interleave(n, 0), "b": x["b"].repeat(n, 1)}
    with torch.no_grad():
        exact = law(replicas.module(0)(every)).view(n, n, -1).mean(1)
    one = law(
        teacher_outputs(replicas, data, views=[view], removal="permutation")
        .rows(data.sample_index[rows])
        .views[view][0]
    )
    assert float((said - exact).abs().mean()) < 0.4 * float((one - exact).abs().mean())
    zeros = [teacher_outputs(replicas, data, views=[view], draws=k).views[view] for k in (1, 5)]
    assert torch.equal(*zeros)


def test_a_teacher_of_fewer_modalities():
    data = pairs(modalities=3)
    replicas = teachers(data, SPECS["zeros"].on("a", "b"))
    said = teacher_outputs(replicas, data, views=[View.only("a", "c"), View.only()])
    kept = replicas.predict(data, view=View.only("a"), removal="zeros")
    order = torch.argsort(data.sample_index)
    torch.testing.assert_close(said.views[View.only("a", "c")], kept[:, order])
    with pytest.raises(LabError, match="views = 'c': must keep a modality that the teachers read"):
        teacher_outputs(replicas, data, views=msd_views(data.modalities))


def test_bad_input():
    data = pairs()
    replicas = teachers(data, SPECS["zeros"])
    view = View.only("a")
    with pytest.raises(LabError, match="removal = 'attention'"):
        teacher_outputs(replicas, data, views=[view], removal="attention")
    with pytest.raises(LabError, match="removal = 'learned'"):
        teacher_outputs(replicas, data, views=[view], removal="learned")
    with pytest.raises(LabError, match="removal = 'noise'"):
        teacher_outputs(replicas, data, views=[view], removal="noise")
    with pytest.raises(LabError, match="views = 'smell'"):
        teacher_outputs(replicas, data, views=[View.only("smell")])
    with pytest.raises(LabError, match="views = 'a'"):
        teacher_outputs(replicas, data, views=["a"])
    with pytest.raises(LabError, match="draws = 0"):
        teacher_outputs(replicas, data, views=[view], draws=0)
    with pytest.raises(LabError, match="replicas = "):
        teacher_outputs(replicas.module(0), data)
    assert isinstance(removal_named("mean", data), Mean)
