"""Views that share their parts give what the views one by one give, values and gradients."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.models import AttentionMask, Learned, Mean, NetSpec, Permutation, View, Zeros, all_views, build
from mmkd_lab.models.rows import view_rows
from mmkd_lab.models.shared_parts import can_share, features_of_views, with_removed

SHAPES = {"image": (1, 8, 8), "speech": (5,), "words": (6,)}
VIEWS = (View.full(SHAPES), *all_views(SHAPES)[:-1])


def network(fusion, *, encoder="auto", joint=0):
    spec = NetSpec(
        encoder, width=2, features=8, fusion=fusion, joint=joint, baseline=True, vocabulary={"words": 9}
    )
    return build(spec, SHAPES, 3, seed=1)


def batch(size=4):
    generator = torch.Generator().manual_seed(0)
    x = {m: torch.randn(size, *SHAPES[m], generator=generator) for m in ("image", "speech")}
    return {**x, "words": torch.randint(1, 9, (size, 6), generator=generator)}


REMOVALS = {"zeros": Zeros(), "learned": Learned(), "attention": AttentionMask()}
CASES = [(fusion, name) for fusion in ("late", "mid", "attention") for name in REMOVALS]
CASES = [case for case in CASES if case[1] != "attention" or case[0] == "attention"]


@pytest.mark.parametrize(("fusion", "name"), CASES, ids=["-".join(case) for case in CASES])
def test_shared_parts_are_the_plain_views(fusion, name):
    net, x, removal = network(fusion), batch(), REMOVALS[name]
    assert can_share(net, removal, x)
    features = features_of_views(net, *with_removed(x, VIEWS, removal))
    plain = net.features(view_rows(x, VIEWS, removal))
    torch.testing.assert_close(features, plain, atol=1e-6, rtol=1e-5)
    weight = torch.randn(plain.shape, generator=torch.Generator().manual_seed(2))
    learnt = [p for name, p in net.named_parameters() if not name.startswith("head")]
    ours, theirs = (
        torch.autograd.grad((weight * part).sum(), learnt, allow_unused=True) for part in (features, plain)
    )
    for one, two in zip(ours, theirs, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_means_and_a_joint_layer():
    net, x = network("late", joint=5), batch()
    means = {"image": torch.full((1, 8, 8), 0.3), "speech": torch.arange(5.0)}
    views = (View.full(SHAPES), View.only("image", "words"), View.only("words"))
    features = features_of_views(net, *with_removed(x, views, Mean(means)))
    torch.testing.assert_close(features, net.features(view_rows(x, views, Mean(means))), atol=1e-6, rtol=1e-5)
    with pytest.raises(LabError, match="token ids have no mean"):
        with_removed(x, VIEWS, Mean(means))


def test_one_row_more_whatever_the_number_of_views():
    x = {m: values[None].expand(3, *values.shape) for m, values in batch().items()}
    rows, asked = with_removed(x, VIEWS, Learned(), axis=1)
    assert {values.shape[:2] for values in rows.values()} == {(3, 5)}
    assert not asked.hidden
    rows, asked = with_removed(x, VIEWS, AttentionMask(), axis=1)
    assert {values.shape[:2] for values in rows.values()} == {(3, 4)}
    assert asked.hidden


def test_where_it_would_not_be_the_same_it_is_not_done():
    net, x = network("late"), batch()
    assert not can_share(net, Permutation(), x)
    assert not can_share(net, AttentionMask(), x)
    assert not can_share(network("single_stream"), Zeros(), x)
    assert not can_share(torch.nn.Linear(2, 2), Zeros(), x)
    assert not can_share(net, Zeros(), {"image": x["image"]})
    thinned = Learned().apply_where(x, {"image": torch.tensor([True, False, True, True])})
    assert not can_share(net, Zeros(), thinned)

    class Ones(Zeros):
        """An operator of one's own may look at the sample."""

    assert not can_share(net, Ones(), x)
