"""Views and removal: one mechanism, with the same invariants for every operator."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import (
    REMOVALS,
    AttentionMask,
    Learned,
    Mean,
    NetSpec,
    Permutation,
    View,
    Zeros,
    all_views,
    build,
    removal_named,
)
from mmkd_lab.models.removal import check_heeded, kept_key, modality_names

NAMES = ("a", "b", "c")


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = {
        "a": 2 + torch.randn(30, 4, generator=generator),
        "b": torch.randn(30, 1, 8, 8, generator=generator),
        "c": torch.randn(30, 2, generator=generator),
    }
    where = torch.arange(30)
    splits = {"train": where[:16], "val": where[16:22], "test": where[22:]}
    return PairedData("toy", x, where % 2, splits, ("no", "yes"))


@pytest.fixture
def x(data):
    return data.batch(torch.arange(10))


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_there_are_two_to_the_m_views_and_order_does_not_matter():
    views = all_views(NAMES)
    assert len(views) == len(set(views)) == 8
    assert views[0] == View.only()
    assert views[-1] == View.full(NAMES)
    assert View.only("b", "a") == View.only("a", "b") == View.drop("c", of=NAMES)
    assert View(frozenset(["a"])) in set(all_views(reversed(NAMES)))
    assert View.only("b", "a").label == "a+b"
    assert View.only().label == "nothing"
    assert View.only("a").missing(NAMES) == ("b", "c")
    assert "a" in View.only("a")
    assert list(View.only("b", "a")) == ["a", "b"]


@pytest.mark.parametrize("name", REMOVALS)
@pytest.mark.parametrize("view", all_views(NAMES), ids=lambda view: view.label)
def test_the_kept_is_untouched_full_changes_nothing_and_the_input_stays(name, view, data, x):
    before = {key: value.clone() for key, value in x.items()}
    out = removal_named(name, data).apply(x, view)
    assert all(torch.equal(out[kept], before[kept]) for kept in view)
    assert same(x, before)
    if len(view) == 3:
        assert same(out, before)


@pytest.mark.parametrize("name", [name for name in REMOVALS if name != "permutation"])
@pytest.mark.parametrize("view", all_views(NAMES), ids=lambda view: view.label)
def test_removing_twice_is_removing_once(name, view, data, x):
    operator = removal_named(name, data)
    once = operator.apply(x, view)
    assert same(operator.apply(once, view), once)


@pytest.mark.parametrize("name", ["zeros", "mean", "attention", "learned"])
def test_removing_in_two_steps_is_removing_the_union(name, data, x):
    operator = removal_named(name, data)
    steps = operator.apply(operator.apply(x, View.drop("a", of=NAMES)), View.drop("b", of=NAMES))
    assert same(steps, operator.apply(x, View.only("c")))


def test_zeros_and_mean_put_what_they_say(data, x):
    assert not Zeros().apply(x, View.only("b"))["a"].any()
    mean = Mean.of(data).apply(x, View.only("b"))["a"]
    torch.testing.assert_close(mean, data.modalities["a"][:16].mean(0).expand(10, 4))


def test_the_mean_is_of_the_training_split_alone(data):
    changed = {name: value.clone() for name, value in data.modalities.items()}
    for value in changed.values():
        value[16:] = 1e6
    other = PairedData("toy", changed, data.target, data.splits, data.classes)
    for name, value in Mean.of(data).means.items():
        assert torch.equal(value, Mean.of(other).means[name])


def test_a_permutation_keeps_the_rows_breaks_the_pairs_and_replays_under_its_seed(x):
    out = Permutation(seed=3).apply(x, View.only("b"))
    assert not torch.equal(out["a"], x["a"])
    for name in ("a", "c"):
        order = lambda values: sorted(map(tuple, values.tolist()))  # noqa: E731
        assert order(out[name]) == order(x[name])
    assert same(out, Permutation(seed=3).apply(x, View.only("b")))
    assert not same(out, Permutation(seed=4).apply(x, View.only("b")))
    again = Permutation(seed=3)
    first, second = again.apply(x, View.only("b")), again.apply(x, View.only("b"))
    assert not same(first, second)


def test_a_permutation_of_two_leaves_half_of_the_batches_as_they_are():
    x = {"a": torch.arange(2.0)[:, None], "b": torch.zeros(2, 1)}
    operator = Permutation(seed=0)
    kept = sum(torch.equal(operator.apply(x, View.only("b"))["a"], x["a"]) for _ in range(2000))
    assert abs(kept - 1000) < 4 * 500**0.5


@pytest.mark.parametrize("kind", [AttentionMask, Learned])
def test_masks_are_for_networks_that_say_they_heed_them(kind):
    class Says:
        removals = (kind.name,)

    check_heeded(kind(), Says())
    for net in (object(), lambda x: x["a"], build(NetSpec(width=2), {"a": (3,)}, 2, seed=0)):
        with pytest.raises(LabError, match=f"removal = '{kind.name}': leaves .* a mask .* does not say"):
            check_heeded(kind(), net)
    for operator in (Zeros(), Permutation(), Mean({})):
        check_heeded(operator, object())


def test_an_attention_mask_shuts_out_every_value(data, x):
    net = build(NetSpec(fusion="attention", width=2, features=6), data.shapes, 2, seed=0)
    other = {**x, "a": torch.full_like(x["a"], 1e4)}
    keep = View.drop("a", of=NAMES)
    mask = AttentionMask()
    assert torch.equal(net(mask.apply(x, keep)), net(mask.apply(other, keep)))
    assert not torch.allclose(net(x), net(mask.apply(x, keep)))
    assert torch.equal(net(mask.apply(x, View.full(NAMES))), net(x))
    nothing = net(mask.apply(x, View.only()))
    assert torch.isfinite(nothing).all()
    assert torch.equal(nothing, nothing[:1].expand_as(nothing))


def test_learned_puts_the_networks_own_stand_in(data, x):
    net = build(NetSpec(baseline=True, width=2), data.shapes, 2, seed=0)
    with torch.no_grad():
        net.baseline_0.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    by_hand = {**x, "a": torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(10, 4)}
    keep = View.drop("a", of=NAMES)
    torch.testing.assert_close(net(Learned().apply(x, keep)), net(by_hand))
    net(Learned().apply(x, keep)).sum().backward()
    assert net.baseline_0.grad.any()
    assert not net.baseline_1.grad.any() if net.baseline_1.grad is not None else True


@pytest.mark.parametrize("name", ["zeros", "mean", "attention", "learned"])
def test_sample_by_sample_agrees_with_whole_modalities(name, data, x):
    operator = removal_named(name, data)
    stays = torch.arange(10) % 3 != 0
    mixed = operator.apply_where(x, {"a": stays})
    whole = operator.apply(x, View.drop("a", of=NAMES))
    net = build(NetSpec(fusion="attention", baseline=True, width=2), data.shapes, 2, seed=0)
    torch.testing.assert_close(net(mixed)[stays], net(x)[stays])
    torch.testing.assert_close(net(mixed)[~stays], net(whole)[~stays])


def test_masks_are_no_modalities(x):
    masked = AttentionMask().apply(x, View.only("a"))
    assert modality_names(masked) == NAMES
    assert kept_key("attention", "b") in masked
