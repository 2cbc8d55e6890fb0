"""Cutting a network where it is awkward to cut: operations in place, bent or repeated heads, precision."""

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import Editor, Joint, align, by_channel, by_modality, within_modality
from mmkd_lab.attribution.layers import Cut, head_of
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from tests.attribution.tiny import Linear, Student, draw, plain_loop, some_orders


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
    with torch.no_grad():
        return plain_loop(after, f, student, orders).mean(0)


def refuses_the_closed_form(net, x, layer):
    with pytest.raises(LabError, match="needs a linear head right after"):
        by_channel(net, Student(), x, layer=layer, method="closed_form")


@pytest.mark.parametrize("act", [nn.LeakyReLU(0.3, inplace=True), nn.ELU(inplace=True)], ids=["leaky", "elu"])
def test_an_activation_in_place_does_not_reach_back_into_the_layer(act):
    net, student, x = chain(act, nn.Linear(6, 2)), Student(), draw(30, a=(4,), b=(2,))
    with torch.no_grad():
        f = net.body[0](x["a"])
    read, _ = Cut(net, "body.0").read(x, batch_size=8)
    torch.testing.assert_close(read, f)
    orders = some_orders(30, 3)
    found = by_channel(net, student, x, layer="body.0", method="permutation", permutations=orders)
    np.testing.assert_allclose(found.values, by_hand(net.body[1:], f, student(x), orders), atol=1e-7)
    refuses_the_closed_form(net, x, "body.0")


def test_a_head_that_is_bent_for_some_samples_only_is_not_linear():
    net, student, x = chain(nn.Tanh(), nn.Linear(6, 2), nn.ReLU()), Student(), draw(40, a=(4,), b=(2,))
    with torch.no_grad():
        net.body[2].bias.fill_(0.1)
        z = net.body[:3](x["a"])
    assert 4 <= (z > 0).all(1).sum() < 40
    first = torch.argsort((z <= 0).any(1).int(), stable=True)  # those it leaves alone come first
    x, orders = {name: values[first] for name, values in x.items()}, some_orders(40, 3)
    assert head_of(net, x) == "body.2"
    found = by_channel(net, student, x, layer="body.1", permutations=orders)
    with torch.no_grad():
        f = net.body[:2](x["a"])
    np.testing.assert_allclose(found.values, by_hand(net.body[2:], f, student(x), orders), atol=1e-7)
    assert by_channel(net, student, x, layer="body.1", permutations=30).method == "permutation"
    refuses_the_closed_form(net, x, "body.1")


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
    net, student, x, orders = Twice(), Student(), draw(30, a=(4,), b=(2,)), some_orders(30, 3)
    found = by_channel(net, student, x, layer="first", permutations=orders)
    with torch.no_grad():
        f = net.first(x["a"])
    wanted = by_hand(lambda v: net.head(torch.tanh(v)), f, student(x), orders)
    np.testing.assert_allclose(found.values, wanted, atol=1e-7)
    with pytest.raises(LabError, match="has no linear head to start from"):
        by_channel(net, student, x)


def test_permutations_by_row_are_used_where_the_closed_form_holds():
    found = by_channel(Linear(), Student(), draw(30, a=(4,), b=(2,)), permutations=some_orders(30, 3))
    assert (found.method, found.permutations) == ("permutation", 3)


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


def test_a_double_network_keeps_double_precision_from_a_dataset_to_every_answer():
    x = {name: values.double() / 3 for name, values in draw(30, a=(4,), b=(2,)).items()}
    splits = {"train": torch.arange(20), "test": torch.arange(20, 30)}
    data = PairedData("tiny", x, torch.arange(30) % 2, splits, ("no", "yes"))
    net, student, last = Linear().double(), Student().double(), x["a"][20:]
    with torch.no_grad():
        z, part = net.head(last), last * net.head.weight[1]
    shares = by_modality(net, data, methods="integrated_gradients", target=1).table
    whole = part.sum(1).numpy()
    np.testing.assert_allclose(shares[shares["sample"] != "all"].value, whole, rtol=1e-12, atol=1e-14)
    maps = within_modality(net, data, modality="a", method="gradient_x_input", target=1)
    np.testing.assert_allclose(maps.values, part, rtol=1e-12)
    edited = Editor(net, data, "head", "input").keeping(None, features=["test"])
    torch.testing.assert_close(edited.logits["test"], z, rtol=1e-12, atol=1e-14)
    assert (edited.features["test"] == last.numpy()).all()
    assert edited.head.dtype == np.float64
    pair = align(net, student, data, joint=Joint(epochs=1))
    assert pair.teacher.head.weight.dtype == pair.student.head.weight.dtype == torch.float64
