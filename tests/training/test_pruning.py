"""Pruning: masks against the networks that are left, the schedule, the ranking, and a whole search."""

from __future__ import annotations

from math import cos, pi, sqrt
from statistics import mean, stdev

import pytest
import torch

from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import NetSpec, View
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from mmkd_lab.training.pruning import budget_share, prune
from mmkd_lab.training.pruning.search import Search
from mmkd_lab.training.pruning.surgery import CountedGroupNorm
from tests.training.toy import plain, toy

SPECS = {
    "mlp": NetSpec(encoder="mlp", width=1, features=5),
    "lenet and mlp": NetSpec(encoder={"image": "lenet", "speech": "mlp"}, width=4, features=6),
    "joint": NetSpec(encoder={"image": "lenet", "speech": "mlp"}, width=4, features=6, joint=7),
    "linear and mlp": NetSpec(encoder={"image": "linear", "speech": "mlp"}, width=1, features=5),
    "mid of maps and a vector": NetSpec(fusion="mid", width=4, features=8),
    "mid of vectors": NetSpec(encoder="mlp", fusion="mid", width=1, features=5),
    "mid with linear": NetSpec(
        encoder={"image": "linear", "speech": "mlp"}, fusion="mid", width=1, features=5
    ),
    "attention": NetSpec(fusion="attention", width=4, features=6),
    "single stream": NetSpec(fusion="single_stream", features=8, depth=2, heads=4),
}
#: Of the masks of 8 hidden units and 3 features.
GRADIENTS = [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [-1.0, 0.0, 0.5]]
QUICK = Recipe(steps=40, batch_size=16, lr=3e-3)


def _text():
    generator = torch.Generator().manual_seed(0)
    where = torch.arange(60)
    x = {
        "image": torch.randn(60, 3, generator=generator),
        "text": torch.randint(0, 9, (60, 5), generator=generator),
    }
    splits = {"train": where[:40], "val": where[40:50], "test": where[50:]}
    return PairedData("text", x, where % 2, splits, ("no", "yes"))


def _search(replicas, **how):
    return Search(replicas, sum(value[0].numel() for value in replicas.parameters.values()), **how)


def _randomly(search):
    """Masks of 0 and 1, some of each in every group, other ones for each replica."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for mask in search.masks.values():
            mask.copy_((torch.rand(mask.shape, generator=generator) < 0.5).float())
            mask[:, 0] = 1.0


def _same(search, data):
    x = data.batch(data.positions("test"))
    masked = search.logits(x, shared=True)
    for r in range(len(search.replicas)):
        small = search.small(r)
        assert torch.allclose(small(x), masked[r], atol=1e-6, rtol=0)
        left = {name: int(kept.sum()) for name, kept in search.kept(r).items()}
        assert sum(value.numel() for value in small.parameters()) == search.count(left) < search.before


@pytest.mark.parametrize("name", [*SPECS, "several cells per channel"])
def test_a_masked_network_is_the_smaller_network_that_is_left(name):
    data = toy() if name in SPECS else toy(image=(3, 12, 20))
    spec = SPECS.get(name, NetSpec(width=4, features=6))
    replicas = Replicas.build(spec, data, seeds=[0, 1], device="cpu")
    search = _search(replicas)
    whole = search.logits(data.batch(data.positions("test")), shared=True)
    torch.testing.assert_close(whole, replicas.predict(data, split="test"), atol=2e-6, rtol=0)
    _randomly(search)
    _same(search, data)


@pytest.mark.parametrize("fusion", ["late", "mid", "single_stream"])
def test_text_can_be_pruned_too(fusion):
    data = _text()
    sizes = {"features": 8, "heads": 2} if fusion == "single_stream" else {"features": 4, "width": 1}
    spec = NetSpec(fusion=fusion, vocabulary={"text": 9}, **sizes)
    replicas = Replicas.build(spec, data, seeds=[0], device="cpu")
    search = _search(replicas)
    _randomly(search)
    _same(search, data)


@pytest.mark.parametrize("name", ["joint", "mid of maps and a vector", "single stream"])
def test_stacked_equals_looped_down_to_the_gradients_of_the_masks(name):
    data = toy()
    replicas = Replicas.build(SPECS[name], data, seeds=[0, 1], device="cpu")
    x, found = data.batch(data.positions("test")), []
    for stacked in (True, False):
        search = _search(replicas, stacked=stacked)
        logits = search.logits(x, shared=True)
        logits.logsumexp(-1).mean().backward()
        found.append((logits.detach(), {name: mask.grad for name, mask in search.masks.items()}))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
    assert all((grad != 0).any() for grad in found[0][1].values())


def test_counted_group_norm_is_group_norm_and_forgets_what_does_not_count():
    generator = torch.Generator().manual_seed(0)
    x, norm = torch.randn(3, 8, 4, 5, generator=generator), torch.nn.GroupNorm(4, 8)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0, generator=generator)
        norm.bias.uniform_(-1.0, 1.0, generator=generator)
    counted = CountedGroupNorm(norm)
    torch.testing.assert_close(counted(x), norm(x))
    counted.counted[1] = 0.0  # channel 0 is then alone in its group
    alone = torch.nn.functional.group_norm(x[:, :1], 1, norm.weight[:1], norm.bias[:1])
    torch.testing.assert_close(counted(x)[:, :1], alone)
    torch.testing.assert_close(counted(x)[:, 2:], norm(x)[:, 2:])


def test_a_mask_between_0_and_1_scales_what_its_unit_says():
    data = toy()
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0], device="cpu")
    search = Search(replicas, 100)
    head = search.weights["head.weight"]
    with torch.no_grad():
        search.masks["fusion.encoders.1.dense"][0, 2] = 0.25
    found = search.logits(data.batch(data.positions("test")), shared=True)[0]
    module = replicas.module()
    with torch.no_grad():
        module.head.weight[:, 5 + 2] *= (
            0.25  # the second modality's features come after the five of the first
        )
    torch.testing.assert_close(found, module(data.batch(data.positions("test"))))
    assert head.shape == (1, 4, 10)


def test_the_budget_follows_the_published_schedule():
    for total in (1, 7, 200):
        shares = [budget_share(step, total=total) for step in range(total)]
        expected = [sqrt((1 - cos(pi * (step + 1) / total)) / 2) for step in range(total)]
        assert shares == pytest.approx(expected, abs=1e-9)
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def _ranked(gradients):
    """A search over one modality's 8 hidden units and 3 features, with these gradients."""
    data = toy()
    spec = NetSpec(encoder="mlp", width=1, features=3, modalities=("speech",))
    search = Search(Replicas.build(spec, data, seeds=[0], device="cpu"), 40)
    for mask, gradient in zip(search.masks.values(), gradients, strict=True):
        mask.grad = torch.tensor([gradient])
    return search


def test_the_units_that_the_loss_would_shrink_most_go_first_until_the_budget_is_met():
    # 8 hidden units of 6 inputs: 8·7 + 3·9 + 4·4 = 99 parameters. A hidden unit is 7 + (features), a feature
    # 9 - (hidden units gone) + 4. Ranked: hidden 7, 6, 5, ... and the last feature somewhere among them.
    search = _ranked(GRADIENTS)
    assert search.before == 99
    scores = search.scores()[0]
    assert scores.argmax() == 7
    order = [
        int(i) for i in scores.argsort(descending=True) if i not in (0, 8)
    ]  # the least of each layer stay
    for share in (0.2, 0.5, 0.8, 1.0):
        gone = search.chosen(share)[0].nonzero().flatten().tolist()
        allowed = 99 - share * 59
        counts = []
        for n in range(len(order) + 1):
            hidden = 8 - sum(i < 8 for i in order[:n])
            features = 3 - sum(i >= 8 for i in order[:n])
            counts.append(hidden * 7 + features * (hidden + 1) + 4 * (features + 1))
        fewest = next(n for n, count in enumerate(counts) if count <= allowed)
        assert sorted(order[:fewest]) == gone


def test_masks_shrink_as_the_budget_grows_and_come_back_when_no_longer_chosen():
    search = _ranked(GRADIENTS)
    search.shrink(0.25)
    hidden = search.masks["fusion.encoders.0.hidden"]
    assert hidden[0, 7] == 0.75
    assert hidden[0, 0] == 1.0
    hidden.grad = hidden.grad.flip(1)
    search.shrink(0.25)
    assert hidden[0, 7] == 1.0
    assert hidden[0, 0] == 0.75
    search.shrink(1.0)
    assert set(hidden.flatten().tolist()) == {0.0, 1.0}


def test_scores_divide_by_one_less_than_the_units_of_a_kind():
    scores = _ranked(GRADIENTS).scores()[0]
    gathered = [*GRADIENTS[0], *GRADIENTS[1]]  # all are units of dense layers
    assert scores.tolist() == pytest.approx([(g - mean(gathered)) / stdev(gathered) for g in gathered])


def test_an_l1_penalty_on_the_masks_would_change_no_ranking():
    plainly = _ranked(GRADIENTS).scores()
    penalised = _ranked([[one + 3.0 for one in part] for part in GRADIENTS]).scores()
    torch.testing.assert_close(plainly, penalised)


@pytest.mark.parametrize("name", ["lenet and mlp", "single stream"])
def test_a_search_ends_with_networks_of_the_wanted_size_that_go_on_learning(name):
    data = toy(noise=0.5)
    replicas = fit(
        Replicas.build(SPECS[name], data, seeds=[0, 1], device="cpu"),
        data,
        plain,
        Recipe(epochs=8),
        progress=False,
    ).replicas
    before = replicas.predict(data, split="test")
    whole = sum(value[0].numel() for value in replicas.parameters.values())
    done = prune(replicas, data, QUICK, parameters=whole // 2, every=5, progress=False)
    assert torch.equal(replicas.predict(data, split="test"), before)
    assert done.before == whole
    assert done.loss.shape == (40, 2)
    assert set(done.table["replica"]) == {0, 1}
    for r, net in enumerate(done.nets):
        count = sum(value.numel() for value in net.parameters.values())
        assert whole // 2 - 200 < count == done.parameters[r] <= whole // 2
        assert net.seeds == (r,)
    assert (done.table["kept"] >= 1).all()
    assert (done.table["kept"] < done.table["units"]).any()
    more = fit(done.nets[0], data, plain, Recipe(epochs=25, batch_size=8), progress=False)
    assert evaluate(more.replicas, data, split="test")["accuracy"][0] > 60.0


def test_units_are_ranked_after_the_first_step_then_every_so_often():
    """A ranking shows in the loss of the step after it."""
    data, run = toy(), Recipe(steps=5)
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[3], device="cpu")
    whole = sum(value[0].numel() for value in replicas.parameters.values())
    often, seldom, never = (
        prune(replicas, data, run, parameters=left, every=every, progress=False).loss[:, 0]
        for left, every in ((300, 1), (300, 2), (whole, 1))
    )
    assert (often == never).tolist() == [True, False, False, False, False]  # after step 0
    assert (often == seldom).tolist() == [True, True, False, False, False]  # after step 1, of `often` alone
    rare = prune(replicas, data, run, parameters=300, every=50, progress=False).loss[:, 0]
    assert (rare == seldom).tolist() == [True, True, True, False, False]  # after step 2, of `seldom` alone


def test_replicas_are_pruned_as_they_would_be_alone():
    data = toy()
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[3, 4], device="cpu")
    both = prune(replicas, data, QUICK, parameters=300, every=7, progress=False)
    alone = prune(replicas[1], data, QUICK, parameters=300, every=7, progress=False)
    torch.testing.assert_close(both.loss[:, 1:], alone.loss)
    for name, value in both.nets[1].parameters.items():
        torch.testing.assert_close(value, alone.nets[0].parameters[name], atol=1e-5, rtol=1e-4)


def test_the_last_masks_are_those_of_the_networks_that_are_left():
    data = toy()
    replicas = Replicas.build(SPECS["joint"], data, seeds=[0], device="cpu")
    done = prune(replicas, data, QUICK, parameters=700, every=9, progress=False)
    search = Search(replicas, 700)
    kept = dict(zip(done.table["group"], done.table["kept"], strict=True))
    assert search.count(kept) == done.parameters[0] <= 700
    assert done.nets[0].features(data, split="test").shape[2] == kept["fusion.joint.0"]


def test_what_is_left_can_lose_modalities_as_its_origin_could():
    data = toy()
    replicas = Replicas.build(SPECS["attention"], data, seeds=[0], device="cpu")
    net = prune(replicas, data, QUICK, parameters=700, progress=False).nets[0]
    alone = net.predict(data, split="test", view=View.only("image"), removal="attention")
    assert torch.isfinite(alone).all()
    assert not torch.allclose(alone, net.predict(data, split="test"))
    assert net.net.removals == replicas.net.removals


def test_the_whole_network_stays_when_all_of_it_may():
    data = toy()
    replicas = Replicas.build(SPECS["mlp"], data, seeds=[0], device="cpu")
    whole = sum(value[0].numel() for value in replicas.parameters.values())
    done = prune(replicas, data, Recipe(steps=3), parameters=whole, progress=False)
    assert (done.table["kept"] == done.table["units"]).all()
    assert repr(done) == f"1 networks pruned from {whole} to [{whole}] parameters"
