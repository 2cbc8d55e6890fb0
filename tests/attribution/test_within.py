"""Maps within a modality: against numbers derived by hand."""

import numpy as np
import pytest
import torch

from mmkd_lab.attribution import MAP_METHODS, Ablation, IntegratedGradients, Occlusion, grid, within_modality
from mmkd_lab.core.check import LabError
from mmkd_lab.models import Mean
from tests.attribution.tiny import Additive, Mlp, Words, draw

SHAPE = (1, 4, 6)


def linear_case(n=5):
    """A network that is linear in an 'a' of 24 cells, its weights in the cells' shape."""
    net = Additive(d_a=24)
    return net, draw(n=n, a=SHAPE, b=(2,)), net.a.weight[1].detach().reshape(SHAPE)


def test_a_linear_network_has_weight_times_input_in_every_cell():
    net, x, weight = linear_case()
    for method in ("integrated_gradients", "gradient_x_input"):
        found = within_modality(net, x, modality="a", method=method, target=1)
        assert found.values.shape == (5, *SHAPE)
        np.testing.assert_allclose(found.values, weight * x["a"], atol=1e-5)


@pytest.mark.parametrize("patch", [2, (2, 2), (4, 1), (1, 6), 3, (2, 4)])
def test_ablation_gives_each_region_the_sum_of_its_cells(patch):
    net, x, weight = linear_case()
    found = within_modality(net, x, modality="a", method=Ablation(patch), target=1, batch_size=3)
    cut = grid(SHAPE, patch)
    each = (weight * x["a"]).flatten(1)
    for number in cut.unique():
        cells = (cut == number).flatten()
        wanted = each[:, cells].sum(1, keepdim=True).expand(-1, int(cells.sum()))
        np.testing.assert_allclose(found.values.reshape(5, -1)[:, cells], wanted, atol=1e-5)
    np.testing.assert_allclose(found.by_region().sum(1), each.sum(1), atol=1e-5)


def test_occlusion_without_overlap_is_ablation_and_with_overlap_the_mean_over_windows():
    net, x, weight = linear_case()
    plain = within_modality(net, x, modality="a", method=Occlusion(2), target=1)
    same = within_modality(net, x, modality="a", method=Ablation(2), target=1)
    np.testing.assert_allclose(plain.values, same.values, atol=1e-5)
    slid = within_modality(net, x, modality="a", method=Occlusion((1, 2), stride=1), target=1)
    cells = (weight * x["a"])[:, 0].detach().numpy()
    pairs = cells[:, :, :-1] + cells[:, :, 1:]
    np.testing.assert_allclose(slid.values[:, 0, :, 2], (pairs[:, :, 1] + pairs[:, :, 2]) / 2, atol=1e-5)
    np.testing.assert_allclose(slid.values[:, 0, :, 0], pairs[:, :, 0], atol=1e-5)


def test_removed_cells_hold_the_training_mean():
    net, x, weight = linear_case()
    mean = torch.full(SHAPE, 0.5)
    operator = Mean({"a": mean, "b": torch.zeros(2)})
    for method in ("integrated_gradients", Ablation(patch=1)):
        found = within_modality(net, x, modality="a", method=method, target=1, removal=operator)
        np.testing.assert_allclose(found.values, weight * (x["a"] - mean), atol=1e-5)


def test_maps_sum_to_what_the_modality_is_worth_with_the_others_kept():
    x = draw(n=6, a=(3,), b=(2,))
    net = Mlp({"a": 3, "b": 2}).eval()
    found = within_modality(net, x, modality="a", target=0)
    worth = (net(x) - net({**x, "a": torch.zeros(6, 3)}))[:, 0].detach()
    np.testing.assert_allclose(found.values.sum(1), worth, atol=1e-5)
    assert np.abs(found.residual).max() < 1e-5


def test_tokens_by_ablation_and_by_their_embedding():
    net = Words()
    text = torch.tensor([[1, 2, 4], [3, 3, 0]])
    x = {"text": text, "a": draw(n=2, a=(2,))["a"]}
    rows = net.embedding.weight[:, 1].detach()
    wanted = rows[text] - rows[0]
    for method in ("ablation", IntegratedGradients(layer="embedding")):
        found = within_modality(net, x, modality="text", method=method, target=1)
        assert found.values.shape == (2, 3)
        np.testing.assert_allclose(found.values, wanted, atol=1e-5)
    assert np.abs(found.residual).max() < 1e-5


def test_another_modality_may_be_tokens():
    net = Words()
    x = {"text": torch.tensor([[1, 2], [3, 0]]), "a": draw(n=2, a=(2,))["a"]}
    for method in MAP_METHODS:
        found = within_modality(net, x, modality="a", method=method, target=0)
        np.testing.assert_allclose(found.values, (net.a.weight[0] * x["a"]).detach(), atol=1e-5)


def test_regions_of_any_form_and_numbering():
    net, x, weight = linear_case()
    regions = torch.full(SHAPE, 90)
    regions[0, 0, :2], regions[0, 3, 5] = 7, 7
    found = within_modality(net, x, modality="a", method=Ablation(regions=regions), target=1)
    each = (weight * x["a"]).flatten(1)
    inside = (regions == 7).flatten()
    wanted = torch.stack([each[:, inside].sum(1), each[:, ~inside].sum(1)], dim=1)
    np.testing.assert_allclose(found.by_region(), wanted, atol=1e-5)


def test_by_region_sums_the_cells_of_a_gradient_map():
    net, x, weight = linear_case()
    found = within_modality(net, x, modality="a", target=1)
    cut = grid(SHAPE, (2, 3))
    blocks = (weight * x["a"])[:, 0].reshape(5, 2, 2, 2, 3).sum((2, 4)).flatten(1)
    np.testing.assert_allclose(found.by_region(cut), blocks, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "patch", "count"),
    [
        ((1, 28, 28), 7, 16),
        ((3, 5, 5), 2, 9),
        ((1, 40, 100), (40, 10), 10),
        ((50,), 1, 50),
        ((7,), 3, 3),
        ((4, 6), 4, 2),
    ],
)
def test_grid_counts_and_keeps_channels_together(shape, patch, count):
    cut = grid(shape, patch)
    assert cut.shape == shape
    assert cut.unique().tolist() == list(range(count))
    if len(shape) == 3:
        assert bool((cut == cut[:1]).all())


@pytest.mark.parametrize("nodes", ["graded", "riemann_middle"])
def test_nodes_of_an_integral_may_lie_anywhere(nodes):
    x = draw(n=6, a=(3,), b=(2,))
    net = Mlp({"a": 3, "b": 2}).eval()
    method = IntegratedGradients(steps=200, nodes=nodes)
    found = within_modality(net, x, modality="a", method=method, target=0)
    assert 0 < np.abs(found.residual).max() < 1e-4
    text = {"text": torch.tensor([[1, 2], [3, 0]]), "a": draw(n=2, a=(2,))["a"]}
    if nodes == "graded":
        with pytest.raises(LabError, match="nodes = 'graded': must be one of 'gausslegendre'"):
            IntegratedGradients(nodes=nodes, layer="embedding")
    else:
        method = IntegratedGradients(nodes=nodes, layer="embedding")
        assert np.abs(within_modality(Words(), text, modality="text", method=method).residual).max() < 1e-5
