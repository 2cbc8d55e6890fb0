"""Weights of classes and samples: torch's and scikit-learn's own formulas, ones that change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.utils.class_weight import compute_class_weight

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import Distillation, labels_only
from mmkd_lab.distill.losses.ce import CrossEntropy, class_weights, cross_entropy
from mmkd_lab.models import NetSpec
from mmkd_lab.training import fit
from mmkd_lab.training.metrics import METRICS, evaluate, register_metric, score
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from tests.study import tiny

RECIPE = Recipe(epochs=6, batch_size=16, lr=0.02, precision="64-true")
SPEC = NetSpec(encoder="linear")


def rare(weight=None, *, order=(0, 1, 2), n=240):
    """Three classes, 80, 15 and 5 percent of the samples, told apart in noise."""
    draw = torch.Generator().manual_seed(0)
    target = torch.tensor([0] * 16 + [1] * 3 + [2]).repeat(n // 20)
    centre = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    x = centre[target] + torch.randn(n, 4, generator=draw, dtype=torch.float64)
    splits = {"train": range(n // 2), "val": range(n // 2, 3 * n // 4), "test": range(3 * n // 4, n)}
    place = torch.tensor(order)
    names = tuple("xyz"[order.index(k)] for k in range(3))
    b = x + torch.randn(n, 4, generator=draw, dtype=torch.float64)
    return PairedData("rare", {"a": x, "b": b}, place[target], splits, names, weight=weight)


def trained(data, loss=None, recipe=RECIPE, **more):
    start = Replicas.build(SPEC, data, seeds=[0, 1], dtype=torch.float64)
    return fit(start, data, loss or labels_only(), recipe, progress=False, **more).replicas


def test_the_weighted_mean_is_torchs():
    draw = torch.Generator().manual_seed(1)
    logits, target = torch.randn(2, 7, 4, generator=draw), torch.randint(4, (2, 7), generator=draw)
    target[0, 3] = -100
    classes, samples = (0.5, 2.0, 1.0, 3.0), torch.rand(2, 7, generator=draw)
    found = cross_entropy(logits, target, class_weights=classes)
    both = cross_entropy(logits, target, class_weights=classes, sample_weights=samples)
    for r in range(2):
        wanted = F.cross_entropy(logits[r], target[r], weight=torch.tensor(classes))
        torch.testing.assert_close(found[r], wanted)
        each = (
            F.cross_entropy(logits[r], target[r], weight=torch.tensor(classes), reduction="none") * samples[r]
        )
        known = target[r] >= 0
        total = (torch.tensor(classes)[target[r].clamp(min=0)] * samples[r])[known].sum()
        torch.testing.assert_close(both[r], each.sum() / total)
    several = torch.randint(2, (2, 7, 4), generator=draw).float()
    present = cross_entropy(logits, several, task=Task.MULTI_LABEL, class_weights=classes)
    own = F.binary_cross_entropy_with_logits(
        logits, several, pos_weight=torch.tensor(classes), reduction="none"
    )
    torch.testing.assert_close(present, own.sum(-1).mean(-1))
    maps, pixels = (
        torch.randn(1, 2, 3, 2, 2, generator=draw),
        torch.tensor([[[[0, 1], [2, -1]], [[1, 1], [0, 2]]]]),
    )
    dense = cross_entropy(maps, pixels, task=Task.DENSE, class_weights=classes[:3])
    wanted = F.cross_entropy(maps[0], pixels[0], weight=torch.tensor(classes[:3]), ignore_index=-1)
    torch.testing.assert_close(dense[0], wanted)


def test_balanced_weights_and_metrics_are_those_of_scikit_learn():
    data = rare()
    train = data.target[data.positions("train")].numpy()
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=train)
    np.testing.assert_allclose(class_weights("balanced", data), wanted)
    assert class_weights({"z": 4.0}, data) == (1.0, 1.0, 4.0)
    draw = torch.Generator().manual_seed(3)
    logits, target = torch.randn(2, 60, 5, generator=draw), torch.randint(3, (60,), generator=draw)
    logits[..., 4] -= 9  # a class that is never there, and one that is not named either
    found = score(logits, target, task=Task.SINGLE_LABEL)
    for r in range(2):
        said = logits[r].argmax(-1)
        known = said < 3  # scikit-learn's balanced accuracy knows the classes of the target alone
        assert float(found["macro_f1"][r]) == pytest.approx(100 * f1_score(target, said, average="macro"))
        hits = [float((said[target == k] == k).double().mean()) for k in range(3)]
        assert float(found["balanced_accuracy"][r]) == pytest.approx(100 * np.mean(hits))
        assert balanced_accuracy_score(target[known], said[known]) > 0


def test_weights_of_one_and_classes_in_another_order_change_nothing():
    plain = trained(rare())
    for data in (rare(torch.ones(240)), rare(torch.ones(240).numpy())):
        torch.testing.assert_close(trained(data).predict(data), plain.predict(data), rtol=0, atol=0)
    ones = Distillation(((1.0, CrossEntropy(Task.SINGLE_LABEL, (1.0, 1.0, 1.0))),))
    torch.testing.assert_close(trained(rare(), ones).predict(rare()), plain.predict(rare()), rtol=0, atol=0)
    order = (2, 0, 1)
    swapped = rare(order=order)
    weights, others = (class_weights("balanced", one) for one in (rare(), swapped))
    assert [weights[k] for k in range(3)] == [others[order[k]] for k in range(3)]


@pytest.mark.parametrize("size", [16, None])
def test_a_sample_of_weight_0_is_as_if_it_were_not_there(size):
    """With the whole split as one batch, by the gradient; weights of 2 are samples that stand there twice."""
    data = rare()
    train = data.positions("train")
    weight = torch.ones(len(data))
    weight[train[::3]] = 0
    recipe = Recipe(epochs=5, batch_size=size, lr=0.02, precision="64-true", select="last")
    moved = data.target.clone()
    moved[train[::3]] = (moved[train[::3]] + 1) % 3  # what counts for nothing may say anything
    one = rare(weight)
    other = PairedData("rare", dict(data.modalities), moved, dict(data.splits), data.classes, weight=weight)
    found = [trained(each, recipe=recipe).predict(data) for each in (one, other)]
    torch.testing.assert_close(*found, rtol=0, atol=0)
    if size is None:
        kept = torch.cat([train[weight[train] > 0], *(data.splits[name] for name in ("val", "test"))])
        fewer = data.select(kept.sort().values)
        start = Replicas.build(SPEC, data, seeds=[0, 1], dtype=torch.float64)  # standardised by all samples
        alone = fit(start, fewer, labels_only(), recipe, progress=False).replicas
        torch.testing.assert_close(alone.predict(data), found[0], rtol=1e-9, atol=1e-9)


def test_balanced_weights_find_the_rare_class():
    data = rare()
    recipe = Recipe(epochs=40, batch_size=16, lr=0.02, precision="64-true", select="last")
    plain = evaluate(trained(data, recipe=recipe), data, split="train")
    even = trained(data, labels_only(class_weights=class_weights("balanced", data)), recipe)
    assert (evaluate(even, data, split="train")["balanced_accuracy"] > plain["balanced_accuracy"]).all()


@pytest.fixture
def last_class():
    """A metric that no other test may see."""
    register_metric("last_class", task=Task.SINGLE_LABEL, higher=False)(
        lambda logits, target: (logits.argmax(-1) == 2).double().mean()
    )
    yield "last_class"
    METRICS.forget("last_class")


def test_a_metric_that_selects(last_class):
    data = rare()
    for metric, best in (("balanced_accuracy", "max"), ("nll", "min"), (last_class, "min")):
        recipe = Recipe(epochs=8, batch_size=16, lr=0.05, precision="64-true", select_metric=metric)
        start = Replicas.build(SPEC, data, seeds=[0, 1], dtype=torch.float64)
        found = fit(start, data, labels_only(), recipe, progress=False)
        seen = found.history[(found.history["split"] == "val") & (found.history["metric"] == metric)]
        ends = getattr(seen.groupby("replica")["value"], best)()
        np.testing.assert_allclose(evaluate(found.replicas, data, split="val")[metric], ends)


def test_failure_cases_with_weights(tmp_path):
    found = {
        how: tiny.study(tmp_path, data=rare(), recipe=RECIPE, class_weight=how, metric="balanced_accuracy")
        for how in (None, "balanced")
    }
    assert "test balanced accuracy), in points." in found[None].verdict
    assert found[None].options["metric"] == "balanced_accuracy"
    rows = "role == '{}' and metric == 'balanced_accuracy' and split == 'val'"
    for role in ("student", "teacher", "baseline"):  # all of them learn with these weights
        plain, even = (one.table.query(rows.format(role))["value"].mean() for one in found.values())
        assert even > plain


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rare(-torch.ones(240)), "at least 0"),
        (lambda: rare(torch.ones(7)), "one number per sample"),
        (lambda: rare(torch.full((240,), torch.nan)), "NaN"),
        (lambda: rare(torch.zeros(240)), "something to learn from"),
        (lambda: class_weights({"q": 1.0}, rare()), "class_weight = 'q'"),
        (lambda: class_weights({"x": 0.0}, rare()), "above 0"),
        (lambda: class_weights("even", rare()), "class_weight"),
        (lambda: trained(rare(), recipe=Recipe(epochs=1, select_metric="r2")), "select_metric"),
        (
            lambda: tiny.study("unused", data=rare(), recipe=Recipe(epochs=1, select_metric="miou")),
            "select_m",
        ),
    ],
)
def test_wrong_weights(make, message):
    with pytest.raises(LabError, match=message):
        make()
