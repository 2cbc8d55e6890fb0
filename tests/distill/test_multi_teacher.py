"""Several teachers as one, soft labels as a teacher, and TelME's fusion of frozen embeddings."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.data.task import Task
from mmkd_lab.distill import Context, labels_only, mix_teachers, soft_label_logits, trust
from mmkd_lab.distill.losses.multi_teacher import MultiTeacher
from mmkd_lab.distill.method import CLASSES
from mmkd_lab.distill.shift_fusion import ShiftFusion
from mmkd_lab.training import Recipe, Replicas, fit
from mmkd_lab.training.stacking import obstacles
from tests.distill.pairs import pairs, said
from tests.distill.samples import draw
from tests.training.toy import toy


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("task", CLASSES)
def test_the_mixture_is_the_weighted_mean_of_the_softened_outputs(task, temperature):
    shape = (2, 3, 4, 2, 2) if task is Task.DENSE else (2, 3, 4)
    teachers, weights = draw(*shape, count=3), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    mixed = mix_teachers(teachers, weights=weights, temperature=temperature, task=task)
    law = torch.sigmoid if task is Task.MULTI_LABEL else (lambda x: x.softmax(2))
    expected = sum(w * law(x / temperature) for w, x in zip(weights, teachers, strict=True))
    torch.testing.assert_close(law(mixed / temperature), expected)


def test_weights_per_sample():
    one, other = draw(3, 4)
    weights = torch.tensor([[4.0, 0.0, 0.5], [0.0, 1.0, 0.5]], dtype=torch.float64)
    found = mix_teachers([one, other], weights=weights).softmax(-1)
    p, q = one.softmax(-1), other.softmax(-1)
    torch.testing.assert_close(found, torch.stack([p[0], q[1], (p[2] + q[2]) / 2]))


def test_trust_by_hand():
    sure, even = torch.tensor([[0.7, 0.1, 0.1, 0.1]]).double().log(), torch.zeros(1, 4).double()
    confidence = trust([sure, even], by="confidence")
    torch.testing.assert_close(confidence, torch.tensor([[0.7 / 0.95], [0.25 / 0.95]]).double())
    torch.testing.assert_close(trust([sure, even], by="entropy"), torch.tensor([[1.0], [0.0]]).double())
    torch.testing.assert_close(trust([even, even], by="entropy"), torch.tensor([[0.5], [0.5]]).double())
    torch.testing.assert_close(trust([sure, even, even], by="equal"), torch.full((3, 1), 1 / 3).double())
    # Losses -log 0.7 and -log 0.25: their softmax goes as (1/0.7, 1/0.25); each teacher gets the other's.
    label = trust([sure, even], by="label", target=torch.tensor([0]))
    torch.testing.assert_close(label, torch.tensor([[0.7 / 0.95], [0.25 / 0.95]]).double())


@pytest.mark.parametrize("by", ["equal", "confidence", "entropy", "label"])
@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, Task.MULTI_LABEL])
def test_trust_sums_to_one_and_follows_the_teachers(by, task):
    teachers = draw(2, 5, 3, count=3)
    target = (draw(2, 5, 3, seed=4)[0] > 0).double() if task is Task.MULTI_LABEL else torch.ones(2, 5).long()
    found = trust(teachers, by=by, target=target, task=task)
    assert found.shape == (3, 2, 5)
    torch.testing.assert_close(found.sum(0), torch.ones(2, 5, dtype=torch.float64))
    turned = trust(teachers[::-1], by=by, target=target, task=task)
    torch.testing.assert_close(turned, found.flip(0))
    assert mix_teachers(teachers, weights=found, task=task).shape == (2, 5, 3)


def test_soft_labels_come_back_as_the_law_they_were():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    found = soft_label_logits(p, floor=0.03).softmax(-1)
    torch.testing.assert_close(found, 0.97 * p + 0.01)
    torch.testing.assert_close(soft_label_logits(p, floor=1e-4).softmax(-1), p, atol=1e-4, rtol=0)
    many = torch.tensor([[0.0, 1.0, 0.25]], dtype=torch.float64)
    back = soft_label_logits(many, floor=0.02, task=Task.MULTI_LABEL).sigmoid()
    torch.testing.assert_close(back, 0.98 * many + 0.01)


def test_the_method_hands_over_the_mixture_by_sample():
    data = pairs()
    one, two = said(data, [], replicas=1, seed=1), said(data, [], replicas=1, seed=2)
    context = Context(temperature=2.0, data=data, others=[two])
    for by in ("confidence", "label"):
        found = MultiTeacher(trust=by).bind(context).prepare(one, context, seed=0)
        assert torch.equal(found.index, one.index)
        every = [one.logits, two.rows(one.index).logits]
        share = trust(every, by=by, target=one.targets(data)[None])
        torch.testing.assert_close(found.logits, mix_teachers(every, weights=share, temperature=2.0))


def _embeddings():
    return dict(zip(("audio", "text", "video"), draw(7, 6, count=3), strict=True))


def _fusion(**changed):
    settings = {"features": 6, "num_outputs": 4, "heads": 2, "seed": 3, **changed}
    return ShiftFusion("text", ["video", "audio"], **settings).double()


def test_the_shift_is_never_longer_than_its_share_of_the_strong_embedding():
    x = _embeddings()
    strong, shift = _fusion().shift(x)
    assert torch.equal(strong, x["text"])
    assert (shift.norm(dim=-1) <= 0.1 * strong.norm(dim=-1) + 1e-12).all()
    long = _fusion()
    with torch.no_grad():
        long.displace.weight.mul_(1e4)
    torch.testing.assert_close(long.shift(x)[1].norm(dim=-1), 0.1 * strong.norm(dim=-1))


def test_the_attention_is_torchs():
    x, net = _embeddings(), _fusion()
    torchs = torch.nn.MultiheadAttention(6, 2, batch_first=True).double()
    with torch.no_grad():
        torchs.in_proj_weight.copy_(net.project.weight)
        torchs.in_proj_bias.copy_(net.project.bias)
        torchs.out_proj.weight.copy_(net.out.weight)
        torchs.out_proj.bias.copy_(net.out.bias)
    tokens = torch.stack([x["video"], x["audio"]], -2)
    torch.testing.assert_close(net._attended(tokens), torchs(tokens, tokens, tokens)[0])


def test_a_sample_does_not_depend_on_its_batch_and_a_seed_says_the_weights():
    x = _embeddings()
    whole, alone = _fusion()(x), _fusion()({name: value[2:3] for name, value in x.items()})
    torch.testing.assert_close(whole[2:3], alone)
    assert not torch.allclose(_fusion(seed=4)(x), whole)


def test_dropout_is_asfs_in_training_and_none_in_evaluation():
    x, net, plain = _embeddings(), _fusion(dropout=0.2), _fusion()
    torch.testing.assert_close(net.eval()(x), plain(x))
    net.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gone = torch.stack([net.features(x) == 0 for _ in range(400)]).float().mean()
    assert float(gone) == pytest.approx(0.2, abs=0.02)  # of what the head reads
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(net.shift(x)[1], net.shift(x)[1])  # and of the attended tokens
    assert obstacles(plain) == []
    assert obstacles(net) == ["dropout"]


def test_it_is_trained_like_any_network():
    data = toy(image=(6,), speech=(6,), noise=0.5)
    nets = [ShiftFusion("speech", ["image"], features=6, num_outputs=4, seed=seed) for seed in (0, 1)]
    replicas = Replicas.of(nets, device="cpu")
    done = fit(replicas, data, labels_only(), Recipe(epochs=12, lr=3e-2), mode="stacked", progress=False)
    found = done.replicas.predict(data, split="test").argmax(-1)
    assert ((found == data.target[data.positions("test")]).float().mean(-1) > 0.7).all()
