"""Text in every fusion: the mean of embeddings, padding, vocabularies and their removal."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import Vocabulary
from mmkd_lab.models import FUSIONS, Learned, Mean, NetSpec, Permutation, View, Zeros, build
from mmkd_lab.training import Replicas
from mmkd_lab.training.inputs import fill_vocabulary, vocabulary

SHAPES = {"image": (1, 8, 8), "text": (5,)}
IDS = torch.tensor([[3, 4, 2, 0, 0], [1, 1, 5, 6, 7], [2, 0, 0, 0, 0]])
X = {"image": torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), "text": IDS}


def dataset(ids=IDS, **more):
    n = len(ids)
    x = {"text": ids, "size": torch.arange(float(n))[:, None]}
    return PairedData("t", x, torch.arange(n) % 2, {"train": torch.arange(n)}, ("a", "b"), **more)


def net_of(fusion="late", **changes):
    return build(NetSpec(fusion=fusion, vocabulary={"text": 8}, **changes), SHAPES, 2, seed=0)


def test_a_bag_is_the_mean_embedding_of_the_words():
    net = build(NetSpec(vocabulary={"text": 8}, width=3, features=4), {"text": (5,)}, 2, seed=0)
    bag = net.fusion.encoders[0]
    table = bag.stem.table.weight
    means = torch.stack([table[[3, 4, 2]].mean(0), table[[1, 1, 5, 6, 7]].mean(0), table[2]])
    assert table.shape == (8, 24)
    torch.testing.assert_close(bag.maps(IDS), means)
    torch.testing.assert_close(net.features({"text": IDS}), torch.relu(bag.dense(means)))


def test_a_bag_of_padding_is_zero_and_knows_no_order():
    bag = net_of().fusion.encoders[1]
    assert not bag.maps(torch.zeros(2, 5, dtype=torch.long)).any()
    torch.testing.assert_close(bag(IDS), bag(IDS.flip(1)))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_reads_text_and_learns_from_it(fusion):
    net = net_of(fusion)
    net(X).square().sum().backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    table = next(part for part in net.modules() if isinstance(part, torch.nn.Embedding)).weight
    assert not table.grad[0].any()  # padding
    other = {**X, "text": IDS.clone()}
    other["text"][0, 0] = 7
    changed = (net(other) - net(X)).abs().amax(-1) > 1e-6
    assert changed.tolist() == [True, False, False]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_embeddings_can_be_hooked(fusion):
    """Attribution to words needs their embeddings, by a hook on the layer."""
    net, caught = net_of(fusion), []
    table = next(part for part in net.modules() if isinstance(part, torch.nn.Embedding))
    with table.register_forward_hook(lambda _, ids, out: caught.append((ids[0], out))):
        net(X)
    ((ids, out),) = caught
    assert torch.equal(ids, IDS)
    assert torch.equal(out, table.weight[IDS])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_texts_alone_can_be_fused(fusion):
    spec = NetSpec(fusion=fusion, vocabulary={"text": 8, "title": 8})
    net = build(spec, {"text": (5,), "title": (2,)}, 2, seed=0)
    one = net({"text": IDS, "title": IDS[:, :2]})
    assert one.shape == (3, 2)
    assert not torch.allclose(one, net({"text": IDS, "title": IDS[:, 1:3]}), atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8])
def test_ids_may_be_any_integers(fusion, kind):
    net = net_of(fusion)
    assert torch.equal(net(X), net({**X, "text": IDS.to(kind)}))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_removed_text_says_nothing(fusion):
    net = net_of(fusion, baseline=True)
    other = {**X, "text": IDS.flip(0)}
    for removal in (Zeros(), Learned()):
        view = View.only("image")
        assert torch.equal(net(removal.apply(X, view)), net(removal.apply(other, view)))
    assert net.removals[-1] == "learned"
    assert ("attention" in net.removals) == (fusion in ("attention", "single_stream"))


def test_a_permuted_text_is_another_samples():
    out = Permutation(seed=1).apply(X, View.only("image"))["text"]
    assert out.dtype == torch.int64
    assert sorted(map(tuple, out.tolist())) == sorted(map(tuple, IDS.tolist()))


def test_the_mean_passes_text_by_and_refuses_to_remove_it():
    data = dataset()
    mean = Mean.of(data)
    assert sorted(mean.means) == ["size"]
    assert mean.apply(dict(data.modalities), View.only("text"))["size"].tolist() == [[1.0]] * 3
    with pytest.raises(LabError, match="'text' is text"):
        mean.apply(dict(data.modalities), View.only("size"))


def test_a_vocabulary_is_taken_from_the_data_and_checked_against_it():
    assert vocabulary(dataset()) == {"text": 8}
    known = Vocabulary.of(f"word{i}" for i in range(9))
    assert vocabulary(dataset(vocabularies={"text": known})) == {"text": 11}
    assert fill_vocabulary(NetSpec(), dataset()) == NetSpec(vocabulary={"text": 8})
    assert fill_vocabulary(NetSpec(vocabulary={"text": 30}), dataset()).token_counts == {"text": 30}
    assert fill_vocabulary(NetSpec().on("size"), dataset()) == NetSpec().on("size")
    for spec, ids, said in (
        (NetSpec(vocabulary={"text": 7}), IDS, r"vocabulary\['text'\] = 7: must be at least 8"),
        (NetSpec(vocabulary={"size": 7}), IDS, r"vocabulary\['size'\] = 7: is no text"),
        (NetSpec(), IDS - 1, r"data\['text'\] = 'token ids from -1'"),
    ):
        with pytest.raises(LabError, match=said):
            fill_vocabulary(spec, dataset(ids))


def test_training_means_are_of_numbers_alone():
    data = dataset()
    net = Replicas.build(fill_vocabulary(NetSpec(), data), data, seeds=[0], device="cpu").net
    assert sorted(dict(net.named_buffers())) == ["scale_0", "shift_0"]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (NetSpec(), "bag + lenet"),
        (NetSpec({"image": "linear"}), "bag + linear"),
        (NetSpec(fusion="single_stream"), "single_stream"),
    ],
)
def test_the_architecture_has_a_name(spec, name):
    net = build(spec.with_vocabulary({"text": 8}), SHAPES, 2, seed=0)
    assert net.architecture == name


def test_numbers_stored_as_small_integers_are_no_text():
    data = dataset()
    packed = PairedData(
        "p",
        {"text": IDS, "size": torch.tensor([[1], [2], [6]], dtype=torch.int8)},
        data.target,
        data.splits,
        ("a", "b"),
    )
    assert vocabulary(packed) == {"text": 8}
    assert Mean.of(packed).means["size"].tolist() == [3.0]
    spec = fill_vocabulary(NetSpec(), packed)
    logits = Replicas.build(spec, packed, seeds=[0], device="cpu").predict(packed)
    wide = PairedData(
        "w", {"text": IDS, "size": packed.modalities["size"].float()}, data.target, data.splits, ("a", "b")
    )
    torch.testing.assert_close(logits, Replicas.build(spec, wide, seeds=[0], device="cpu").predict(wide))
