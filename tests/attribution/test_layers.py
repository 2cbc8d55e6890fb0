"""Cutting a network where it is awkward to cut: operations in place, bent or repeated heads, precision."""

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import by_channel, by_modality
from mmkd_lab.attribution.layers import Cut, head_of
from mmkd_lab.attribution.saliency import distance
from mmkd_lab.core.check import LabError
from tests.attribution.tiny import Student, draw


class Chain(nn.Module):
    modalities = ("a",)

    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return self.body(x["a"])


class Twice(nn.Module):
    """The head is asked about half of the features too, as an auxiliary output."""

    modalities = ("a",)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        f = torch.tanh(self.first(x["a"]))
        self.head(0.5 * f)
        return self.head(f)


def chain(*layers):
    torch.manual_seed(0)
    return Chain(nn.Linear(4, 6), *layers).eval()


def by_hand(after, f, student, orders):
    """Mean D_i - D_0 of the rest of a network `after`, one channel and one permutation at a time."""
    with torch.no_grad():
        start = distance(after(f.clone()).double(), student).mean()
        found = torch.zeros(len(orders), f.shape[1], dtype=torch.float64)
        for m, order in enumerate(orders):
            for i in range(f.shape[1]):
                moved = f.clone()
                moved[:, i] = f[order, i]
                found[m, i] = distance(after(moved).double(), student).mean() - start
    return found.mean(0).numpy()


def orders_of(n, m=3):
    g = torch.Generator().manual_seed(7)
    return torch.stack([torch.randperm(n, generator=g) for _ in range(m)])


IN_PLACE = {
    "leaky_relu": lambda: nn.LeakyReLU(0.3, inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
    "elu": lambda: nn.ELU(inplace=True),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_an_activation_in_place_does_not_reach_back_into_the_layer(name):
    net, student, x = chain(IN_PLACE[name](), nn.Linear(6, 2)), Student(), draw(30, a=(4,), b=(2,))
    with torch.no_grad():
        h, f = student(x).double(), net.body[0](x["a"])
    read, _ = Cut(net, "body.0").read(x, batch_size=8)
    torch.testing.assert_close(read, f)
    orders = orders_of(30)
    found = by_channel(net, student, x, layer="body.0", method="permutation", permutations=orders)
    np.testing.assert_allclose(found.values, by_hand(net.body[1:], f, h, orders), atol=1e-7)
    with pytest.raises(LabError, match="needs a linear head right after"):
        by_channel(net, student, x, layer="body.0", method="closed_form")


def test_a_head_that_is_bent_for_some_samples_only_is_not_linear():
    net, student, x = chain(nn.Tanh(), nn.Linear(6, 2), nn.ReLU()), Student(), draw(40, a=(4,), b=(2,))
    with torch.no_grad():
        net.body[2].bias.fill_(0.1)
        z = net.body[:3](x["a"])
    assert 4 <= (z > 0).all(1).sum() < 40
    first = torch.argsort((z <= 0).any(1).int(), stable=True)  # those it leaves alone come first
    x = {name: values[first] for name, values in x.items()}
    assert head_of(net, x) == "body.2"
    orders = orders_of(40)
    found = by_channel(net, student, x, layer="body.1", permutations=30)
    assert found.method == "permutation"
    with torch.no_grad():
        h, f = student(x).double(), net.body[:2](x["a"])
    found = by_channel(net, student, x, layer="body.1", permutations=orders)
    np.testing.assert_allclose(found.values, by_hand(net.body[2:], f, h, orders), atol=1e-7)
    with pytest.raises(LabError, match="needs a linear head"):
        by_channel(net, student, x, layer="body.1", method="closed_form")


def test_a_reparametrised_head_has_the_weight_that_it_uses():
    plain = chain(nn.Tanh(), nn.Linear(6, 2))
    student, x = Student(), draw(30, a=(4,), b=(2,))
    wanted = by_channel(plain, student, x)
    nn.utils.parametrizations.weight_norm(plain.body[2])
    found = by_channel(plain, student, x)
    assert found.method == wanted.method == "closed_form"
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-6)
    np.testing.assert_allclose(found.magnitude, wanted.magnitude, atol=1e-6)


def test_a_head_that_is_used_twice_leaves_the_permutations():
    net, student, x = Twice(), Student(), draw(30, a=(4,), b=(2,))
    orders = orders_of(30)
    found = by_channel(net, student, x, layer="first", permutations=orders)
    with torch.no_grad():
        h, f = student(x).double(), net.first(x["a"])
    wanted = by_hand(lambda v: net.head(torch.tanh(v)), f, h, orders)
    np.testing.assert_allclose(found.values, wanted, atol=1e-7)
    with pytest.raises(LabError, match="has no linear head to start from"):
        by_channel(net, student, x)


def test_permutations_by_row_are_used_and_wrong_numbers_are_refused_whatever_the_method():
    net, student, x = chain(nn.Tanh(), nn.Linear(6, 2)), Student(), draw(30, a=(4,), b=(2,))
    found = by_channel(net, student, x, permutations=orders_of(30))
    assert (found.method, found.permutations) == ("permutation", 3)
    for method in ("auto", "closed_form"):
        with pytest.raises(LabError, match="permutations = -3"):
            by_channel(net, student, x, method=method, permutations=-3)


@pytest.mark.parametrize(("data", "net"), [("float64", "float32"), ("float32", "float64")])
def test_samples_take_the_precision_of_the_network(data, net):
    model, student = chain(nn.Tanh(), nn.Linear(6, 2)), Student()
    x = draw(20, a=(4,), b=(2,))
    wanted = by_modality(model, x, methods=("shapley", "integrated_gradients")).overall.value
    ranked = by_channel(model, student, x).values
    model, student = (one.to(getattr(torch, net)) for one in (model, student))
    other = {name: values.to(getattr(torch, data)) for name, values in x.items()}
    found = by_modality(model, other, methods=("shapley", "integrated_gradients")).overall.value
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(by_channel(model, student, other).values, ranked, atol=1e-6)
