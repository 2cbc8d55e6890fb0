"""Encoders and fusion: shapes, the split into features and head, independence of samples, seeds."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from mmkd_lab.models import FUSIONS, NetSpec, build

SHAPES = {"image": (1, 8, 8), "speech": (1, 12, 20), "vector": (7,)}


def batch(n, shapes=SHAPES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, *shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("encoder", ["lenet", "resnet", "mlp", "linear"])
@pytest.mark.parametrize("sides", [(8, 8), (8, 112), (9, 13)])
def test_encoders_read_every_size(encoder, sides):
    net = build(NetSpec(encoder, width=4, features=6), {"m": (1, *sides)}, 3, seed=0)
    x = {"m": torch.randn(2, 1, *sides)}
    assert net(x).shape == (2, 3)
    assert net.features(x).shape == (2, sides[0] * sides[1] if encoder == "linear" else 6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_logits_are_the_linear_head_of_the_features(fusion):
    net = build(NetSpec(fusion=fusion, width=4), SHAPES, 5, seed=1)
    x = batch(4)
    features = net.features(x)
    assert features.ndim == 2
    torch.testing.assert_close(net(x), features @ net.head.weight.T + net.head.bias)


@pytest.mark.parametrize(
    ("fusion", "encoder"),
    [(fusion, "auto") for fusion in FUSIONS]
    + [(fusion, {"image": "resnet", "speech": "mlp"}) for fusion in FUSIONS if fusion != "single_stream"],
)
def test_a_sample_does_not_depend_on_its_batch(fusion, encoder):
    net = build(NetSpec(encoder, fusion=fusion, width=4), SHAPES, 5, seed=1)
    x = batch(6)
    alone = torch.cat([net({name: value[i : i + 1] for name, value in x.items()}) for i in range(6)])
    torch.testing.assert_close(net(x), alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_parameter_learns_and_nothing_is_drawn_or_averaged(fusion):
    encoder = "auto" if fusion == "single_stream" else {"image": "resnet"}
    net = build(NetSpec(encoder, fusion=fusion, width=4), SHAPES, 5, seed=1)
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    assert not any(isinstance(part, kinds) for part in net.modules())
    net(batch(16)).square().sum().backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("fusion", FUSIONS)
def test_mid_and_attention_fuse_vectors_alone_and_a_single_modality(fusion):
    for shapes in ({"a": (5,), "b": (3,)}, {"a": (5,)}, {"a": (1, 8, 8)}):
        net = build(NetSpec(fusion=fusion, width=2), shapes, 2, seed=0)
        assert net(batch(3, shapes)).shape == (3, 2)


def test_linear_late_fusion_is_one_matrix():
    net = build(NetSpec("linear"), {"b": (3,), "a": (2, 2)}, 4, seed=0)
    x = batch(5, {"a": (2, 2), "b": (3,)})
    joined = torch.cat([x["a"].flatten(1), x["b"]], dim=1)  # sorted by name
    torch.testing.assert_close(net(x), joined @ net.head.weight.T + net.head.bias)


def test_joint_adds_a_hidden_layer_under_a_head_that_stays_linear():
    net = build(NetSpec("linear", joint=9), {"a": (4,)}, 2, seed=0)
    x = batch(5, {"a": (4,)})
    layer = net.fusion.joint[0]
    torch.testing.assert_close(net.features(x), torch.relu(x["a"] @ layer.weight.T + layer.bias))
    assert net.head.in_features == 9


def test_standardised_input_is_shifted_and_scaled():
    net = build(NetSpec("linear"), {"a": (2,)}, 2, seed=0)
    net.set_scale("a", torch.tensor([1.0, 2.0]), torch.tensor([0.5, 4.0]))
    x = torch.tensor([[3.0, 2.25]])
    torch.testing.assert_close(net.features({"a": x}), torch.tensor([[1.0, 1.0]]))


def test_modalities_that_are_not_read_are_ignored():
    net = build(NetSpec(width=4).on("image"), SHAPES, 5, seed=1)
    x = batch(3)
    assert net.modalities == ("image",)
    torch.testing.assert_close(net(x), net({"image": x["image"]}))


def test_auto_goes_by_the_shape():
    net = build(NetSpec(width=4), SHAPES, 5, seed=1)
    assert [type(one).__name__ for one in net.fusion.encoders] == ["LeNet", "LeNet", "Mlp"]


@pytest.mark.parametrize(
    "spec",
    [
        NetSpec(),
        NetSpec({"image": "resnet"}, width=3, features=5, fusion="mid", modalities=("speech", "image")),
        NetSpec(joint=4, standardise=False, baseline=True),
        NetSpec.single_stream("student", patch=3, vocabulary={"text": 9, "more": 4}),
    ],
)
def test_spec_round_trips_through_json(spec):
    assert NetSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
    assert hash(NetSpec.from_dict(spec.as_dict())) == hash(spec)


def test_the_order_of_modalities_does_not_matter():
    assert NetSpec(modalities=("b", "a")) == NetSpec(modalities=("a", "b"))
    one = build(NetSpec("mlp"), {"a": (3,), "b": (2,)}, 2, seed=4)
    two = build(NetSpec("mlp"), {"b": (2,), "a": (3,)}, 2, seed=4)
    x = batch(3, {"a": (3,), "b": (2,)})
    assert torch.equal(one(x), two(x))


def test_a_seed_gives_the_same_weights_and_leaves_torch_alone():
    before = torch.get_rng_state()
    one, two, other = (build(NetSpec(fusion="attention"), SHAPES, 5, seed=s) for s in (3, 3, 4))
    for (name, a), (_, b), (_, c) in zip(
        one.named_parameters(), two.named_parameters(), other.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        assert a.ndim == 1 or not torch.equal(a, c), name
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_follow_the_stated_law():
    net = build(NetSpec("mlp", width=64, features=64), {"a": (100,)}, 2, seed=0)
    weight = net.fusion.encoders[0].hidden.weight.detach()
    assert weight.abs().max() <= 0.1
    assert weight.abs().max() > 0.099
    assert abs(float(weight.mean())) < 1e-3
    assert float(weight.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)


SEQUENCES = {"short": (2, 3), "pose": (32, 5, 3), "turned": (6, 20), "film": (3, 9, 4, 4)}
TIME = {"turned": 1, "film": 1}


@pytest.mark.parametrize("encoder", ["conv1d", "gru", "auto"])
@pytest.mark.parametrize("fusion", ["late", "mid", "attention"])
def test_sequences_are_read_whichever_axis_is_time(encoder, fusion):
    net = build(NetSpec(encoder, fusion=fusion, width=2, time=TIME), SEQUENCES, 5, seed=1)
    x = batch(6, SEQUENCES)
    net(x).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    alone = torch.cat([net({name: value[i : i + 1] for name, value in x.items()}) for i in range(6)])
    torch.testing.assert_close(net(x), alone, atol=1e-6, rtol=1e-5)
    turned = {"turned": x["turned"].transpose(1, 2)}
    one, two = (
        build(NetSpec(encoder, fusion=fusion, width=2, time=time), {"turned": shape}, 5, seed=1)
        for time, shape in (({"turned": 1}, (6, 20)), (None, (20, 6)))
    )
    assert encoder == "auto" or torch.allclose(one(x), two(turned), atol=1e-6)


def test_a_recurrence_is_torchs_gated_recurrent_unit():
    net = build(NetSpec("gru", width=2), {"m": (7, 3)}, 2, seed=0).double()
    ours = net.fusion.encoders[0].stem[1]
    theirs = nn.GRU(3, 16, batch_first=True).double()
    read, recall = ours.read, ours.recall
    state = [read.weight, recall.weight, read.bias, recall.bias]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state, strict=True)))
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x)[1][0], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (5,), (32, 20, 3), (3, 32, 20), (1, 4, 4), (8, 8), (1, 8, 200), (64, 9, 9), (2, 3, 4, 5)],
)
@pytest.mark.parametrize("fusion", ["late", "mid", "attention"])
def test_auto_never_picks_what_then_refuses(shape, fusion):
    net = build(NetSpec(fusion=fusion, width=2), {"m": shape}, 2, seed=0)
    assert net(batch(3, {"m": shape})).shape == (3, 2)
    assert net.architecture == ("lenet" if shape == (3, 32, 20) else "mlp")
