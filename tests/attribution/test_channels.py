"""Algorithm 1, step 2: the closed form, the fast permutations, the plain loop and Captum agree."""

from itertools import permutations

import numpy as np
import pytest
import torch
from captum.attr import FeaturePermutation

from mmkd_lab.attribution import by_channel, closed_form, minmax, top_k_precision, weight_magnitude
from mmkd_lab.attribution.saliency import distance, permuted_mse
from mmkd_lab.models import NetSpec, build
from tests.attribution.tiny import Conv, Joined, Linear, Student, draw


def every_order(n):
    return torch.tensor(list(permutations(range(n))))


def some_orders(n, count, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(n, generator=g) for _ in range(count)])


def plain_loop(rest, passed, student, orders, *, kind="mse", axis=1):
    """Algorithm 1 as it is written: permute a channel, run the rest, measure; nothing is shared."""
    start = distance(rest(passed).double(), student, kind=kind).mean()
    found = torch.zeros(len(orders), passed.shape[axis], dtype=torch.float64)
    for m, order in enumerate(orders):
        for i in range(passed.shape[axis]):
            moved = passed.clone().movedim(axis, 0)
            moved[i] = moved[i][order]
            again = rest(moved.movedim(0, axis)).double()
            found[m, i] = distance(again, student, kind=kind).mean() - start
    return found.detach()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_closed_form_is_the_mean_over_all_permutations(classes):
    x = draw(n=5, a=(4,), b=(2,))
    teacher, student = Linear(classes=classes).double(), Student(classes=classes).double()
    x = {name: v.double() for name, v in x.items()}
    exact = by_channel(teacher, student, x)
    assert exact.method == "closed_form"
    looped = plain_loop(teacher.head, x["a"], student(x), every_order(5)).mean(0)
    np.testing.assert_allclose(exact.values, looped, atol=1e-12)
    all_120 = by_channel(teacher, student, x, method="permutation", permutations=every_order(5))
    assert all_120.permutations == 120
    np.testing.assert_allclose(all_120.values, exact.values, atol=1e-12)


@pytest.mark.parametrize("reads", ["flat", "pooled"])
def test_the_closed_form_for_channels_with_positions(reads):
    x = {"a": draw(n=5, a=(1, 4, 4))["a"].double(), "b": draw(n=5, b=(2,), seed=1)["b"].double()}
    teacher, student = Conv(reads).double(), Student().double()
    exact = by_channel(teacher, student, x, layer="act")
    assert exact.method == "closed_form"
    assert len(exact) == 3

    def rest(maps):
        return teacher.head(maps.mean((2, 3)) if reads == "pooled" else maps.flatten(1))

    looped = plain_loop(rest, teacher.act(teacher.conv(x["a"])), student(x), every_order(5)).mean(0)
    np.testing.assert_allclose(exact.values, looped, atol=1e-12)


def test_ten_thousand_permutations_come_within_four_standard_errors():
    x = draw(n=100, a=(12,), b=(2,))
    x["a"] = x["a"] @ draw(n=12, m=(12,), seed=3)["m"] / 3  # correlated channels
    teacher, student = Linear(d=12), Student()
    exact = by_channel(teacher, student, x)
    drawn = by_channel(teacher, student, x, method="permutation", permutations=10_000)
    assert (drawn.standard_error > 0).all()
    assert (np.abs(drawn.values - exact.values) < 4 * drawn.standard_error).all()
    assert drawn.standard_error.max() < 0.04 * np.abs(exact.values).max()


@pytest.mark.parametrize("kind", ["mse", "l1", "kl"])
@pytest.mark.parametrize("reads", ["flat", "pooled", "mlp"])
def test_fast_permutations_equal_the_plain_loop(reads, kind):
    x = draw(n=11, a=(1, 4, 4), b=(2,))
    teacher, student = Conv(reads), Student()

    def rest(maps):
        if reads == "pooled":
            return teacher.head(maps.mean((2, 3)))
        return teacher.head(
            torch.tanh(teacher.hidden(maps.flatten(1))) if reads == "mlp" else maps.flatten(1)
        )

    orders = some_orders(11, 4)
    settings = {"layer": "act", "method": "permutation", "distance": kind, "permutations": orders}
    looped = plain_loop(rest, teacher.act(teacher.conv(x["a"])), student(x).double(), orders, kind=kind)
    for size in (3, 40):  # fewer rows than samples, several channels at once
        found = by_channel(teacher, student, x, batch_size=size, **settings)
        np.testing.assert_allclose(found.values, looped.mean(0), atol=1e-6)
        np.testing.assert_allclose(found.standard_error, looped.std(0) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", ["mse", "l1", "kl"])
def test_fast_permutations_of_a_vector_equal_the_plain_loop(kind):
    x, orders = draw(n=13, a=(4,), b=(2,)), some_orders(13, 5)
    teacher, student = Linear(classes=3), Student(classes=3)
    found = by_channel(teacher, student, x, method="permutation", distance=kind, permutations=orders)
    looped = plain_loop(teacher.head, x["a"], student(x).double(), orders, kind=kind)
    np.testing.assert_allclose(found.values, looped.mean(0), atol=1e-6)
    start = distance(teacher(x).double(), student(x).double(), kind=kind).mean()
    np.testing.assert_allclose(found.start, start.item(), rtol=1e-6)


@pytest.mark.parametrize("alike", [[], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 8]])
@pytest.mark.parametrize("how", ["cat", "add"])
def test_another_modality_that_joins_later_is_run_along(how, alike):
    """Added branches would broadcast silently if the rest of the network were run on one sample of them.

    That some samples are alike in the other modality must not hide it.
    """
    x, orders = draw(n=9, a=(4,), b=(2,)), some_orders(9, 3)
    x["b"][alike] = 0.5
    teacher, student = Joined(how), Student()

    def rest(first):
        a, b = torch.tanh(first), torch.tanh(teacher.second(x["b"]))
        return torch.tanh(teacher.out(torch.cat([a, b], dim=1) if how == "cat" else a + b))

    looped = plain_loop(rest, teacher.first(x["a"]), student(x).double(), orders)
    for size in (2, 9, 64):
        found = by_channel(teacher, student, x, layer="first", permutations=orders, batch_size=size)
        assert found.method == "permutation"
        np.testing.assert_allclose(found.values, looped.mean(0), atol=1e-6)


def test_captum_says_the_same_with_the_opposite_sign():
    x, orders = draw(n=10, a=(4,), b=(2,)), some_orders(10, 6)
    teacher, student = Linear(), Student()
    h = student(x)
    values = []
    for order in orders:
        captum = FeaturePermutation(
            lambda f: (teacher.head(f) - h).square().mean().reshape(1),
            perm_func=lambda f, mask, order=order: torch.where(mask, f[order], f),
        )
        values.append(-captum.attribute(x["a"])[0].detach())
    ours = by_channel(teacher, student, x, method="permutation", permutations=orders)
    np.testing.assert_allclose(ours.values, torch.stack(values).mean(0), atol=1e-6)


def test_a_derived_network_shared_specific_and_opposed():
    """Channels s, u, a copy of s, and a constant; the student says s, the teacher 2 s + u - s / 2."""
    s = torch.tensor([1.0, -1.0, 1.0, -1.0])
    u = torch.tensor([1.0, 1.0, -1.0, -1.0])
    features = torch.stack([s, u, s, torch.zeros(4)], dim=1)
    weight = torch.tensor([[2.0, 1.0, -0.5, 3.0]])  # one logit; the last channel is constant
    student = s.unsqueeze(1)
    gap = features @ weight.T - student  # s / 2 + u
    found = closed_form(features, weight, gap)
    # 2 w^2 var - 2 w cov(f, gap): 2*4 - 4*0.5, 2*1 - 2*1, 2*0.25 + 1*0.5, and 0.
    assert found.tolist() == [6.0, 0.0, 1.0, 0.0]
    opposed = closed_form(features, torch.tensor([[0.1, 0.0, -0.1, 0.0]]), -student)
    # 2*0.01 + 0.2 for the first; the third pushes against the student: 0.02 - 0.2, below 0.
    torch.testing.assert_close(opposed, torch.tensor([0.22, 0.0, -0.18, 0.0]))


def test_channels_permuted_among_themselves_keep_their_saliency():
    x, order = draw(n=40, a=(6,), b=(2,)), torch.tensor([3, 1, 5, 0, 2, 4])
    teacher, student = Linear(d=6), Student()
    before = {m: by_channel(teacher, student, x, method=m).values for m in ("closed_form", "permutation")}
    with torch.no_grad():
        teacher.head.weight.copy_(teacher.head.weight[:, order])
    x["a"] = x["a"][:, order]
    for method, values in before.items():
        after = by_channel(teacher, student, x, method=method).values
        np.testing.assert_allclose(after, values[order], atol=1e-6)


def test_scale_and_shift_of_a_channel_do_not_matter_when_the_head_makes_up_for_them():
    x, teacher, student = draw(n=40, a=(4,), b=(2,)), Linear(), Student()
    before = by_channel(teacher, student, x).values
    with torch.no_grad():
        teacher.head.bias -= 7.0 * teacher.head.weight[:, 2]
        teacher.head.weight[:, 1] /= 8.0
    x["a"] = x["a"].clone()
    x["a"][:, 1] *= 8.0
    x["a"][:, 2] += 7.0
    np.testing.assert_allclose(by_channel(teacher, student, x).values, before, atol=1e-5)
    drawn = by_channel(teacher, student, x, method="permutation", permutations=3000)
    assert (np.abs(drawn.values - before) < 5 * drawn.standard_error).all()


@pytest.mark.parametrize("method", ["closed_form", "permutation"])
@pytest.mark.parametrize("kind", ["weight", "constant"])
def test_a_channel_of_no_weight_or_no_variation_has_saliency_zero_exactly(method, kind):
    x, teacher = draw(n=30, a=(4,), b=(2,)), Linear()
    if kind == "weight":
        with torch.no_grad():
            teacher.head.weight[:, 2] = 0.0
    else:
        x["a"][:, 2] = 0.1
    found = by_channel(teacher, Student(), x, method=method)
    assert found.values[2] == 0.0
    assert found.standard_error[2] == 0.0
    assert (found.values != 0).sum() == 3
    assert found.constant.tolist() == [False, False, kind == "constant", False]
    assert ("1 constant and therefore 0" in repr(found)) == (kind == "constant")


def test_a_dead_channel_deep_in_a_network_is_zero_and_never_nan():
    x, teacher = draw(n=12, a=(1, 4, 4), b=(2,)), Conv("mlp")
    with torch.no_grad():
        teacher.conv.bias[1], teacher.conv.weight[1] = -1.0, 0.0
    found = by_channel(teacher, Student(), x, layer="act", permutations=3)
    assert found.values[1] == 0.0
    assert found.constant.tolist() == [False, True, False]
    assert np.isfinite(found.table.select_dtypes("number")).all().all()
    with torch.no_grad():
        teacher.conv.weight.zero_()
    dead = by_channel(teacher, Student(), x, layer="act", permutations=3)
    assert (dead.normalised == 0).all()
    assert dead.constant.all()


def test_one_permutation_has_no_standard_error_and_more_shrink_it():
    x = draw(n=60, a=(4,), b=(2,))
    few, many = (by_channel(Linear(), Student(), x, method="permutation", permutations=m) for m in (50, 5000))
    assert (many.standard_error < 0.2 * few.standard_error).all()
    one = by_channel(Linear(), Student(), x, method="permutation", permutations=1)
    assert np.isnan(one.standard_error).all()
    assert np.isfinite(one.values).all()
    again = by_channel(Linear(), Student(), x, method="permutation", permutations=50)
    np.testing.assert_array_equal(again.values, few.values)
    other = by_channel(Linear(), Student(), x, method="permutation", permutations=50, seed=1)
    assert (other.values != few.values).all()


def test_the_table_ranks_by_signed_saliency():
    x = draw(n=60, a=(6,), b=(2,))
    found = by_channel(Linear(d=6), Student(), x)
    table = found.table
    assert list(table.columns) == [
        "channel",
        "saliency",
        "standard_error",
        "normalised",
        "rank",
        "constant",
        "magnitude",
    ]
    by_rank = table.sort_values("rank").saliency.to_numpy()
    assert (np.diff(by_rank) <= 0).all()
    assert table.normalised.min() == 0.0
    assert table.normalised.max() == 1.0
    assert found.top(2).tolist() == sorted(table.sort_values("rank").channel[:2])
    np.testing.assert_allclose(found.normalised, minmax(torch.tensor(found.values)))


def test_magnitude_is_the_norm_of_the_centred_weight():
    weight = torch.tensor([[3.0, 1.0, 0.0], [-1.0, 1.0, 2.0]])
    torch.testing.assert_close(weight_magnitude(weight), torch.tensor([8.0, 0.0, 2.0]).sqrt())
    x, teacher = draw(n=6, a=(1, 4, 4), b=(2,)), Conv("flat")
    found = by_channel(teacher, Student(), x, layer="act").magnitude
    spread = teacher.head.weight - teacher.head.weight.mean(0)
    np.testing.assert_allclose(
        found, spread.reshape(2, 3, 16).square().sum((0, 2)).sqrt().detach(), rtol=1e-6
    )


def test_worlds_along_leading_axes_equal_one_by_one():
    features, weight, gap = draw(n=7, f=(20, 5), w=(3, 5), g=(20, 3)).values()
    found = closed_form(features, weight, gap)
    for i in range(7):
        torch.testing.assert_close(found[i], closed_form(features[i], weight[i], gap[i]))
    drawn = permuted_mse(features[0].double(), weight[0].double(), gap[0].double(), some_orders(20, 4000))
    assert bool(((drawn.mean(0) - found[0]).abs() < 4.5 * drawn.std(0) / 4000**0.5).all())


def test_the_labs_own_network_by_its_features_by_a_layer_and_for_the_student():
    x = draw(n=30, image=(1, 12, 12), v=(6,))
    shapes = {name: v.shape[1:] for name, v in x.items()}
    teacher = build(NetSpec(width=4, features=8, modalities=("image",)), shapes, 3, seed=0)
    student = build(NetSpec(width=4, features=8, modalities=("v",)), shapes, 3, seed=1)
    found = by_channel(teacher, student, x)
    assert (found.layer, found.side, len(found), found.method) == ("head", "input", 8, "closed_form")
    named = by_channel(teacher, student, x, layer="fusion")
    np.testing.assert_allclose(named.values, found.values, atol=1e-12)
    maps = by_channel(teacher, student, x, layer="fusion.encoders.0.stem", permutations=4)
    assert (len(maps), maps.method) == (4, "permutation")
    assert by_channel(student, teacher, x).n == 30


def test_top_k_precision():
    values = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    truth = torch.tensor([[True, True, False, False]]).expand(2, -1)
    assert top_k_precision(values, truth).tolist() == [0.5, 0.0]
    assert top_k_precision(values, truth, k=3).tolist() == pytest.approx([2 / 3, 1 / 3])
