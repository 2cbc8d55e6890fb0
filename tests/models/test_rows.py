"""Views as rows of one batch: block by block what the operator does to one view."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import (
    REMOVALS,
    AttentionMask,
    NetSpec,
    Permutation,
    View,
    all_views,
    build,
    removal_named,
    split_views,
    view_rows,
)
from mmkd_lab.models.removal import kept_key

NAMES = ("image", "text")
VIEWS = [View.full(NAMES), View.only("image"), View.only("text"), View.only()]


def batch(*lead):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(*lead, 1, 8, 8, generator=generator),
        "text": torch.randint(1, 9, (*lead, 5), generator=generator),
    }


@pytest.fixture(scope="module")
def operators():
    x = batch(20)
    where = torch.arange(20)
    data = PairedData("t", {"image": x["image"]}, where % 2, {"train": where}, ("a", "b"))
    return {name: removal_named(name, data) for name in REMOVALS}


@pytest.fixture(scope="module")
def net():
    spec = NetSpec.single_stream("student", vocabulary={"text": 9}, baseline=True)
    return build(spec, {"image": (1, 8, 8), "text": (5,)}, 3, seed=0)


@pytest.mark.parametrize("name", ["zeros", "attention", "learned"])
def test_rows_are_the_views_one_after_another(name, operators, net):
    x = batch(6)
    rows = view_rows(x, VIEWS, operators[name])
    found = split_views(net(rows), len(VIEWS))
    assert found.shape == (4, 6, 3)
    for view, logits in zip(VIEWS, found, strict=True):
        torch.testing.assert_close(logits, net(operators[name].apply(x, view)), atol=1e-6, rtol=1e-5)


def test_the_mean_stands_in_for_numbers(operators):
    views = [View.full(NAMES), View.only("text")]
    rows = view_rows(batch(6), views, operators["mean"])
    assert torch.equal(rows["text"], batch(6)["text"].repeat(2, 1))
    mean = operators["mean"].means["image"].to(rows["image"])
    assert torch.equal(rows["image"][6:], mean.expand(6, 1, 8, 8))


@pytest.mark.parametrize("name", ["zeros", "attention", "learned"])
def test_replicas_come_first(name, operators, net):
    x = batch(3, 6)
    rows = view_rows(x, VIEWS, operators[name], axis=1)
    assert all(value.shape[:2] == (3, 24) for value in rows.values())
    logits = torch.stack([net({m: value[r] for m, value in rows.items()}) for r in range(3)])
    found = split_views(logits, 4, axis=1)
    assert found.shape == (4, 3, 6, 3)
    for r in range(3):
        alone = net(view_rows({m: value[r] for m, value in x.items()}, VIEWS, operators[name]))
        torch.testing.assert_close(found[:, r], split_views(alone, 4), atol=1e-6, rtol=1e-5)


def test_a_permutation_is_one_for_all_replicas():
    x = batch(2, 7)
    rows = view_rows(x, VIEWS[:2], Permutation(seed=2), axis=1)
    text = rows["text"].unflatten(1, (2, 7))
    assert torch.equal(text[:, 0], x["text"])
    order = [x["text"][0].tolist().index(row) for row in text[0, 1].tolist()]
    assert sorted(order) == list(range(7))
    assert order != list(range(7))
    assert torch.equal(text[1, 1], x["text"][1, order])


def test_one_view_again_and_again_draws_anew():
    rows = view_rows(batch(9), [View.only("image")] * 3, Permutation(seed=0))
    assert torch.equal(rows["image"], batch(9)["image"].repeat(3, 1, 1, 1))
    first, second, third = split_views(rows["text"], 3)
    assert len({str(one.tolist()) for one in (first, second, third, batch(9)["text"])}) == 4


def test_what_was_removed_before_stays_removed(net):
    """Modality dropout first, then the views: a sample that has lost its image has no image in any view."""
    x, mask = batch(6), AttentionMask()
    stays = torch.tensor([True, False] * 3)
    thinned = mask.apply_where(x, {"image": stays})
    rows = view_rows(thinned, VIEWS, mask)
    assert rows[kept_key("attention", "image")].tolist() == [*stays.tolist() * 2, *[False] * 12]
    found = split_views(net(rows), 4)
    torch.testing.assert_close(found[0][~stays], net(mask.apply(x, View.only("text")))[~stays])
    torch.testing.assert_close(found[1][~stays], net(mask.apply(x, View.only()))[~stays])


def test_all_views_of_one_modality_and_no_change_to_the_input(operators):
    x = {"image": batch(4)["image"]}
    before = x["image"].clone()
    rows = view_rows(x, all_views(["image"]), operators["zeros"])
    assert torch.equal(rows["image"], torch.cat([torch.zeros_like(before), before]))
    assert torch.equal(x["image"], before)
    assert list(x) == ["image"]


def test_rows_keep_the_gradient():
    x = {"image": batch(4)["image"].requires_grad_()}
    rows = view_rows(x, [View.only("image"), View.only("image"), View.only()], removal_named("zeros"))
    split_views(rows["image"], 3).sum().backward()
    assert torch.equal(x["image"].grad, torch.full_like(x["image"], 2.0))
