"""Stacked parameters: building, picking, joining, prediction by split and view."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.models import HEAD, NetSpec, View, build
from mmkd_lab.training import Replicas, evaluate
from tests.training.toy import toy

SPECS = {
    "linear": NetSpec("linear"),
    "mlp": NetSpec("mlp", width=2, features=5),
    "lenet": NetSpec("lenet", width=4, features=5).on("image"),
    "resnet": NetSpec("resnet", width=4, features=5).on("image"),
    "mid": NetSpec(fusion="mid", width=4, features=6),
    "attention": NetSpec(fusion="attention", width=4, features=6),
}


@pytest.fixture(scope="module")
def data():
    return toy()


@pytest.mark.parametrize("name", SPECS)
def test_a_stack_answers_as_its_networks_do(name, data):
    replicas = Replicas.build(SPECS[name], data, seeds=[3, 1, 4], device="cpu", dtype=torch.float64)
    logits = replicas.predict(data, split="test")
    x = data.batch(data.positions("test"), dtype=torch.float64)
    for r in range(3):
        with torch.no_grad():
            alone = replicas.module(r)(x)
        torch.testing.assert_close(logits[r], alone, atol=1e-12, rtol=0)
        torch.testing.assert_close(replicas[r].predict(data, split="test")[0], alone, atol=1e-12, rtol=0)
    features = replicas.features(data, split="test")
    head = replicas.parameters
    by_hand = torch.einsum("rnf,rkf->rnk", features, head["head.weight"]) + head["head.bias"][:, None]
    torch.testing.assert_close(logits, by_hand, atol=1e-12, rtol=0)
    assert replicas.feature_lengths(data) == {HEAD: features.shape[-1]}


@pytest.mark.parametrize("name", ["mlp", "mid"])
def test_forward_takes_one_batch_for_all_or_one_each(name, data):
    replicas = Replicas.build(SPECS[name], data, seeds=[0, 1], device="cpu")
    x = data.batch(torch.arange(5))
    each = {m: torch.stack([value, value]) for m, value in x.items()}
    one, two = replicas.forward(x, shared=True), replicas.forward(each)
    assert one.shape == (2, 5, 4)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_the_seed_gives_the_weights_wherever_it_stands(data):
    spec = SPECS["lenet"]
    replicas = Replicas.build(spec, data, seeds=[5, 0, 5], device="cpu")
    alone = build(spec, data.shapes, 4, seed=5)
    for name, value in alone.named_parameters():
        assert torch.equal(replicas.parameters[name][0], value)
        assert torch.equal(replicas.parameters[name][0], replicas.parameters[name][2])
    assert not torch.equal(replicas.parameters["head.weight"][0], replicas.parameters["head.weight"][1])


def test_inputs_are_standardised_by_the_training_split(data):
    net = Replicas.build(SPECS["linear"], data, seeds=[0], device="cpu").module()
    train = data.batch(data.positions("train"))
    features = net.features(train)
    image, speech = features[:, :64], features[:, 64:]
    assert float(image.mean()) == pytest.approx(0, abs=1e-5)
    assert float(image.std(correction=0)) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(speech.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(speech.std(0, correction=0), torch.ones(6))
    data = toy()
    data.modalities["speech"][:, 2] = 7.0  # an entry that never varies stays finite
    still = Replicas.build(SPECS["linear"], data, seeds=[0], device="cpu").module()
    assert torch.equal(still.features(data.batch(torch.arange(9)))[:, 66], torch.zeros(9))
    train = data.batch(data.positions("train"))
    raw = Replicas.build(NetSpec("linear", standardise=False), data, seeds=[0], device="cpu").module()
    assert torch.equal(raw.features(train)[:, 64:], train["speech"])


def test_picking_and_joining_lose_nothing(data):
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0, 1, 2, 3], device="cpu")
    again = Replicas.join([replicas[0], replicas[1:3], replicas[[-1]]])
    assert again.seeds == replicas.seeds
    assert all(torch.equal(again.parameters[name], value) for name, value in replicas.parameters.items())
    assert [len(one) for one in replicas] == [1, 1, 1, 1]
    picked = replicas[0]
    picked.parameters["head.weight"].zero_()
    assert replicas.parameters["head.weight"].any()


def test_predictions_follow_the_split_and_the_chunks(data, monkeypatch):
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0, 1], device="cpu")
    everything = replicas.predict(data)
    assert everything.shape == (2, 110, 4)
    assert everything.dtype == torch.float32
    for split in ("train", "val", "test"):
        torch.testing.assert_close(replicas.predict(data, split=split), everything[:, data.positions(split)])
    monkeypatch.setattr("mmkd_lab.training.replicas.at_once", lambda *_: 64)
    torch.testing.assert_close(replicas.predict(data), everything)


def test_a_view_removes_what_it_does_not_keep(data):
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0, 1], device="cpu")
    x = data.batch(data.positions("test"))
    x["speech"] = torch.zeros_like(x["speech"])
    by_hand = replicas.forward(x, shared=True).detach()
    for removal in (None, "zeros"):
        seen = replicas.predict(data, split="test", view=View.only("image"), removal=removal)
        torch.testing.assert_close(seen, by_hand)
    full = replicas.predict(data, split="test", view=View.full(data.modalities), removal="mean")
    torch.testing.assert_close(full, replicas.predict(data, split="test"))


def test_a_permutation_mixes_the_same_samples_for_any_number_of_replicas(data, monkeypatch):
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0, 1, 2], device="cpu")
    sizes = {3: 64, 1: 110}
    monkeypatch.setattr("mmkd_lab.training.replicas.at_once", lambda replicas, _: sizes[replicas])
    shuffled = {"view": View.only("image"), "removal": "permutation"}
    torch.testing.assert_close(
        replicas.predict(data, **shuffled)[1], replicas[1].predict(data, **shuffled)[0], atol=1e-5, rtol=0
    )


def test_a_view_may_name_modalities_the_network_does_not_read(data):
    replicas = Replicas.build(SPECS["lenet"], data, seeds=[0], device="cpu")
    seen = replicas.predict(data, split="test", view=View.full(data.modalities))
    torch.testing.assert_close(seen, replicas.predict(data, split="test"))


def test_evaluate_counts_by_hand(data):
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0, 1, 2], device="cpu")
    logits = replicas.predict(data, split="test")
    target = data.target[data.positions("test")]
    found = evaluate(replicas, data, split="test")
    for r in range(3):
        right = sum(int(row.argmax()) == int(t) for row, t in zip(logits[r], target, strict=True))
        assert found["accuracy"][r] == pytest.approx(100 * right / 30)
        assert found["nll"][r] == pytest.approx(
            float(nn.functional.cross_entropy(logits[r], target)), rel=1e-5
        )
    assert found["accuracy"].shape == (3,)


def test_own_modules_stack_and_answer(data):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            return self.fc(x["speech"])

    own = [Own() for _ in range(2)]
    replicas = Replicas.of(own, seeds=[7, 7], device="cpu")
    assert (replicas.spec, replicas.modalities, replicas.seeds, replicas.name) == (None, None, (7, 7), "Own")
    x = data.batch(data.positions("val"))
    for r in range(2):
        torch.testing.assert_close(replicas.predict(data, split="val")[r], own[r](x).detach())
    before = copy.deepcopy(own[0].fc.weight)
    replicas.parameters["module.fc.weight"].zero_()
    assert torch.equal(own[0].fc.weight, before)


def test_half_precision_and_integer_storage_are_widened():
    data = toy()
    small = {**data.modalities, "image": (data.modalities["image"] * 20).clamp(-128, 127).to(torch.int8)}
    small["speech"] = data.modalities["speech"].half()
    packed = replace(data, modalities=small)
    logits = Replicas.build(SPECS["mlp"], packed, seeds=[0], device="cpu").predict(packed, split="test")
    wide = replace(data, modalities={name: value.float() for name, value in small.items()})
    again = Replicas.build(SPECS["mlp"], wide, seeds=[0], device="cpu").predict(wide, split="test")
    torch.testing.assert_close(logits, again)


def test_the_repr_says_what_it_is(data):
    shown = repr(Replicas.build(SPECS["lenet"], data, seeds=[0, 2], device="cpu"))
    assert "2 × lenet" in shown
    assert "reading image, seeds [0, 2], on cpu" in shown


@pytest.mark.parametrize("name", ["mid", "attention"])
def test_any_layer_can_be_read_by_its_name(name, data):
    replicas = Replicas.build(SPECS[name], data, seeds=[0, 1], device="cpu", dtype=torch.float64)
    layer = {"mid": "fusion.dense", "attention": "fusion.token.1"}[name]
    assert layer in replicas.layer_names
    found = replicas.features(data, split="val", layer=layer)
    assert replicas.feature_lengths(data, [layer, HEAD]) == {layer: 6, HEAD: 6}
    net, x = replicas.module(1), data.batch(data.positions("val"), dtype=torch.float64)
    torch.testing.assert_close(net.features(x, layer), found[1], atol=1e-12, rtol=0)
    if name == "mid":  # what the head reads is its ReLU
        torch.testing.assert_close(found.relu(), replicas.features(data, split="val"), atol=1e-12, rtol=0)


def test_networks_that_say_nothing_finite_are_named(data):
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[4, 9], device="cpu")
    replicas.parameters["head.bias"][1, 0] = torch.nan
    with pytest.raises(LabError, match=r"replicas = 'mlp of seed 9': gives NaN or infinite values for toy"):
        replicas.predict(data)
    with pytest.raises(LabError, match="seed 9"):
        evaluate(replicas, data, split="test")
