"""The single-stream transformer: what it reads, what a mask hides, and the sum it stands for."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import (
    SIZES,
    AttentionMask,
    Learned,
    MultimodalNet,
    NetSpec,
    View,
    Zeros,
    all_views,
    build,
)
from mmkd_lab.training import Recipe, Replicas, fit
from mmkd_lab.training.inputs import fill_vocabulary
from tests.training.toy import plain

SHAPES = {"image": (2, 9, 13), "rows": (3, 5), "text": (7,), "vector": (4,)}
NAMES = tuple(SHAPES)
VIEWS = all_views(NAMES)


def batch(n=6, seed=0, words=20):
    generator = torch.Generator().manual_seed(seed)
    x = {m: torch.randn(n, *shape, generator=generator) for m, shape in SHAPES.items() if m != "text"}
    ids = torch.randint(1, words, (n, 7), generator=generator)
    long = torch.randint(1, 8, (n, 1), generator=generator)
    return {**x, "text": torch.where(torch.arange(7) < long, ids, 0)}


def net_of(shapes=SHAPES, **changes):
    vocabulary = {"text": 20} if "text" in shapes else None
    return build(NetSpec.single_stream("student", vocabulary=vocabulary, **changes), shapes, 3, seed=1)


def dataset(n=48):
    x = batch(n)
    target = (x["text"] == 3).any(-1).long()
    target[:2] = torch.tensor([0, 1])
    where = torch.arange(n)
    splits = {"train": where % n, "val": where[:0]}
    return PairedData("said", x, target, {"train": splits["train"]}, ("no", "yes"))


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_that_are_stated(size):
    spec = NetSpec.single_stream(size)
    with torch.device("meta"):
        net = MultimodalNet(spec, {"vector": (4,)}, 2)
    f, depth = SIZES[size]["features"], SIZES[size]["depth"]
    block = 12 * f * f + f + 4 * f + f + 4 * f  # four maps, two wide layers, their biases, two norms
    around = (4 * f + f) + 2 * f + 2 * f + 2 * f + (2 * f + 2)  # dense, [CLS] and [SEP], place, norm, head
    assert sum(p.numel() for p in net.parameters()) == depth * block + around
    assert net.features.__self__.head.in_features == f


def test_patches_are_squares_row_by_row_filled_up_with_zeros():
    net = net_of({"image": (2, 9, 13)}, patch=4)
    patches = net.fusion.tokens[0]
    assert patches.count == 3 * 4
    x = batch(2)["image"]
    whole = torch.zeros(2, 2, 12, 16)
    whole[:, :, :9, :13] = x
    found = patches(x)
    for t, (i, j) in enumerate((i, j) for i in range(3) for j in range(4)):
        cut = whole[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].flatten(1)
        torch.testing.assert_close(found[:, t], patches.project(cut))
    assert net_of({"image": (2, 9, 13)}).fusion.tokens[0].side == 3  # a quarter of nine, rounded up


@pytest.mark.parametrize("modality", NAMES)
def test_every_modality_can_be_alone(modality):
    net = net_of({modality: SHAPES[modality]})
    assert net(batch()).shape == (6, 3)
    assert net.removals == ("zeros", "mean", "attention", "permutation")


def test_attention_is_the_plain_sum():
    """One head, one block, by hand: softmax over the tokens of what [CLS] asks."""
    net = build(NetSpec(fusion="single_stream", features=6, depth=1, heads=1), {"rows": (3, 5)}, 2, seed=0)
    stream, block = net.fusion, net.fusion.blocks[0]
    x = batch(1)["rows"]
    rows = [stream.cls]
    rows += [stream.tokens[0].project(x[0, t]) + stream.position[t] + stream.segment[0] for t in range(3)]
    states = torch.stack([*rows, stream.separator + stream.segment[0]])
    read = block.before(states)
    key, value = (read @ part.T for part in block.key_value.weight.split(6))
    weight = torch.softmax(key @ (block.ask.weight @ read[0]) / 6**0.5, dim=0)
    cls = states[0] + block.join(weight @ value)
    cls = cls + block.narrow(torch.nn.functional.gelu(block.widen(block.between(cls))))
    torch.testing.assert_close(net({"rows": x}), net.head(stream.norm(cls))[None])


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.label)
def test_a_masked_modality_leaves_nothing(view, depth):
    net, mask = net_of(depth=depth), AttentionMask()
    x, other = batch(), batch(seed=1)
    changed = {m: x[m] if m in view else other[m] for m in NAMES}
    assert torch.equal(net(mask.apply(x, view)), net(mask.apply(changed, view)))
    if len(view) < len(NAMES):
        assert not torch.allclose(net(x), net(changed))
        assert not torch.allclose(net(mask.apply(x, view)), net(x))


def test_masking_is_leaving_the_tokens_out():
    """A network without the modality, that has the same weights and keeps the modality's [SEP]."""
    net = net_of({"image": (2, 9, 13), "text": (7,)}, depth=3)
    x = batch()
    states, seen = net.fusion._sequence([x["image"], x["text"]], [None, None])
    assert seen is not None
    images = net.fusion.counts[0]
    left = torch.cat([states[:, : 2 + images], states[:, -1:]], dim=1)
    for i, block in enumerate(net.fusion.blocks):
        left = block(left, None, first=i == 2)
    expected = net.head(net.fusion.norm(left[:, 0]))
    found = net(AttentionMask().apply(x, View.only("image")))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_padding_does_not_count():
    long, short = net_of({"text": (7,)}), net_of({"text": (4,)})
    weights = dict(long.state_dict())
    weights["fusion.position"] = weights["fusion.position"][:4]
    short.load_state_dict(weights)
    ids = torch.tensor([[3, 4, 5, 0, 0, 0, 0], [6, 7, 8, 9, 0, 0, 0]])
    torch.testing.assert_close(long({"text": ids}), short({"text": ids[:, :4]}), atol=1e-6, rtol=1e-5)


def test_zeros_leave_tokens_without_content_and_attention_leaves_none():
    net, x = net_of(), batch()
    for name in NAMES:
        view = View.drop(name, of=NAMES)
        zeros, hidden = net(Zeros().apply(x, view)), net(AttentionMask().apply(x, view))
        assert not torch.allclose(zeros, hidden, atol=1e-3)
    # The words' number is gone as well: all seven padding tokens are attended to.
    one, two = ({**x, "text": torch.tensor([[4] * n + [0] * (7 - n)] * 6)} for n in (2, 6))
    view = View.drop("text", of=NAMES)
    assert torch.equal(net(Zeros().apply(one, view)), net(Zeros().apply(two, view)))


def test_a_learned_text_is_mask_tokens_with_a_row_of_their_own():
    net, x = net_of(baseline=True), batch()
    table = net.fusion.tokens[2].table
    assert table.num_embeddings == 21
    view = View.drop("text", of=NAMES)
    found = net(Learned().apply(x, view))
    by_hand = {m: x[m] for m in NAMES if m != "text"} | {"text": torch.full((6, 7), 20)}
    assert "baseline_2" not in dict(net.named_parameters())
    with torch.no_grad():
        wide = build(NetSpec.single_stream("student", vocabulary={"text": 21}), SHAPES, 3, seed=0)
        wide.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("baseline")})
    torch.testing.assert_close(found, wide(by_hand))
    found.sum().backward()
    assert table.weight.grad[20].any()
    assert not table.weight.grad[:20].any()


def stacked_and_looped(modality_dropout):
    data = dataset()
    spec = fill_vocabulary(NetSpec.single_stream("student"), data)
    replicas = Replicas.build(spec, data, seeds=[0, 1, 2], device="cpu")
    recipe = Recipe(
        steps=6, batch_size=16, optimiser="sgd", lr=0.05, select="last", modality_dropout=modality_dropout
    )
    removal = AttentionMask() if modality_dropout else None
    return [
        fit(replicas, data, plain, recipe, mode=mode, dropout_removal=removal, progress=False).replicas
        for mode in ("stacked", "looped")
    ]


@pytest.mark.parametrize("modality_dropout", [0.0, 0.4])
def test_stacked_is_looped(modality_dropout):
    stacked, looped = stacked_and_looped(modality_dropout)
    for name, value in looped.parameters.items():
        torch.testing.assert_close(stacked.parameters[name], value, atol=1e-5, rtol=0)


def test_an_unknown_id_is_refused_in_a_stack_as_well():
    from mmkd_lab.core.check import LabError
    from mmkd_lab.training.engine import Engine

    data = dataset()
    spec = fill_vocabulary(NetSpec.single_stream("student"), data)
    engine = Engine(Replicas.build(spec, data, seeds=[0, 1], device="cpu"), stacked=True)
    x = {m: torch.stack([v, v]) for m, v in batch().items()}
    assert engine(x).shape == (2, 6, 2)
    x["text"][0, 0, 0] = 20  # in a stacked table, this is the next replica's padding
    with pytest.raises(LabError, match="between 0 and 19"):
        engine(x)
