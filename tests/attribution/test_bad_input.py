"""Every wrong argument is refused with its name, its value, the rule and the way out."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import (
    Ablation,
    Alignment,
    IntegratedGradients,
    Intervals,
    Joint,
    Occlusion,
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
from tests.attribution.tiny import Additive, Conv, Linear, Product, Student, Words, draw

X = draw(n=6, a=(3,), b=(2,))
NET = Additive()
IMAGES = draw(n=6, a=(1, 4, 4), b=(2,))
TOKENS = {"text": torch.ones(6, 2, dtype=torch.int64), "a": X["b"]}
LABELS = torch.zeros(6, dtype=torch.int64)
ONE = {name: values[:1] for name, values in X.items()}
UNFIT = {**X, "a": X["a"].clone().index_fill_(0, torch.tensor([2]), torch.nan)}


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


def says(z):
    return asks(lambda _: z)


def maps(net=NET, x=X, modality="a", **settings):
    return lambda: within_modality(net, x, modality=modality, **settings)


def ablates(**settings):
    return lambda: maps(method=Ablation(**settings))()


def channels(teacher=None, student=None, x=IMAGES, **settings):
    return lambda: by_channel(teacher or Conv("mlp"), student or Student(), x, **settings)


def paired(task=Task.SINGLE_LABEL, classes=("x", "y")):
    maps = torch.arange(24).reshape(6, 2, 2) % 2
    target = {Task.SINGLE_LABEL: torch.arange(6) % 2, Task.DENSE: maps}.get(task, torch.rand(6, 2))
    return PairedData("tiny", X, target, {"train": torch.arange(6)}, classes, task=task)


def linear_worlds(a=(2, 5, 3), b=(2, 5, 2), target=None, **settings):
    labels = torch.zeros(2, 5, dtype=torch.int64) if target is None else target
    return lambda: align_linear(np.zeros(a), np.zeros(b), labels, **{"seeds": [0, 1], **settings})


def columns(x):
    return torch.stack([x["a"].sum(1), 2.0 * x["b"]], dim=1)


CASES = [
    (asks(methods="shaply"), r"methods = 'shaply'.*Did you mean 'shapley'"),
    (asks(methods=["shapley", "shapley"]), r"methods = .*at least one method, and none twice"),
    (asks(output="logits"), r"output = 'logits'.*'logit'"),
    (asks(target="true"), r"target = 'true': must be one of 'predicted' or 'label'"),
    (asks(target=2), r"target = '2': must lie between 0 and 1 \(2 logits\)"),
    (asks(target=LABELS[:5]), r"target = .*\(5,\).*must be \(6,\) int64"),
    (asks(target="label"), r"labels = None: must be given when target='label'"),
    (asks(methods="perceptual_score"), r"labels = None.*perceptual score"),
    (asks(methods="perceptual_score", labels=LABELS + 9), r"labels = '9': must lie between 0 and 1"),
    (
        asks(intervals=Intervals(subjects=torch.arange(5))),
        r"subjects = 'torch.int64 \(5,\)'.*must be \(6,\) int64",
    ),
    (asks(removal="zero"), r"removal = 'zero'.*Did you mean 'zeros'"),
    (asks(removal="mean"), r"data = None: the removal 'mean' needs the dataset"),
    (
        asks(methods="integrated_gradients", removal="permutation"),
        r"'permutation': gives no fixed value.*'mean'",
    ),
    (
        asks(Words(), TOKENS, methods="gradient_x_input"),
        r"data\['text'\] = torch.int64: whole .*layer=<embedding>",
    ),
    (asks(x=UNFIT), r"data\['a'\] = 'NaN or infinite values': must be finite"),
    (asks(x={"a": X["a"], "b": X["b"][:4]}), r"data\['b'\] = \(4, 2\): must hold 6 rows"),
    (asks(x={}), r"data = \{\}: must hold at least one modality"),
    (asks(x=[1, 2]), r"data = 'list': must be a PairedData or \{modality: tensor\}"),
    (asks(x={"a": np.zeros((3, 2))}), r"data\['a'\] = 'ndarray': must be a tensor"),
    (asks(x=paired(), split="tset"), r"split = 'tset'"),
    (asks(x=paired(classes=("all", "none")), split="train"), r"classes = 'all'.*Rename"),
    (asks(Student(), {"a": X["a"]}), r"data = \['a'\]: must hold 'b', which the network reads"),
    (asks(x=ONE, methods="permutation"), r"data = '1 sample': must hold at least 2 samples to permute"),
    (asks(x=ONE, removal="permutation"), r"data = '1 sample': must hold at least 2 samples to permute"),
    (
        asks(Product(), draw(n=2, **{f"m{i}": (1,) for i in range(13)})),
        r"'13 modalities': must hold at most 12",
    ),
    (says(torch.zeros(1, 2)), r"net\(x\) = \(1, 2\): must be logits \(6, classes\).*Wrap the network"),
    (says(torch.full((6, 2), torch.nan)), r"net\(x\) = 'NaN or infinite values'"),
    (
        asks(Additive(classes=3), paired(), target=2, split="train"),
        r"target = 2: has no name: the data have 2",
    ),
    (asks(Additive(classes=1), output="probability"), r"'probability': is the same for every input.*'logit'"),
    (
        asks(Additive(classes=1), methods="perceptual_score", labels=LABELS),
        r"\(6, 1\): one logit has no accuracy",
    ),
    (asks(Reads(2)), r"net.modalities = 2: must be the modalities it reads, by name"),
    (asks(Reads(())), r"net.modalities = \(\): must be the modalities it reads"),
    (asks(removal="attention"), r"removal = 'attention': leaves .* this Additive does not say .*Use 'zeros'"),
    (asks(methods="ablation", removal=Learned()), r"removal = 'learned': leaves .* Additive does not say"),
    (asks(3), r"net = 3: must be a network"),
    (lambda: Intervals("boot"), r"kind = 'boot'.*'t' or 'bootstrap'"),
    (lambda: Intervals(level=1.0), r"level = 1.0: must be at most 0.9999"),
    (asks(methods="permutation", draws=0), r"draws = 0: must be a whole number of at least 1"),
    (lambda: IntegratedGradients(nodes="simpson"), r"nodes = 'simpson': must be one of 'graded'"),
    (lambda: IntegratedGradients(1, "riemann_trapezoid"), r"steps = 1: must be .*at least 2"),
    (asks(methods=IntegratedGradients(layer="a")), r"layer = 'a': belongs to within_modality"),
    (asks(methods=[Ablation(2)]), r"methods = Ablation.*: must be one of 'shapley'"),
    (asks(batch_size=0), r"batch_size = 0"),
    (maps(modality="c"), r"modality = 'c': must be one of 'a' or 'b'"),
    (maps(method="lime"), r"method = 'lime'"),
    (maps(method=3), r"method = '3': must be one of 'integrated_gradients'"),
    (lambda: Ablation(layer="a"), r"layer = 'a': is no field of Ablation: 'patch' or 'regions'"),
    (lambda: Occlusion(patch=0), r"patch = 0: must be at least 1"),
    (
        maps(columns, {**X, "b": X["b"][:, 0]}, "b", method="ablation"),
        r"data\['b'\] = \(6,\): one number a sample",
    ),
    (maps(Conv(), IMAGES, method=Occlusion(2, stride=3)), r"stride = 3: must leave no cell between"),
    (ablates(patch=(1, 1)), r"patch = \(1, 1\): must have 1 to 1 sides"),
    (ablates(regions=LABELS[:4]), r"regions = \(4,\): must have a sample's shape \(3,\)"),
    (ablates(regions=torch.tensor([0, -4, 1])), r"regions = -4: must not be negative"),
    (ablates(regions=LABELS[:3], patch=1), r"patch = 1: must not be given together with regions"),
    (maps(Words(), TOKENS, "text"), r"data\['text'\] = torch.int64: whole numbers have no gradient"),
    (
        maps(Words(), TOKENS, "text", method=IntegratedGradients(layer="a")),
        r"layer = \(.*\): its output must be one vector per token",
    ),
    (lambda: maps()().by_region(), r"regions = None: must be given"),
    (lambda: ablates()().by_region(LABELS[:3]), r"an ablation has values for its own regions only"),
    (lambda: feature_masks(X, {"c": LABELS[:3]}), r"regions = 'c': must name modalities out of 'a' or 'b'"),
    (lambda: grid((), 1), r"shape = \(\): must have at least one axis"),
    (channels(layer="convs"), r"layer = 'convs': is no layer of this Conv. It has 'act', 'conv'.*'head'"),
    (channels(layer="act", side="both"), r"side = 'both'.*'output' or 'input'"),
    (
        channels(layer="act", method="closed_form"),
        r"needs a linear head right after 'act'; .* are Conv2d, ReLU",
    ),
    (
        channels(nn.Sequential(Linear(), nn.Softmax(1)), x=draw(6, a=(4,), b=(2,))),
        r"has no linear head to start",
    ),
    (channels(Conv(), method="closed_form", distance="kl"), r"distance = 'kl': .* 'mse' alone.*Use method="),
    (
        channels(Additive(classes=1), Student(classes=1), X, layer="a", distance="kl"),
        r"'kl': is 0 between any two",
    ),
    (channels(distance="l2"), r"distance = 'l2'"),
    (channels(method="exact"), r"method = 'exact'"),
    (channels(x={k: v[:1] for k, v in IMAGES.items()}), r"data = '1 sample': must hold at least 2"),
    (channels(student=Student(classes=3)), r"student = \(6, 3\): must give logits \(6, 2\)"),
    (channels(lambda x: x["b"]), r"teacher = 'function': has no layers; give an nn.Module"),
    (channels(layer="act", axis=0), r"axis = 0: must be an axis of \(6, 3, 4, 4\) other than 0"),
    (channels(permutations=-3), r"permutations = -3: must be a whole number"),
    (
        channels(layer="act", permutations=LABELS[None]),
        r"permutations = 'rows': each row must hold every number",
    ),
    (
        channels(Twice(), x=X, layer="same"),
        r"layer = 'same': must be used once; this network uses it 2 times",
    ),
    (channels(Twice(), x=X, layer="rnn"), r"layer = 'rnn': must pass one tensor \(samples, .*, not tuple"),
    (channels(x={"b": X["b"]}), r"data = \['b'\]: must hold 'a', which the network reads"),
    (lambda: channels(layer="act")().top(9), r"k = 9: must be at most 3"),
    (lambda: closed_form(*(torch.zeros(s) for s in ((5, 3), (2, 4), (5, 2)))), r"must be \(..., N, d\)"),
    (
        lambda: top_k_precision(torch.rand(2, 2), torch.eye(2).cumsum(1) > 0),
        r"k = None: must be given, .* 1 to 2",
    ),
    (lambda: Alignment(0, 0, 0), r"'all 0': must not all be 0"),
    (lambda: align(NET, NET, paired()), r"student = 'the teacher': must be a network of its own"),
    (
        lambda: align(Linear(3), Student(), paired(), joint=Joint(50, None, 1e30)),
        r"loss = (nan|inf): must stay finite",
    ),
    (linear_worlds(a=(5, 3)), r"a = \(5, 3\): must be \(worlds, samples, columns\)"),
    (linear_worlds(target=torch.full((2, 5), 2)), r"'labels from 2 to 2': must lie between 0 and 1"),
    (linear_worlds(target=np.full((2, 5), 0.5)), r"target = dtype\('float64'\).*must hold class numbers"),
    (linear_worlds(seeds=[0]), r"seeds = \[0\]: must be 2, one per world"),
    (linear_worlds(lr=0.0), r"lr = 0.0: must be above 0"),
]


@pytest.mark.parametrize(("attempt", "message"), CASES, ids=[str(i) for i in range(len(CASES))])
def test_refused(attempt, message):
    with pytest.raises(LabError) as caught:
        attempt()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_a_rate_that_runs_away_is_refused_by_the_compiled_loop():
    a, b = draw(1, a=(20, 3), b=(20, 2)).values()
    with pytest.raises(LabError, match=r"lr = 1e\+25: makes the weights run away. Lower it"):
        align_linear(a, b, torch.arange(20).unsqueeze(0) % 2, seeds=[0], lr=1e25, steps=100)


@pytest.mark.parametrize("how", ["no_grad", "detach", "round"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_a_modality_that_is_cut_off_from_the_gradient_is_refused_and_no_zero(how, method):
    attempts = [asks(Cut(how), methods=method), maps(Cut(how), method=method)]
    for attempt in attempts + ([] if how == "round" else [asks(Cut(how), ONE, methods=method)]):
        with pytest.raises(LabError, match=r"data\['a'\] = 'no gradient': the logits depend .*Use ablation"):
            attempt()
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

    for layer in ("embedding", "spare"):
        with pytest.raises(LabError, match="layer = 'Embedding': must be used, and a gradient"):
            within_modality(Frozen(), TOKENS, modality="text", method=IntegratedGradients(layer=layer))


def test_a_batch_of_one_sample_is_refused_where_a_network_normalises_by_batch():
    def nets():
        return [nn.Sequential(Linear(d=3), nn.BatchNorm1d(2)) for _ in range(2)]

    with pytest.raises(
        LabError, match=r"batch_size = 5: leaves a batch of one sample.*Choose another, or None"
    ):
        align(*nets(), paired(), joint=Joint(batch_size=5, epochs=1))
    assert len(align(*nets(), paired(), joint=Joint(batch_size=4, epochs=1)).history) == 4
