"""Attribution by modality: against numbers derived by hand, and against Captum."""

import numpy as np
import pytest
import torch
from captum import attr

from mmkd_lab.attribution import (
    METHODS,
    CaptumCase,
    IntegratedGradients,
    by_modality,
    check_masks,
    feature_masks,
)
from mmkd_lab.attribution.gradients import integrated_gradients
from mmkd_lab.attribution.networks import Explained
from mmkd_lab.attribution.tables import COLUMNS
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import Mean, NetSpec, build
from tests.attribution.tiny import Additive, Mlp, Product, draw

SUMMED = ("shapley", "integrated_gradients")


def per_sample(found, method, modality):
    table = found.table
    rows = table[(table.method == method) & (table.modality == modality) & (table["sample"] != "all")]
    return rows.value.to_numpy()


@pytest.mark.parametrize("method", ["shapley", "ablation", "integrated_gradients", "gradient_x_input"])
def test_an_additive_network_gives_each_modality_its_own_part(method):
    net, x = Additive(), draw(a=(3,), b=(2,))
    found = by_modality(net, x, methods=method, target=1)
    np.testing.assert_allclose(per_sample(found, method, "a"), (x["a"] @ net.a.weight[1]).detach(), atol=1e-5)
    np.testing.assert_allclose(per_sample(found, method, "b"), (x["b"] @ net.b.weight[1]).detach(), atol=1e-5)


@pytest.mark.parametrize("method", ["shapley", "ablation", "integrated_gradients"])
def test_the_training_mean_is_where_removal_by_mean_ends(method):
    net, x = Additive(), draw(a=(3,), b=(2,))
    means = {"a": torch.tensor([1.0, -2.0, 0.5]), "b": torch.tensor([3.0, 0.0])}
    found = by_modality(net, x, methods=method, target=0, removal=Mean(means))
    wanted = ((x["a"] - means["a"]) @ net.a.weight[0]).detach()
    np.testing.assert_allclose(per_sample(found, method, "a"), wanted, atol=1e-5)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_a_product_is_shared_equally_and_ablation_counts_it_every_time(m):
    x = draw(**dict.fromkeys("abcd"[:m], (1,)))
    p = torch.stack([v[:, 0] for v in x.values()]).prod(0)
    methods = ("shapley", "ablation", "integrated_gradients", "gradient_x_input")
    found = by_modality(Product(), x, methods=methods, target=0)
    for name in x:
        np.testing.assert_allclose(per_sample(found, "shapley", name), p / m, atol=1e-6)
        np.testing.assert_allclose(per_sample(found, "integrated_gradients", name), p / m, atol=1e-5)
        np.testing.assert_allclose(per_sample(found, "ablation", name), p, atol=1e-6)
        np.testing.assert_allclose(per_sample(found, "gradient_x_input", name), p, atol=1e-6)


@pytest.mark.parametrize("removal", ["zeros", "mean"])
def test_shapley_and_ablation_equal_captum(removal):
    x = draw(n=6, a=(3,), b=(2,), c=(4,))
    net = Mlp({"a": 3, "b": 2, "c": 4}).eval()
    means = {name: v.mean(0) for name, v in x.items()}
    operator = Mean(means) if removal == "mean" else "zeros"
    target = net(x).argmax(1)
    found = by_modality(net, x, methods=("shapley", "ablation"), removal=operator)
    case = CaptumCase.of(net, x)
    base = tuple(means[name].expand_as(x[name]) if removal == "mean" else 0.0 for name in x)
    for method, captum in (("shapley", attr.ShapleyValues), ("ablation", attr.FeatureAblation)):
        theirs = captum(case.forward).attribute(case.inputs, base, target=target, feature_mask=case.masks)
        for name, values in zip(case.names, theirs, strict=True):
            np.testing.assert_allclose(per_sample(found, method, name), values[:, 0].detach(), atol=1e-5)


def test_gradients_equal_captum():
    x = draw(n=5, a=(3,), b=(2,))
    net = Mlp({"a": 3, "b": 2}).eval()
    target, case = net(x).argmax(1), CaptumCase.of(net, x)
    base = {name: torch.zeros_like(v) for name, v in x.items()}
    ours = integrated_gradients(
        Explained(net, x, target, batch_size=7), base, IntegratedGradients(20, "gausslegendre")
    )
    theirs = attr.IntegratedGradients(case.forward).attribute(
        tuple(v.clone().requires_grad_() for v in case.inputs), target=target, n_steps=20
    )
    for name, values in zip(x, theirs, strict=True):
        torch.testing.assert_close(ours[name], values.detach(), atol=1e-6, rtol=1e-5)
    found = by_modality(net, x, methods="gradient_x_input")
    theirs = attr.InputXGradient(case.forward).attribute(
        tuple(v.clone().requires_grad_() for v in case.inputs), target=target
    )
    for name, values in zip(x, theirs, strict=True):
        np.testing.assert_allclose(
            per_sample(found, "gradient_x_input", name), values.detach().sum(1), atol=1e-6
        )


def test_graded_nodes_add_up_where_even_ones_miss_most_of_the_integral():
    x = draw(n=20, image=(1, 12, 12), v=(6,))
    net = build(NetSpec(width=4, features=8), {k: v.shape[1:] for k, v in x.items()}, 3, seed=0).eval()
    target = torch.zeros(20, dtype=torch.int64)
    base = {name: torch.zeros_like(v) for name, v in x.items()}
    must = (net(x) - net(base))[:, 0].detach()
    left = {}
    for way in ("gausslegendre", "graded"):
        found = integrated_gradients(Explained(net, x, target), base, IntegratedGradients(nodes=way))
        left[way] = (sum(v.flatten(1).sum(1) for v in found.values()) - must).abs().max()
    assert left["graded"] < 0.2 * left["gausslegendre"]


@pytest.mark.parametrize(
    ("nodes", "first"), [("graded", 1.551), ("gausslegendre", 1.5), ("riemann_middle", 1.5)]
)
def test_where_the_nodes_lie_shows_at_a_kink(nodes, first):
    """Captum's BasicModel2 at (3, 1), where integrated gradients are 1.5 and -0.5."""

    def net(x):
        return (x["a"].relu() - 1 - x["b"].relu()).relu()

    x = {"a": torch.full((2, 1), 3.0), "b": torch.ones(2, 1)}
    found = by_modality(net, x, methods=IntegratedGradients(nodes=nodes), target=0)
    for name, value in (("a", first), ("b", -first / 3)):
        assert per_sample(found, "integrated_gradients", name) == pytest.approx(value, abs=4e-3)
    usual = by_modality(net, x, methods="integrated_gradients", target=0)
    assert (usual.table["value"].tolist() == found.table["value"].tolist()) == (nodes == "graded")


def test_perceptual_score_is_accuracy_lost_in_points():
    n = 400
    labels = torch.arange(n) % 2
    x = {
        "a": (2.0 * labels - 1.0).unsqueeze(1),
        "b": torch.randn(n, 1, generator=torch.Generator().manual_seed(0)),
    }

    def reads_a(given):
        return torch.cat([-given["a"], given["a"]], dim=1)

    found = by_modality(reads_a, x, methods="perceptual_score", labels=labels, draws=50).overall.set_index(
        "modality"
    )
    assert found.value["b"] == 0.0
    # A uniform permutation hands every sample a value of its own class with probability one half, exactly.
    assert abs(found.value["a"] - 50.0) < 1.0
    assert found.low["a"] <= found.value["a"] <= found.high["a"]


@pytest.mark.parametrize("removal", ["zeros", "permutation", "attention", "learned"])
def test_shapley_adds_up_for_every_removal(removal):
    x = draw(n=7, a=(3,), b=(2,), c=(2,))
    spec = NetSpec(
        features=4, width=2, fusion="attention" if removal == "attention" else "late", baseline=True
    )
    net = build(spec, {k: v.shape[1:] for k, v in x.items()}, 3, seed=0)
    found = by_modality(net, x, methods="shapley", removal=removal, draws=3)
    assert found.sums.claim[0] == "exact"
    assert found.sums.residual[0] < 1e-6
    found.check()
    assert found.overall.value.abs().max() > 1e-3


def test_an_ignored_modality_counts_for_nothing_by_any_method():
    x = draw(n=10, a=(3,), b=(2,))
    net = Mlp({"a": 3}).eval()
    found = by_modality(net, x, methods=METHODS, labels=torch.arange(10) % 3)
    rows = found.table[found.table.modality == "b"]
    assert len(rows) >= 6 * 11
    assert (rows.value == 0).all()


def test_nothing_depends_on_the_order_of_modalities_or_the_batch_size():
    x = draw(n=11, a=(3,), b=(2,))
    net = Mlp({"a": 3, "b": 2})
    labels = torch.arange(11) % 3
    first = by_modality(net, x, methods=METHODS, labels=labels, batch_size=4)
    other = by_modality(net, {"b": x["b"], "a": x["a"]}, methods=METHODS, labels=labels)
    np.testing.assert_allclose(first.table.value, other.table.value, atol=1e-5)


@pytest.mark.parametrize("output", ["logit", "probability", "log_probability"])
def test_outputs(output):
    x = draw(a=(3,), b=(2,))
    net = Mlp({"a": 3, "b": 2}).eval()
    found = by_modality(net, x, methods=SUMMED, output=output, target=1)
    z = {
        "logit": lambda z: z,
        "probability": lambda z: z.softmax(1),
        "log_probability": lambda z: z.log_softmax(1),
    }
    total = (z[output](net(x)) - z[output](net({k: torch.zeros_like(v) for k, v in x.items()})))[:, 1]
    for method in SUMMED:
        added = per_sample(found, method, "a") + per_sample(found, method, "b")
        np.testing.assert_allclose(added, total.detach(), atol=1e-4)


def test_the_network_is_asked_in_evaluation_mode_and_left_as_it_was():
    x = draw(a=(3,), b=(2,))
    net = Mlp({"a": 3, "b": 2}).train()
    net.body[1].eval()
    twice = [by_modality(net, x, methods=SUMMED).table.value for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    assert net.training
    assert net.body[2].training
    assert not net.body[1].training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(v.requires_grad for v in x.values())


def paired(n=30):
    x = draw(n=n, a=(3,), b=(2,))
    splits = {"train": torch.arange(0, 12), "test": torch.arange(12, n)}
    return PairedData(
        "tiny", x, torch.arange(n) % 3, splits, ("cat", "dog", "owl"), index=torch.arange(n) + 100
    )


def test_the_table_is_tidy_and_names_samples_and_classes():
    found = by_modality(Mlp({"a": 3, "b": 2}), paired(), methods=METHODS, target="label", removal="mean")
    table = found.table
    assert tuple(table.columns) == COLUMNS
    assert set(table.method) == set(METHODS)
    some = table[(table.method == "shapley") & (table.modality == "a")]
    assert list(some["sample"][:4]) == ["all"] * 4
    assert list(some.target[:4]) == ["all", "cat", "dog", "owl"]
    assert list(some["sample"][4:]) == [str(112 + i) for i in range(18)]
    whole, parts = some[some["sample"] == "all"], some[some["sample"] != "all"]
    assert list(whole.n) == [18, 6, 6, 6]
    np.testing.assert_allclose(whole.value.iloc[0], parts.value.mean())
    assert parts[["low", "high"]].isna().all().all()
    assert not whole[["low", "high"]].isna().any().any()
    assert "shapley: a" in repr(found)
    again = by_modality(
        Mlp({"a": 3, "b": 2}), paired(), methods=METHODS, target="label", removal="mean"
    ).table
    assert table.equals(again)


def test_shares_are_absolute_and_skip_samples_without_any():
    x = {"a": torch.tensor([[1.0], [-2.0], [0.0]]), "b": torch.tensor([[3.0], [2.0], [0.0]])}

    def net(given):
        return torch.cat([given["a"] + given["b"], torch.zeros(len(given["a"]), 1)], dim=1)

    found = by_modality(net, x, target=0).shares.set_index("modality")
    np.testing.assert_allclose(found.share["a"], (1 / 4 + 2 / 4) / 2)
    assert list(found.n) == [2, 2]


def test_a_feature_number_shared_by_two_inputs_is_one_feature_for_captum():
    """The trap that distinct numbers avoid: both go together, and both are given the pair's value."""
    x = {"a": torch.tensor([[2.0]]), "b": torch.tensor([[5.0]])}
    case = CaptumCase.of(lambda given: torch.cat([given["a"], given["b"]], dim=1).sum(1, keepdim=True), x)
    apart = attr.ShapleyValues(case.forward).attribute(case.inputs, target=0, feature_mask=case.masks)
    assert [float(v) for v in apart] == [2.0, 5.0]
    same = tuple(torch.zeros_like(mask) for mask in case.masks)
    together = attr.ShapleyValues(case.forward).attribute(case.inputs, target=0, feature_mask=same)
    assert [float(v) for v in together] == [7.0, 7.0]
    with pytest.raises(LabError, match=r"feature_mask = 0.*'a' as well as of 'b'"):
        check_masks(same, case.names)


def test_regions_of_modalities_are_numbered_apart():
    x = draw(n=2, a=(4,), b=(2, 2), c=(3,))
    regions = {"a": torch.tensor([0, 0, 1, 2]), "c": torch.tensor([0, 1, 1])}
    masks = feature_masks(x, regions)
    assert [mask.flatten().tolist() for mask in masks] == [[0, 0, 1, 2], [3, 3, 3, 3], [4, 5, 5]]
