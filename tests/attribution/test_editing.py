"""Rankings keep the channels they should, and an edited teacher says what one edited by hand says."""

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import RANKINGS, Editor, RankingContext, by_channel, kept_channels, register_ranking
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import ModelAdapter
from mmkd_lab.training.recipe import Recipe
from tests.attribution.tiny import Conv, Joined, Linear, Student, draw


def paired(x, n=30):
    rows = torch.arange(n)
    splits = {"train": rows[: n // 2], "val": rows[n // 2 : 2 * n // 3], "test": rows[2 * n // 3 :]}
    return PairedData("tiny", x, rows % 2, splits, ("no", "yes"))


VECTORS = paired(draw(30, a=(4,), b=(2,)))
IMAGES = paired(draw(30, a=(1, 4, 4), b=(2,)))


@pytest.fixture(scope="module")
def wide():
    data = paired(draw(30, a=(10,), b=(2,)))
    return by_channel(Linear(d=10), Student(), data)


def test_the_rankings_of_the_lab(wide):
    order = np.argsort(-wide.values, kind="stable")
    for ratio, gone in ((0.0, 0), (0.3, 3), (0.75, 7)):
        keep = lambda name, **more: kept_channels(name, RankingContext(wide, **more), ratio)  # noqa: E731, B023
        assert keep("general").tolist() == sorted(order[: 10 - gone])
        assert keep("specific").tolist() == sorted(order[gone:])
        assert keep("weight").tolist() == sorted(np.argsort(-wide.magnitude)[: 10 - gone])
        assert keep("oracle", truth=np.array([2, 5])).tolist() == [2, 5]
        assert len(keep("random", seed=3)) == 10 - gone
    few, many = (set(kept_channels("random", RankingContext(wide, seed=3), ratio)) for ratio in (0.75, 0.3))
    assert few < many
    other = set(kept_channels("random", RankingContext(wide, seed=3, draw=1), 0.3))
    assert other != many
    assert RANKINGS["random"].random
    assert RANKINGS["oracle"].needs_truth


def test_a_ranking_of_your_own_and_its_mistakes(wide):
    register_ranking("last")(lambda context: np.arange(10))
    assert kept_channels("last", RankingContext(wide), 0.8).tolist() == [8, 9]
    register_ranking("bad")(lambda context: np.arange(3))
    blind = by_channel(Conv("mlp"), Student(), IMAGES, layer="act", permutations=2)
    for call, words in (
        (lambda: kept_channels("bad", RankingContext(wide), 0.5), r"bad: \(3,\).*must give \(10,\) numbers"),
        (lambda: kept_channels("last", RankingContext(wide), 1.0), "ratio = 1.0: must be below 1"),
        (lambda: kept_channels("oracle", RankingContext(wide), 0.5), "truth = None"),
        (lambda: kept_channels("weight", RankingContext(blind), 0.5), "layer = 'act'.*'weight' needs"),
        (lambda: kept_channels("wieght", RankingContext(wide), 0.5), "Did you mean 'weight'"),
    ):
        with pytest.raises(LabError, match=words):
            call()
    for name in ("last", "bad"):
        RANKINGS.forget(name)


@pytest.mark.parametrize("replace", ["mean", "zeros"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_maps_of_a_users_network_edited_by_hand(replace, wrapped):
    net = Conv("flat")
    given = ModelAdapter(net, modalities=["a"]) if wrapped else net
    found = Editor(given, IMAGES, "act").keeping(np.array([0, 2]), replace=replace, features=["val"])
    x = IMAGES.modalities["a"]
    with torch.no_grad():
        maps = net.act(net.conv(x))
        train = maps[IMAGES.positions("train")].mean(0)
        maps[:, 1] = train[1] if replace == "mean" else 0.0
        wanted = net.head(maps.flatten(1))
    for split in ("train", "val", "test"):
        torch.testing.assert_close(found.logits[split], wanted[IMAGES.positions(split)], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(found.features["val"], maps.flatten(1)[IMAGES.positions("val")], atol=1e-6)
    np.testing.assert_array_equal(found.head, net.head.weight.detach())


def test_a_layer_before_a_head_that_is_not_linear_where_another_modality_joins():
    net = Joined()
    x = VECTORS.modalities
    logits, features, head = Editor(net, VECTORS, "first").keeping(np.array([1]), features=["test"])
    with torch.no_grad():
        first = net.first(x["a"])
        means = first[VECTORS.positions("train")].mean(0)
        first[:, [0, 2]] = means[[0, 2]]
        wanted = torch.tanh(net.out(torch.cat([torch.tanh(first), torch.tanh(net.second(x["b"]))], 1)))
    where = VECTORS.positions("test")
    torch.testing.assert_close(logits["test"], wanted[where], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(features["test"], first[where], atol=1e-6)
    assert head is None
    with pytest.raises(LabError, match="layer = 'first': a new head needs"):
        Editor(net, VECTORS, "first").retrained(np.array([1]), recipe=Recipe(epochs=1), stream=0)


@pytest.mark.parametrize("replace", ["mean", "zeros"])
@pytest.mark.parametrize(
    ("net", "data", "layer", "side", "alone"),
    [
        (Conv("flat"), IMAGES, "act", "output", True),
        (Conv("flat"), IMAGES, "head", "input", True),
        (Joined(), VECTORS, "first", "output", False),
    ],
)
def test_kept_activations_give_what_the_whole_network_gives(net, data, layer, side, alone, replace):
    editor = Editor(net, data, layer, side)
    held = editor.held("test", replace=replace)
    assert held.alone == alone
    for channels in (None, np.array([1]), np.array([0, 2])):
        wanted = editor.keeping(channels, replace=replace).logits["test"]
        assert torch.equal(held.logits(channels), wanted)


class Tokens(nn.Module):
    """Tokens 'a' (B, L, 2): embedded, mixed over time by a convolution or not, pooled."""

    def __init__(self, *, mixed):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.act, self.head = nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)
        self.mix = nn.Conv1d(4, 4, 1) if mixed else None

    def forward(self, x):
        f = self.act(self.embed(x["a"]))
        return self.head(f.mean(1) if self.mix is None else self.mix(f.transpose(1, 2)).mean(2))


def test_the_axis_of_channels_is_found_or_asked_for():
    data = paired(draw(30, a=(3, 2), b=(2,)))
    for layer in ("embed", "act"):
        found = by_channel(Tokens(mixed=False), Student(), data, layer=layer, permutations=2)
        asked = by_channel(Tokens(mixed=False), Student(), data, layer=layer, axis=-1, permutations=2)
        assert (found.axis, len(found)) == (2, 4)
        np.testing.assert_array_equal(found.values, asked.values)
    mixed = Tokens(mixed=True)
    assert by_channel(mixed, Student(), data, layer="embed", permutations=2).axis == 2
    found = by_channel(mixed, Student(), data, layer="mix", permutations=2)
    assert (found.axis, len(found)) == (1, 4)
    with pytest.raises(LabError, match=r"axis = None: cannot be told from the shape \(15, 3, 4\) of 'act'"):
        by_channel(mixed, Student(), data, layer="act", permutations=2)
    edited = Editor.of(mixed, data, found).keeping(np.arange(4))
    with torch.no_grad():
        whole = mixed({"a": data.modalities["a"][data.positions("test")]})
    torch.testing.assert_close(edited.logits["test"], whole, atol=1e-6, rtol=1e-5)


def test_layers_have_the_users_names_whatever_wraps_the_network():
    plain, wrapped = Conv("flat"), ModelAdapter(Conv("flat"), modalities=["a"])
    one, other = (by_channel(net, Student(), IMAGES, layer="act") for net in (plain, wrapped))
    np.testing.assert_allclose(one.values, other.values)
    fresh = ModelAdapter(Conv("flat"), modalities=["a"])  # its first tries are no uses of the layer
    assert by_channel(fresh, Student(), IMAGES).layer == "head"
    with pytest.raises(LabError, match=r"layer = 'module.act': is no layer of this Conv. It has 'act'"):
        by_channel(wrapped, Student(), IMAGES, layer="module.act")


def test_a_new_head_reads_the_channels_that_are_left():
    data = paired(draw(30, a=(4,), b=(2,)))
    editor = Editor.of(Linear(), data, by_channel(Linear(), Student(), data))
    recipe = Recipe(epochs=2, batch_size=8)
    found = editor.retrained(np.array([1, 3]), recipe=recipe, stream=5, features=["val"])
    again = editor.retrained(np.array([1, 3]), recipe=recipe, stream=5, features=["val"])
    assert found.head.shape == (2, 2)
    np.testing.assert_array_equal(
        found.features["val"], data.modalities["a"][data.positions("val")][:, [1, 3]]
    )
    assert torch.equal(found.logits["test"], again.logits["test"])
