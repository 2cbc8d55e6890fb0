"""Networks that nobody in the lab wrote: they work in place, pop what they read, count, assert, and mask."""

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import (
    METHODS,
    IntegratedGradients,
    Intervals,
    by_channel,
    by_modality,
    within_modality,
)
from mmkd_lab.models.removal import kept_key
from tests.attribution.tiny import Additive, Joined, Student, draw

LABELS = torch.arange(10) % 2


class Halves(Additive):
    """Halves modality 'a' before it reads it: in place, or not."""

    modalities = ("a", "b")

    def __init__(self, *, in_place):
        super().__init__()
        self.in_place = in_place

    def forward(self, x):
        a = x["a"].mul_(0.5) if self.in_place else x["a"] * 0.5
        return super().forward({"a": a, "b": x["b"]})


class Rectified(Additive):
    def __init__(self, *, in_place):
        super().__init__()
        self.first = nn.ReLU(inplace=in_place)

    def forward(self, x):
        return super().forward({"a": self.first(x["a"]), "b": x["b"]})


class Pops(Additive):
    def forward(self, x):
        return super().forward({name: x.pop(name) for name in ("a", "b")})


class Strict(Joined):
    """Wants its samples in pairs, and says so."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        a, b = self.first(x["a"]), self.second(x["b"])
        if len(a) != len(b):
            raise self.error
        return torch.tanh(self.out(torch.cat([torch.tanh(a), torch.tanh(b)], dim=1)))


class Heeds(Additive):
    """Puts ones in place of what a mask hides."""

    removals = ("zeros", "attention")

    def forward(self, x):
        shown = {}
        for name in ("a", "b"):
            stays = x.get(kept_key("attention", name), torch.ones(len(x[name]), dtype=torch.bool))
            shown[name] = torch.where(stays[:, None], x[name], 1.0)
        return super().forward(shown)


@pytest.mark.parametrize("kind", [Halves, Rectified])
def test_a_network_that_works_in_place_changes_neither_samples_nor_values(kind):
    x = draw(n=10, a=(3,), b=(2,))
    before = {name: values.clone() for name, values in x.items()}
    found = by_modality(kind(in_place=True), x, methods=METHODS, labels=LABELS)
    wanted = by_modality(kind(in_place=False), before, methods=METHODS, labels=LABELS)
    assert all(torch.equal(x[name], before[name]) for name in x)
    np.testing.assert_allclose(found.table.value, wanted.table.value, atol=1e-6)


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input", "ablation", "occlusion"])
def test_maps_of_a_network_that_works_in_place(method):
    x = draw(n=10, a=(3,), b=(2,))
    before = {name: values.clone() for name, values in x.items()}
    found = within_modality(Halves(in_place=True), x, modality="a", method=method)
    wanted = within_modality(Halves(in_place=False), before, modality="a", method=method)
    assert torch.equal(x["a"], before["a"])
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-6)


def test_channels_of_a_network_that_works_in_place():
    x = draw(n=10, a=(3,), b=(2,))
    before = {name: values.clone() for name, values in x.items()}
    found = by_channel(Halves(in_place=True), Student(), x, layer="a", permutations=5)
    wanted = by_channel(Halves(in_place=False), Student(), before, layer="a", permutations=5)
    assert torch.equal(x["a"], before["a"])
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-7)


def test_tokens_whose_embedding_is_worked_on_in_place():
    class Embeds(nn.Module):
        def __init__(self, *, in_place):
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.act, self.head = (
                nn.Embedding(5, 4),
                nn.ELU(inplace=in_place),
                nn.Linear(4, 2),
            )

        def forward(self, x):
            return self.head(self.act(self.embedding(x["text"])).sum(1))

    x = {"text": torch.arange(20).reshape(5, 4) % 5}
    found, wanted = (
        within_modality(
            Embeds(in_place=way), x, modality="text", method=IntegratedGradients(layer="embedding")
        ).values
        for way in (True, False)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.abs(found).max() > 0.01


def test_a_network_may_pop_what_it_reads():
    x = draw(n=10, a=(3,), b=(2,))
    found = by_modality(Pops(), x, methods=METHODS, labels=LABELS)
    wanted = by_modality(Additive(), x, methods=METHODS, labels=LABELS)
    np.testing.assert_allclose(found.table.value, wanted.table.value, atol=1e-6)
    assert sorted(x) == ["a", "b"]


@pytest.mark.parametrize("error", [AssertionError("unpaired"), KeyError("unpaired")])
def test_a_network_that_refuses_part_of_its_input_is_given_all_of_it(error):
    x = draw(n=12, a=(4,), b=(2,))
    found = by_channel(Strict(error), Student(), x, layer="first", permutations=5)
    plain = Strict(error)
    plain.error = None
    wanted = by_channel(plain, Student(), x, layer="first", permutations=5)
    assert np.abs(found.values).max() > 0
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-7)


def test_a_network_that_says_it_heeds_masks_is_given_them():
    x = draw(n=10, a=(3,), b=(2,))
    net = Heeds()
    found = by_modality(net, x, methods="ablation", removal="attention", target=0).overall
    wanted = [((x[m] - 1.0) @ getattr(net, m).weight[0]).mean().item() for m in ("a", "b")]
    np.testing.assert_allclose(found.value, wanted, atol=1e-5)
    assert np.abs(wanted).min() > 0.01


def test_a_modality_of_one_number_a_sample():
    def net(x):
        return torch.stack([x["a"].sum(1), 2.0 * x["b"]], dim=1)

    x = draw(n=10, a=(3,), b=())
    found = by_modality(net, x, methods=METHODS, labels=LABELS, target=1)
    for method in ("shapley", "integrated_gradients", "gradient_x_input"):
        rows = found.table[(found.table.method == method) & (found.table["sample"] != "all")]
        np.testing.assert_allclose(rows[rows.modality == "b"].value, 2.0 * x["b"], atol=1e-5)
    for method in ("integrated_gradients", "gradient_x_input"):
        each = within_modality(net, x, modality="b", method=method, target=1)
        np.testing.assert_allclose(each.values, 2.0 * x["b"], atol=1e-5)


@pytest.mark.parametrize("names", [("b",), {"b"}, nn.ModuleDict({"b": nn.Linear(2, 2)})])
def test_a_network_names_what_it_reads_in_any_collection(names):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.modalities = names

        def forward(self, x):
            return x["b"]

    found = by_modality(Named(), draw(n=10, a=(3,), b=(2,))).overall
    assert list(found.modality) == ["b"]


@pytest.mark.parametrize("n", [2, 5])
def test_a_permutation_takes_values_from_all_samples_alike(n):
    """The mean over all samples, the own one among them, is (N - 1) / N of that over the others."""
    net, x = Additive(), draw(n=n, a=(3,), b=(2,))
    found = by_modality(
        net, x, methods="permutation", target=0, draws=4000, intervals=Intervals(level=0.9999)
    )
    part = (x["a"] @ net.a.weight[0]).detach().numpy()
    others = np.array([np.mean(part[i] - np.delete(part, i)) for i in range(n)])
    rows = found.table[(found.table.modality == "a") & (found.table["sample"] != "all")]
    assert (rows.low < others * (n - 1) / n).all()
    assert (others * (n - 1) / n < rows.high).all()
    assert not ((rows.low < others) & (others < rows.high)).any()
