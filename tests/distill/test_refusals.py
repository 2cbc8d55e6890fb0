"""What the floor refuses, by the name of the argument, in one table."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.task import Task
from mmkd_lab.distill import (
    KD,
    METHODS,
    Arm,
    CrossEntropy,
    Distance,
    Distillation,
    LearnedWeights,
    Msd,
    Outputs,
    ShiftFusion,
    TeacherOutputs,
    Weighting,
    calibration_error,
    check_arms,
    cross_entropy,
    kd_divergence,
    mix_teachers,
    msd_views,
    register_arm,
    register_method,
    reliability,
    saliency,
    soft_label_logits,
    trust,
    warn_unreliable,
    weigh,
)
from mmkd_lab.distill.losses.dkd import decoupled
from mmkd_lab.distill.losses.gram import ModalityGram, gram_relation
from mmkd_lab.distill.losses.hints import hint_loss
from mmkd_lab.distill.losses.rkd import RKD, distance_relation
from mmkd_lab.models import View, Zeros
from tests.distill.pairs import pairs, said

A, B, C, NONE = View.only("a"), View.only("b"), View.only("c"), View.only()
ONE, MANY, MAPS = Task.SINGLE_LABEL, Task.MULTI_LABEL, Task.DENSE
DATA = pairs()
TEACHER = said(DATA, [A, B])
INDEX = torch.arange(3)
Z, F5 = torch.zeros(2, 3), torch.zeros(5, 3)
CE, MSD = CrossEntropy(ONE), Msd((A, B), "kl", 1.0, ONE)
LABELS = torch.zeros(1, 2, dtype=torch.int64)
CUBE, SURE = torch.zeros(1, 2, 3), torch.tensor([[0.5, 0.5]])


def outputs(index=INDEX, logits=None, **more):
    return TeacherOutputs(index, torch.zeros(1, 3, 2) if logits is None else logits, **more)


def of(*identity):
    return replace(TEACHER, identity=Identity(*identity)).for_data(DATA)


def loss(*terms, removal=None):
    return Distillation(terms, removal)


def weighed(views=(A, B), weighting=None, **more):
    return weigh(TEACHER, views, weighting or Weighting(), data=DATA, **more)


def fusion(weak=("v",), **more):
    return ShiftFusion("t", weak, **{"features": 4, "num_outputs": 3, **more})


REFUSED = {
    # arms
    "arm unknown": (lambda: check_arms(["cm_kdd"]), ["arms = 'cm_kdd'", "Did you mean 'cm_kd'?"]),
    "arm elsewhere": (lambda: check_arms(["gram"], ONE, ["kd", "no_kd"]), ["arms = 'gram'", "'no_kd'"]),
    "no arms": (lambda: check_arms([]), ["arms = []", "at least one"]),
    "arms of text": (lambda: check_arms("no_kd"), ["arms = 'no_kd'", "list"]),
    "an arm twice": (lambda: check_arms(["no_kd", "no_kd"]), ["must not name an arm twice"]),
    "an arm for one label": (lambda: check_arms(["dkd"], MANY), ["arms = 'dkd'", "multi-label"]),
    "an arm that cannot be": (lambda: check_arms(["kd"], cannot={"kd": "it is small"}), ["it is small"]),
    "arms alike": (lambda: check_arms(["mm_kd", "kd"]), ["arms = 'kd'", "trains exactly as 'mm_kd'"]),
    "an arm of the lab": (lambda: register_arm(Arm("kd", "", "", "", None, ())), ["'kd'", "the lab's own"]),
    # methods
    "no such method": (lambda: METHODS["hint"], ["method = 'hint'", "Did you mean 'hints'?"]),
    "a class of another kind": (lambda: register_method("x")(int), ["dataclass derived from Method"]),
    "kd temperature": (lambda: KD(temperature=0.0), ["temperature = 0.0", "above 0"]),
    "kd convention": (lambda: KD(convention="mean"), ["convention = 'mean'", "'released'"]),
    "rkd nothing": (lambda: RKD(distance=0.0, angle=0), ["both 0"]),
    "gram one row": (lambda: ModalityGram((A,), full=False), ["views = ['a']", "two rows"]),
    "msd no views": (lambda: Msd(()), ["views = []", "at least one"]),
    "msd temperature": (lambda: Msd((A,), "kl", 0.0, ONE), ["temperature = 0.0"]),
    "msd stray view": (lambda: Msd((A,), "kl", {B: 2.0}), ["temperature = 'b'", "one of ['a']"]),
    "msd named twice": (lambda: Msd((A,), "kl", {"a": 2.0, A: 1.0}), ["temperature = 'a'", "once"]),
    "msd weighting": (lambda: Msd((A,), weighting="best"), ["weighting = 'best'"]),
    "msd by instance": (lambda: Msd((A,), "dist", weighting=LearnedWeights("instance")), ["whole batches"]),
    # losses
    "a pair alone": (lambda: Distillation((1.0, MSD)), ["terms = 1.0", "pairs (weight, method)"]),
    "a method alone": (lambda: Distillation(MSD), ["terms = Msd(", "sequence of pairs"]),
    "nothing": (lambda: loss(), ["terms = []"]),
    "one weight below 0": (lambda: loss((torch.tensor([1.0, -1.0]), CE)), ["weight of ce = -1"]),
    "weights of 0": (lambda: loss((0.0, CE)), ["weights of 0", "nothing is learnt"]),
    "replicas": (lambda: loss((torch.ones(2), CE), (torch.ones(3), CE)), ["terms = [2, 3]", "replicas"]),
    "unbound": (lambda: loss((1.0, KD(1.0, "kl"))), ["KD.task = None", "must be given, or bound"]),
    "tasks": (lambda: loss((1.0, CE), (1.0, KD(1.0, "kl", MANY))), ["multi-label", "one task"]),
    "no removal": (lambda: loss((1.0, MSD)), ["removal = None: must be given"]),
    "a removal's name": (lambda: loss((1.0, MSD), removal="zeros"), ["removal = 'zeros'"]),
    "no teacher": (
        lambda: loss((1.0, MSD), removal=Zeros())(Outputs(Z[None]), LABELS, None, {}),
        ["teacher = None"],
    ),
    "one of one": (lambda: loss((torch.ones(2), CE))[2], ["r = 2"]),
    "target by shape": (lambda: cross_entropy(CUBE, LABELS[0]), ["target = (2,)", "(1, 2)"]),
    "target by type": (lambda: cross_entropy(CUBE, LABELS.float()), ["torch.float32", "int64"]),
    "labels out of range": (lambda: cross_entropy(CUBE, LABELS - 1), ["-1 to -1", "0 to 2, or -100"]),
    "logits by shape": (lambda: cross_entropy(Z, LABELS), ["logits = (2, 3)", "(R, B, K)"]),
    # two sides
    "classes differ": (lambda: kd_divergence(Z, torch.zeros(2, 4)), ["teacher = (2, 4)", "(2, 3)"]),
    "one class": (lambda: kd_divergence(Z[:, :1], Z[:, :1]), ["(2, 1)", "two classes"]),
    "no maps": (lambda: kd_divergence(Z, Z, task=MAPS), ["student = (2, 3)", "(..., B, K, H, W)"]),
    "no tensor": (lambda: kd_divergence(None, Z), ["student = None"]),
    "weights": (lambda: Distance()(Z, Z, weights=torch.ones(3)), ["weights = (3,)", "(2,)"]),
    "dkd target": (lambda: decoupled(Z, Z, Z), ["target = ", "single label"]),
    "hints": (lambda: hint_loss(F5, torch.zeros(5, 4)), ["teacher = (5, 4)"]),
    "samples": (lambda: distance_relation(F5, torch.zeros(4, 3)), ["teacher = (4, 3)"]),
    "features of ids": (lambda: distance_relation(F5.long(), F5), ["student = ", "torch.int64"]),
    "views differ": (lambda: gram_relation(CUBE, torch.zeros(1, 3, 3)), ["teacher = (1, 3, 3)"]),
    "view unknown": (lambda: Outputs(Z, {A: Z}).under(B), ["view = 'b'", "at hand: 'a'"]),
    "layer unknown": (lambda: Outputs(Z, features={"conv": Z}).at(), ["layer = 'head input'", "'conv'"]),
    # teachers
    "index twice": (lambda: outputs(torch.tensor([1, 1, 2])), ["index", "twice"]),
    "index of none": (lambda: outputs(INDEX[:0]), ["index", "at least one sample"]),
    "rows": (lambda: outputs(logits=torch.zeros(1, 2, 2)), ["logits", "(1, 2, 2)", "(R, 3, K)"]),
    "infinite": (lambda: outputs(logits=torch.full((1, 3, 2), torch.nan)), ["logits", "NaN", "finite"]),
    "view of others": (lambda: outputs(views={A: torch.zeros(1, 3, 3)}), ["views[a] = (1, 3, 3)"]),
    "view by name": (lambda: outputs(views={"a": torch.zeros(1, 3, 2)}), ["views[a] = 'a'", "a View"]),
    "features": (lambda: outputs(features={"x": torch.zeros(1, 2, 5)}), ["features[x]", "begin with"]),
    "weights below 0": (lambda: outputs(weights={A: -torch.ones(1, 3)}), ["weights[a] = -1.0"]),
    "unknown sample": (lambda: outputs().rows(torch.tensor([1, 50])), ["1 unknown, first 50"]),
    "rows by shape": (lambda: outputs().rows(torch.zeros(3, 4).long()), ["(3, 4)", "(B,) or (1, B)"]),
    "teacher unknown": (lambda: TEACHER[2], ["r = 2: must be a teacher"]),
    "only unknown": (lambda: TEACHER.only(views=[NONE]), ["views = 'nothing'", "'a' or 'b'"]),
    "stack of none": (lambda: TeacherOutputs.stack([]), ["several = []"]),
    "stack of unequal": (
        lambda: TeacherOutputs.stack([outputs(), outputs(removal="mean")]),
        ["several", "removal mean", "removal zeros"],
    ),
    "other data": (lambda: of(DATA.classes, ("a",), "0123"), ["teacher = '0123'", "pairs"]),
    "other classes": (lambda: of(("x", "y", "z"), ("a",), DATA.fingerprint), ["('x', 'y', 'z')", "class 0"]),
    "other count": (lambda: outputs().for_data(DATA), ["'2 classes'", "3"]),
    "strangers": (lambda: outputs().targets(DATA), ["teacher = '3 samples'", "pairs"]),
    # views, saliency and weights
    "one modality": (lambda: msd_views(["a"]), ["modalities = ['a']", "two distinct"]),
    "delta": (lambda: saliency(TEACHER, "ab", delta="l2"), ["delta = 'l2'"]),
    "view missing": (lambda: saliency(TEACHER, "ab", credit="only"), ["must know the view 'nothing'"]),
    "labels missing": (lambda: saliency(TEACHER, "ab", delta="loss"), ["data = None", "needs its labels"]),
    "kappa": (lambda: Weighting("softmax", kappa=0.0), ["kappa = 0.0"]),
    "fixed of none": (lambda: Weighting("fixed"), ["fixed = {}", "scheme='fixed'"]),
    "fixed elsewhere": (lambda: Weighting("tanh", fixed={"a": 1.0}), ["fixed", "only there"]),
    "fixed all 0": (lambda: Weighting("fixed", fixed={"a": 0.0}), ["fixed", "not all be 0"]),
    "fixed others": (lambda: weighed(weighting=Weighting("fixed", fixed={"a": 1.0})), ["['a', 'b']"]),
    "weigh nothing": (lambda: weighed([]), ["views = []"]),
    "weigh twice": (lambda: weighed([A, A]), ["views = ['a', 'a']", "once"]),
    "weigh no modality": (lambda: weighed([NONE, A], Weighting("normalised")), ["'nothing'", "a modality"]),
    "gate of strangers": (lambda: weighed([A], gate={C: torch.ones(2)}), ["gate = 'c'"]),
    "gate above 1": (lambda: weighed(gate={A: torch.tensor([2.0, 1.0])}), ["gate = [2.0, 1.0]", "[0, 1]"]),
    "weigh strangers": (lambda: weigh(outputs(), [A], Weighting(), data=DATA), ["'3 samples'", "training"]),
    # reliability
    "no table": (lambda: warn_unreliable({"view": ["a"]}), ["table = ", "must be what reliability"]),
    "split": (lambda: reliability(TEACHER, DATA, split="dev"), ["split = 'dev'"]),
    "calibration of NaN": (
        lambda: calibration_error(CUBE * torch.nan, INDEX[:2]),
        ["logits = 'NaN or infinite values'", "finite"],
    ),
    "too many labels": (lambda: calibration_error(CUBE, INDEX), ["target = (3,)", "labels of 2 samples"]),
    "no label": (
        lambda: calibration_error(torch.zeros(1, 2, 3, 2, 2), torch.full((2, 2, 2), -1), task=MAPS),
        ["target = (0,)", "at least one"],
    ),
    # several teachers
    "no teachers": (lambda: mix_teachers([]), ["teachers = []", "at least one"]),
    "unequal teachers": (lambda: mix_teachers([Z, torch.zeros(2, 4)]), ["teacher = (2, 4)", "(2, 3)"]),
    "weights of teachers": (lambda: mix_teachers([Z, Z], weights=[1.0]), ["weights = (1,)", "(2,)"]),
    "weight of a teacher": (lambda: mix_teachers([Z, Z], weights=[1.0, -1.0]), ["weights = [1.0, -1.0]"]),
    "no weight": (lambda: mix_teachers([Z, Z], weights=[0.0, 0.0]), ["every teacher"]),
    "trust": (lambda: trust([Z, Z], by="fame"), ["by = 'fame'", "'entropy'"]),
    "trust without labels": (lambda: trust([Z, Z], by="label"), ["target = None"]),
    "trust of one": (lambda: trust([Z], by="label", target=LABELS[0]), ["teachers = '1 teacher'"]),
    "trust of maps": (lambda: trust([Z, Z], task=MAPS), ["task = "]),
    "sums": (lambda: soft_label_logits(torch.tensor([[0.5, 0.6]])), ["0.1", "sum to 1"]),
    "floor": (lambda: soft_label_logits(SURE, floor=0.0), ["floor = 0.0"]),
    # fusion
    "fusion of none": (lambda: fusion([]), ["weak = ()"]),
    "fusion of itself": (lambda: fusion(["t"]), ["weak = ('t',)", "'t'", "once"]),
    "heads": (lambda: fusion(heads=3), ["heads = 3", "divide"]),
    "embedding": (lambda: fusion()({"t": Z}), ["x = {'t': (2, 3)}", "(batch, 4)"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_named(name):
    call, words = REFUSED[name]
    with pytest.raises(LabError) as raised:
        call()
    for word in words:
        assert word in str(raised.value)
