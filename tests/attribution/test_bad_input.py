"""Every wrong argument is refused with its name, its value, the rule and the way out."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import (
    Alignment,
    Joint,
    align,
    align_linear,
    by_channel,
    by_modality,
    closed_form,
    feature_masks,
    grid,
    top_k_precision,
    within_modality,
)
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.models import Learned
from tests.attribution.tiny import Additive, Conv, Linear, Mlp, Product, Student, Words, draw

X = draw(n=6, a=(3,), b=(2,))
NET = Additive()
IMAGES = draw(n=6, a=(1, 4, 4), b=(2,))


class Says(nn.Module):
    """Returns whatever it is given to return."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


class Twice(nn.Module):
    """Uses one layer two times, and returns a tuple from another."""

    def __init__(self):
        super().__init__()
        self.same, self.rnn, self.head = nn.Linear(3, 3), nn.LSTM(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.rnn(self.same(self.same(x["a"])))[0])


class Reads(Additive):
    """Has an attribute `modalities`, whatever it may hold."""

    def __init__(self, modalities):
        super().__init__()
        self.modalities = modalities


class Columns(nn.Module):
    """Modality 'b' is one number a sample, (B,)."""

    def forward(self, x):
        return torch.stack([x["a"].sum(1), 2.0 * x["b"]], dim=1)


class Cut(Additive):
    """Modality 'a' counts, but is cut off from the gradient."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        with torch.set_grad_enabled(self.how != "no_grad"):
            a = self.a(x["a"].round() if self.how == "round" else x["a"])
        return (a.detach() if self.how == "detach" else a) + self.b(x["b"])


def asks(net=NET, x=X, **settings):
    return lambda: by_modality(net, x, **settings)


def maps(net=NET, x=X, modality="a", **settings):
    return lambda: within_modality(net, x, modality=modality, **settings)


def channels(teacher=None, student=None, x=IMAGES, **settings):
    return lambda: by_channel(teacher or Conv("mlp"), student or Student(), x, **settings)


def paired(task=Task.SINGLE_LABEL):
    target = torch.arange(6) % 2 if task is Task.SINGLE_LABEL else torch.rand(6, 2)
    return PairedData("tiny", X, target, {"train": torch.arange(6)}, ("x", "y"), task=task)


def linear_worlds(a=(2, 5, 3), b=(2, 5, 2), target=None, **settings):
    labels = torch.zeros(2, 5, dtype=torch.int64) if target is None else target
    return lambda: align_linear(np.zeros(a), np.zeros(b), labels, **{"seeds": [0, 1], **settings})


UNFIT = {**X, "a": X["a"].clone().index_fill_(0, torch.tensor([2]), torch.nan)}

CASES = {
    "unknown method": (asks(methods="shaply"), r"methods = 'shaply'.*Did you mean 'shapley'"),
    "no method": (asks(methods=[]), r"methods = \[\]: must name at least one"),
    "method twice": (
        asks(methods=["shapley", "shapley"]),
        r"methods = .*at least one method, and none twice",
    ),
    "unknown output": (asks(output="logits"), r"output = 'logits'.*'logit'"),
    "unknown target word": (asks(target="true"), r"target = 'true': must be one of 'predicted' or 'label'"),
    "class too large": (asks(target=2), r"target = '2': must lie between 0 and 1 \(2 logits\)"),
    "targets of another length": (
        asks(target=torch.zeros(5, dtype=torch.int64)),
        r"target = .*\(5,\).*must be \(6,\) int64",
    ),
    "no labels": (asks(target="label"), r"labels = None: must be given when target='label'"),
    "no labels for the score": (asks(methods="perceptual_score"), r"labels = None.*perceptual score"),
    "labels out of range": (
        asks(methods="perceptual_score", labels=torch.full((6,), 9)),
        r"labels = '9': must lie between 0 and 1",
    ),
    "unknown removal": (asks(removal="zero"), r"removal = 'zero'.*Did you mean 'zeros'"),
    "mean without data": (asks(removal="mean"), r"data = None: the removal 'mean' needs the dataset"),
    "gradients without a fixed baseline": (
        asks(methods="integrated_gradients", removal="permutation"),
        r"removal = 'permutation': gives no fixed value.*Use 'zeros' or 'mean'",
    ),
    "gradients of tokens": (
        asks(Words(), {"text": torch.ones(6, 2, dtype=torch.int64), "a": X["b"]}, methods="gradient_x_input"),
        r"data\['text'\] = torch.int64: whole numbers have no gradient.*layer=<embedding>",
    ),
    "values that are not finite": (asks(x=UNFIT), r"data\['a'\] = 'NaN or infinite values': must be finite"),
    "unpaired": (asks(x={"a": X["a"], "b": X["b"][:4]}), r"data\['b'\] = \(4, 2\): must hold 6 rows"),
    "no modality": (asks(x={}), r"data = \{\}: must hold at least one modality"),
    "a list for data": (asks(x=[1, 2]), r"data = 'list': must be a PairedData or \{modality: tensor\}"),
    "an array for a tensor": (asks(x={"a": np.zeros((3, 2))}), r"data\['a'\] = 'ndarray': must be a tensor"),
    "unknown split": (asks(x=paired(), split="tset"), r"split = 'tset'"),
    "a missing modality": (
        lambda: by_modality(Student(), {"a": X["a"]}),
        r"data = \['a'\]: must hold 'b', which the network reads",
    ),
    "one sample to permute": (
        asks(x={k: v[:1] for k, v in X.items()}, methods="permutation"),
        r"data = '1 sample': must hold at least 2 samples to permute",
    ),
    "one sample for permuted views": (
        asks(x={k: v[:1] for k, v in X.items()}, removal="permutation"),
        r"data = '1 sample': must hold at least 2 samples to permute",
    ),
    "too many modalities": (
        asks(Product(), draw(n=2, **{f"m{i}": (1,) for i in range(13)})),
        r"data = '13 modalities': must hold at most 12",
    ),
    "logits of one sample for all": (
        asks(Says(torch.zeros(1, 2))),
        r"net\(x\) = \(1, 2\): must be logits \(6, classes\)",
    ),
    "dense logits": (asks(Says(torch.zeros(6, 2, 4, 4))), r"net\(x\) = .*must be logits.*Wrap the network"),
    "logits that are not finite": (
        asks(Says(torch.full((6, 2), torch.nan))),
        r"net\(x\) = 'NaN or infinite values'",
    ),
    "more logits than classes": (
        asks(Additive(classes=3), x=paired(), target=2, split="train"),
        r"target = 2: has no name: the data have 2 classes.*Give it a logit per class",
    ),
    "a probability of one logit": (
        asks(Additive(classes=1), output="probability"),
        r"output = 'probability': is the same for every input when .* one logit. Use output='logit'",
    ),
    "an accuracy of one logit": (
        asks(Additive(classes=1), methods="perceptual_score", labels=torch.zeros(6, dtype=torch.int64)),
        r"net\(x\) = \(6, 1\): one logit has no accuracy to lose",
    ),
    "divergence of one logit": (
        lambda: by_channel(Additive(classes=1), Student(classes=1), X, layer="a", distance="kl"),
        r"distance = 'kl': is 0 between any two networks of one logit. Use distance='mse'",
    ),
    "a number of modalities": (
        asks(Reads(2)),
        r"net.modalities = 2: must be the modalities it reads, by name",
    ),
    "no modality to read": (asks(Reads(())), r"net.modalities = \(\): must be the modalities it reads"),
    "regions of one number": (
        maps(x={**X, "b": X["b"][:, 0]}, modality="b", method="ablation", net=Columns()),
        r"data\['b'\] = \(6,\): one number a sample has no regions",
    ),
    "masks for a network that knows none": (
        asks(removal="attention"),
        r"removal = 'attention': leaves .* a mask in .* this Additive does not say .*Use 'zeros', 'mean' or",
    ),
    "stand-ins for a network that has none": (
        asks(methods="ablation", removal=Learned()),
        r"removal = 'learned': leaves .* Additive does not say that it heeds",
    ),
    "no network": (asks(3), r"net = 3: must be a network"),
    "unknown interval": (asks(interval="boot"), r"interval = 'boot'.*'t' or 'bootstrap'"),
    "level of one": (asks(level=1.0), r"level = 1.0: must be a finite number above 0"),
    "no draws": (asks(methods="permutation", draws=0), r"draws = 0: must be a whole number of at least 1"),
    "unknown nodes": (asks(nodes="simpson"), r"nodes = 'simpson': must be one of 'graded'"),
    "one node of a trapezoid": (
        asks(nodes="riemann_trapezoid", steps=1),
        r"steps = 1: must be .* at least 2",
    ),
    "empty batches": (asks(batch_size=0), r"batch_size = 0"),
    "unknown modality for a map": (maps(modality="c"), r"modality = 'c': must be one of 'a' or 'b'"),
    "unknown map method": (maps(method="lime"), r"method = 'lime'"),
    "a patch for gradients": (maps(patch=2), r"patch = 2: belongs to ablation or occlusion"),
    "a stride for ablation": (maps(method="ablation", stride=1), r"stride = 1: belongs to occlusion"),
    "a layer for ablation": (
        maps(method="ablation", layer="a"),
        r"layer = 'a': belongs to integrated_gradients",
    ),
    "a stride beyond the patch": (
        maps(Conv(), IMAGES, method="occlusion", patch=2, stride=3),
        r"stride = 3: must leave no cell between two windows",
    ),
    "a patch of too many sides": (
        maps(method="ablation", patch=(1, 1)),
        r"patch = \(1, 1\): must have 1 to 1 sides",
    ),
    "regions of another shape": (
        maps(method="ablation", regions=torch.zeros(4, dtype=torch.int64)),
        r"regions = \(4,\): must have a sample's shape \(3,\)",
    ),
    "negative regions": (
        maps(method="ablation", regions=torch.tensor([0, -4, 1])),
        r"regions = -4: must not be negative",
    ),
    "regions and a patch": (
        maps(method="ablation", regions=torch.zeros(3, dtype=torch.int64), patch=1),
        r"patch = 1: must not be given together with regions",
    ),
    "tokens without a layer": (
        maps(Words(), {"text": torch.ones(6, 2, dtype=torch.int64), "a": X["b"]}, "text"),
        r"data\['text'\] = torch.int64: whole numbers have no gradient",
    ),
    "a layer without tokens": (
        maps(Words(), {"text": torch.ones(6, 2, dtype=torch.int64), "a": X["b"]}, "text", layer="a"),
        r"layer = \(.*\): its output must be one vector per token",
    ),
    "regions nobody made": (lambda: maps()().by_region(), r"regions = None: must be given"),
    "other regions than the ablated": (
        lambda: maps(method="ablation")().by_region(torch.zeros(3, dtype=torch.int64)),
        r"regions = 'other regions': an ablation has values for its own regions only",
    ),
    "regions of an unknown modality": (
        lambda: feature_masks(X, {"c": torch.zeros(3, dtype=torch.int64)}),
        r"regions = 'c': must name modalities out of 'a' or 'b'",
    ),
    "a grid over nothing": (lambda: grid((), 1), r"shape = \(\): must have at least one axis"),
    "unknown layer": (
        channels(layer="convs"),
        r"layer = 'convs': is no layer of this Conv. It has 'act', 'conv'.*'head'",
    ),
    "unknown side": (channels(layer="act", side="both"), r"side = 'both'.*'output' or 'input'"),
    "the closed form before a non-linear head": (
        channels(layer="act", method="closed_form"),
        r"method = 'closed_form': the closed form needs a linear head right after 'act'; .* are Conv2d, ReLU",
    ),
    "no linear head at all": (
        lambda: by_channel(nn.Sequential(Linear(), nn.Softmax(1)), Student(), draw(n=4, a=(4,), b=(2,))),
        r"teacher = 'Sequential': has no linear head to start from; .* Linear, Softmax. Name a layer",
    ),
    "the closed form of another distance": (
        channels(Conv(), method="closed_form", distance="kl"),
        r"distance = 'kl': the closed form holds for 'mse' alone.*Use method='permutation'",
    ),
    "unknown distance": (channels(distance="l2"), r"distance = 'l2'"),
    "unknown channel method": (channels(method="exact"), r"method = 'exact'"),
    "one sample's channels": (
        channels(x={k: v[:1] for k, v in IMAGES.items()}),
        r"data = '1 sample': must hold at least 2",
    ),
    "a student of other classes": (
        channels(student=Student(classes=3)),
        r"student = \(6, 3\): must give logits \(6, 2\)",
    ),
    "a function for a teacher": (
        channels(lambda x: x["b"]),
        r"teacher = 'function': has no layers; give an nn.Module",
    ),
    "the axis of samples": (
        channels(layer="act", axis=0),
        r"axis = 0: must be an axis of \(6, 3, 4, 4\) other than 0",
    ),
    "no permutations": (channels(layer="act", permutations=0), r"permutations = 0: must be a whole number"),
    "orders that repeat": (
        channels(layer="act", permutations=torch.zeros(2, 6, dtype=torch.int64)),
        r"permutations = 'rows': each row must hold every number from 0 to 5 once",
    ),
    "a layer used twice": (
        lambda: by_channel(Twice(), Student(), X, layer="same"),
        r"layer = 'same': must be used once; this network uses it 2 times",
    ),
    "a layer that passes a tuple": (
        lambda: by_channel(Twice(), Student(), X, layer="rnn"),
        r"layer = 'rnn': must pass one tensor \(samples, channels, ...\), not tuple",
    ),
    "a teacher's modality missing": (
        lambda: by_channel(Conv(), Student(), {"b": X["b"]}),
        r"data = 'a': must be one of 'b'",
    ),
    "top of more than there are": (
        lambda: by_channel(Conv(), Student(), IMAGES, layer="act").top(9),
        r"k = 9: must be at most 3",
    ),
    "features that do not fit": (
        lambda: closed_form(torch.zeros(5, 3), torch.zeros(2, 4), torch.zeros(5, 2)),
        r"features, weight, gap = .*must be \(..., N, d\)",
    ),
    "precision of worlds that differ": (
        lambda: top_k_precision(torch.rand(2, 3), torch.tensor([[True, False, False], [True, True, False]])),
        r"k = None: must be given, since the worlds have 1 to 2 true channels",
    ),
    "no weight at all": (lambda: Alignment(0, 0, 0), r"'all 0': must not all be 0"),
    "one network as both": (
        lambda: align(NET, NET, paired()),
        r"student = 'the teacher': must be a network of its own",
    ),
    "alignment of many labels": (
        lambda: align(Linear(), Student(), paired(Task.MULTI_LABEL)),
        r"data = 'multi-label': must be single-label data",
    ),
    "a rate that runs away": (
        lambda: align(Linear(d=3), Student(), paired(), Joint(epochs=50, batch_size=None, lr=1e30)),
        r"loss = (nan|inf): must stay finite.*Lower lr",
    ),
    "one world without its axis": (
        linear_worlds(a=(5, 3)),
        r"a = \(5, 3\): must be \(worlds, samples, columns\)",
    ),
    "labels of other classes": (
        linear_worlds(target=torch.full((2, 5), 2)),
        r"target = 'labels from 2 to 2': must lie between 0 and 1 \(2 classes\)",
    ),
    "too few seeds": (linear_worlds(seeds=[0]), r"seeds = \[0\]: must be 2, one per world"),
    "a rate of zero": (linear_worlds(lr=0.0), r"lr = 0.0: must be greater than 0"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name):
    attempt, message = CASES[name]
    with pytest.raises(LabError) as caught:
        attempt()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_a_rate_that_runs_away_is_refused_by_the_compiled_loop():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(1, 20, 3, generator=g), torch.randn(1, 20, 2, generator=g)
    with pytest.raises(LabError, match=r"lr = 1e\+25: makes the weights run away. Lower it"):
        align_linear(a, b, torch.arange(20).unsqueeze(0) % 2, seeds=[0], lr=1e25, steps=100)


def test_a_constant_label_is_no_reason_to_refuse():
    found = by_modality(
        NET, X, methods=("shapley", "perceptual_score"), labels=torch.zeros(6, dtype=torch.int64)
    )
    assert np.isfinite(found.overall.value).all()
    assert np.isfinite(
        by_modality(Mlp({"a": 3, "b": 2}), X, methods="permutation", target=1).overall.value
    ).all()


@pytest.mark.parametrize("how", ["no_grad", "detach", "round"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_a_modality_that_is_cut_off_from_the_gradient_is_refused_and_no_zero(how, method):
    message = r"data\['a'\] = 'no gradient': the logits depend on it, but no gradient flows.*Use ablation"
    with pytest.raises(LabError, match=message):
        by_modality(Cut(how), X, methods=method)
    with pytest.raises(LabError, match=message):
        within_modality(Cut(how), X, modality="a", method=method)
    one = {name: values[:1] for name, values in X.items()}
    if how != "round":
        with pytest.raises(LabError, match=message):
            by_modality(Cut(how), one, methods=method)
    assert (within_modality(Cut(how), X, modality="b", method=method).values != 0).all()


def test_an_embedding_that_is_cut_off_from_the_gradient_or_not_used_is_refused():
    class Frozen(Words):
        def __init__(self):
            super().__init__()
            self.spare = nn.Embedding(5, 2)

        def forward(self, x):
            with torch.no_grad():
                words = self.embedding(x["text"])
            return words.sum(1) + self.a(x["a"])

    x = {"text": torch.ones(6, 2, dtype=torch.int64), "a": X["b"]}
    for layer, message in (("embedding", "no gradient of the logits flows back"), ("spare", "must be used")):
        with pytest.raises(LabError, match=f"layer = 'Embedding': {message}"):
            within_modality(Frozen(), x, modality="text", layer=layer)


def test_a_batch_of_one_sample_is_refused_where_a_network_normalises_by_batch():
    def net():
        return nn.Sequential(Linear(d=3), nn.BatchNorm1d(2))

    with pytest.raises(
        LabError, match=r"batch_size = 5: leaves a batch of one sample.*Choose another, or None"
    ):
        align(net(), net(), paired(), Joint(batch_size=5, epochs=1))
    assert len(align(net(), net(), paired(), Joint(batch_size=4, epochs=1)).history) == 4
