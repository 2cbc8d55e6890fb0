"""What the floor refuses, by the name of the argument, in one table."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.task import Task
from mmkd_lab.distill import (
    ARMS,
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
    Term,
    Weighting,
    check_arms,
    cross_entropy,
    kd_divergence,
    mix_teachers,
    msd_views,
    needed_views,
    register_arm,
    register_method,
    require_distinct,
    saliency,
    soft_label_logits,
    trust,
    weigh,
)
from mmkd_lab.distill.losses.dkd import DKD, decoupled
from mmkd_lab.distill.losses.gram import ModalityGram, gram_relation
from mmkd_lab.distill.losses.hints import Hints, hint_loss
from mmkd_lab.distill.losses.rkd import RKD, distance_relation
from mmkd_lab.distill.losses.telme import Telme
from mmkd_lab.distill.operands import regress, regressor
from mmkd_lab.models import View, Zeros
from tests.distill.pairs import pairs, said

A, B = View.only("a"), View.only("b")
ONE, MANY = Task.SINGLE_LABEL, Task.MULTI_LABEL
DATA = pairs()
TEACHER = said(DATA, [A, B])
INDEX = torch.arange(3)
Z, F5 = torch.zeros(2, 3), torch.zeros(5, 3)
MSD = Msd((A, B), "kl", 1.0, ONE)
LABELS = torch.zeros(1, 2, dtype=torch.int64)


def outputs(index=INDEX, logits=None, **more):
    return TeacherOutputs(index, torch.zeros(1, 3, 2) if logits is None else logits, **more)


def of(identity):
    return replace(TEACHER, identity=identity).for_data(DATA)


def loss(*terms, removal=None):
    return Distillation(terms, removal)


def fixed(**weights):
    return weigh(TEACHER, [A, B], Weighting("fixed", fixed=weights), data=DATA)


REFUSED = {
    # arms
    "arm unknown": (lambda: check_arms(["cm_kdd"]), ["arms = 'cm_kdd'", "Did you mean 'cm_kd'?"]),
    "arm elsewhere": (lambda: check_arms(["gram"], ONE, ["kd", "no_kd"]), ["arms = 'gram'", "'no_kd'"]),
    "no arms": (lambda: check_arms([]), ["arms = []", "at least one"]),
    "arms of text": (lambda: check_arms("no_kd"), ["arms = 'no_kd'", "list"]),
    "an arm twice": (lambda: check_arms(["no_kd", "no_kd"]), ["must not name an arm twice"]),
    "an arm for one label": (lambda: check_arms(["dkd"], MANY), ["arms = 'dkd'", "multi-label"]),
    "an arm that cannot be": (
        lambda: check_arms(["pruned"], cannot={"pruned": "it is small"}),
        ["arms = 'pruned'", "cannot be had here: it is small"],
    ),
    "arms alike": (lambda: check_arms(["mm_kd", "kd"]), ["arms = 'kd'", "trains exactly as 'mm_kd'"]),
    "your arm like ours": (
        lambda: require_distinct([ARMS["no_kd"], replace(ARMS["no_kd"], name="mine", label="mine")]),
        ["arms = 'mine'", "'no_kd'"],
    ),
    "an arm of the lab": (
        lambda: register_arm(Arm("kd", "", "", "", None, (Term("ce"),))),
        ["arm = 'kd'", "the lab's own"],
    ),
    "no such arm": (lambda: ARMS["kdd"], ["arm = 'kdd'"]),
    # methods
    "no such method": (lambda: METHODS["hint"], ["method = 'hint'", "Did you mean 'hints'?"]),
    "a class of another kind": (
        lambda: register_method("x")(int),
        ["method = ", "dataclass derived from Method"],
    ),
    "a field unknown": (lambda: Hints(layer="conv"), ["layer = 'conv'", "student_layer"]),
    "kd temperature": (lambda: KD(temperature=0.0), ["temperature = 0.0", "greater than 0"]),
    "kd convention": (lambda: KD(convention="mean"), ["convention = 'mean'", "'released'"]),
    "dkd weight": (lambda: DKD(target_weight=-1.0), ["target_weight = -1.0"]),
    "dkd nan": (lambda: DKD(other_weight=float("nan")), ["other_weight = nan"]),
    "rkd weight": (lambda: RKD(angle=float("inf")), ["angle = inf"]),
    "rkd nothing": (lambda: RKD(distance=0.0, angle=0), ["both 0"]),
    "telme temperature": (lambda: Telme(feature_temperature=0.0), ["feature_temperature = 0.0"]),
    "gram one row": (lambda: ModalityGram((A,), full=False), ["views = ['a']", "two rows"]),
    "gram twice": (lambda: ModalityGram((A, A)), ["views = ['a', 'a']", "each once"]),
    "gram of maps": (lambda: ModalityGram((A,), of="maps"), ["of = 'maps'", "'logits'"]),
    "msd no views": (lambda: Msd(()), ["views = []", "at least one"]),
    "msd no view": (lambda: Msd(views=("a",)), ["views", "'a'", "View"]),
    "msd twice": (lambda: Msd((A, A)), ["views = ['a', 'a']"]),
    "msd distance": (lambda: Msd((A,), distance="l1"), ["distance = 'l1'"]),
    "msd temperature": (lambda: Msd((A,), "kl", 0.0, ONE), ["temperature = 0.0"]),
    "msd stray view": (lambda: Msd((A,), "kl", {B: 2.0}), ["temperature = 'b'", "one of ['a']"]),
    "msd stray label": (lambda: Msd((A,), "kl", {"b": 2.0}), ["temperature = 'b'", "one of ['a']"]),
    "msd named twice": (lambda: Msd((A,), "kl", {"a": 2.0, A: 1.0}), ["temperature = 'a'", "once"]),
    "msd weighting": (lambda: Msd((A,), weighting="best"), ["weighting = 'best'"]),
    "msd by instance": (
        lambda: Msd((A,), "dist", weighting=LearnedWeights("instance")),
        ["distance = 'dist'", "compares whole batches"],
    ),
    "learned level": (lambda: LearnedWeights(level="sample"), ["level = 'sample'"]),
    "learned every": (lambda: LearnedWeights(every=0), ["every = 0"]),
    "learned rate": (lambda: LearnedWeights(rate=0.0), ["rate = 0.0"]),
    # losses
    "a pair alone": (lambda: Distillation((1.0, MSD)), ["terms = 1.0", "pairs (weight, method)"]),
    "a method alone": (lambda: Distillation(MSD), ["terms = Msd(", "sequence of pairs"]),
    "no method": (lambda: loss((1.0, 2.0)), ["terms = 2.0"]),
    "nothing": (lambda: loss(), ["terms = []"]),
    "weight below 0": (lambda: loss((-1.0, CrossEntropy(ONE))), ["weight of ce = -1"]),
    "weight of text": (lambda: loss(("1", CrossEntropy(ONE))), ["weight of ce = '1'"]),
    "one weight below 0": (
        lambda: loss((torch.tensor([1.0, -1.0]), CrossEntropy(ONE))),
        ["ce = [1.0, -1.0]"],
    ),
    "weights of 0": (lambda: loss((0.0, CrossEntropy(ONE))), ["weights of 0", "nothing is learnt"]),
    "replicas": (
        lambda: loss((torch.ones(2), CrossEntropy(ONE)), (torch.ones(3), KD(1.0, "kl", ONE))),
        ["terms = [2, 3]"],
    ),
    "not bound": (lambda: loss((1.0, KD(2.0, task=ONE))), ["KD.convention = None", "bound"]),
    "tasks": (
        lambda: loss((1.0, CrossEntropy(ONE)), (1.0, KD(1.0, "kl", MANY))),
        ["multi-label", "one task"],
    ),
    "no removal": (lambda: loss((1.0, MSD)), ["removal = None: must be given"]),
    "a removal's name": (lambda: loss((1.0, MSD), removal="zeros"), ["removal = 'zeros'"]),
    "no teacher": (
        lambda: loss((1.0, MSD), removal=Zeros())(Outputs(Z[None]), LABELS, None, {}),
        ["teacher = None"],
    ),
    "one of one": (lambda: loss((torch.ones(2), CrossEntropy(ONE)))[2], ["r = 2"]),
    "target by shape": (lambda: cross_entropy(torch.zeros(1, 2, 3), LABELS[0]), ["target = (2,)", "(1, 2)"]),
    "target by type": (
        lambda: cross_entropy(torch.zeros(1, 2, 3), LABELS.float()),
        ["torch.float32", "int64"],
    ),
    "logits by shape": (lambda: cross_entropy(torch.zeros(2, 3), LABELS), ["logits = (2, 3)", "(R, B, K)"]),
    # two sides
    "classes differ": (lambda: kd_divergence(Z, torch.zeros(2, 4)), ["teacher = (2, 4)", "(2, 3)"]),
    "no axes": (lambda: kd_divergence(Z[0], Z[0]), ["student = (3,)", "(..., B, K)"]),
    "one class": (lambda: kd_divergence(Z[:, :1], Z[:, :1]), ["(2, 1)", "two classes"]),
    "no sample": (lambda: kd_divergence(Z[:0], Z[:0]), ["(0, 3)", "one sample"]),
    "no maps": (lambda: kd_divergence(Z, Z, task=Task.DENSE), ["student = (2, 3)", "(..., B, K, H, W)"]),
    "no tensor": (lambda: kd_divergence(None, Z), ["student = None"]),
    "temperature": (lambda: kd_divergence(Z, Z, temperature=0.0), ["temperature = 0.0"]),
    "convention": (lambda: kd_divergence(Z, Z, convention="batchmean"), ["convention = 'batchmean'"]),
    "distance": (lambda: Distance(kind="cosine"), ["kind = 'cosine'", "'dist'"]),
    "weights": (lambda: Distance()(Z, Z, weights=torch.ones(3)), ["weights = (3,)", "(2,)"]),
    "dkd target": (lambda: decoupled(Z, Z, Z), ["target = ", "single label"]),
    "hints": (lambda: hint_loss(F5, torch.zeros(5, 4)), ["teacher = (5, 4)", "regress()"]),
    "samples": (lambda: distance_relation(F5, torch.zeros(4, 3)), ["teacher = (4, 3)"]),
    "features of ids": (lambda: distance_relation(F5.long(), F5), ["student = ", "torch.int64"]),
    "no map": (lambda: regress(F5[None], {}), ["parameters = []", "'weight'"]),
    "another map": (
        lambda: regress(F5[None], regressor(4, 2, seeds=[0], purpose="p")),
        ["(1, 5, 3)", "(1, B, 4)"],
    ),
    "views differ": (
        lambda: gram_relation(torch.zeros(2, 2, 3), torch.zeros(2, 3, 3)),
        ["teacher = (2, 3, 3)"],
    ),
    "view unknown": (lambda: Outputs(Z, {A: Z}).under(B), ["view = 'b'", "at hand: 'a'"]),
    "layer unknown": (lambda: Outputs(Z, features={"conv": Z}).at(), ["layer = 'head input'", "'conv'"]),
    "features unknown": (lambda: Outputs(Z).features_under(A), ["view of features = 'a'", "(none)"]),
    # teachers
    "index twice": (lambda: outputs(torch.tensor([1, 1, 2])), ["index", "twice"]),
    "index of floats": (lambda: outputs(torch.tensor([1.0, 2.0])), ["index", "float32", "int64"]),
    "index of none": (lambda: outputs(INDEX[:0]), ["index", "at least one sample"]),
    "rows": (lambda: outputs(logits=torch.zeros(1, 2, 2)), ["logits", "(1, 2, 2)", "(R, 3, K)"]),
    "whole logits": (lambda: outputs(logits=torch.zeros(1, 3, 2).long()), ["logits", "int64", "floating"]),
    "infinite": (lambda: outputs(logits=torch.full((1, 3, 2), torch.nan)), ["logits", "NaN", "finite"]),
    "infinite view": (lambda: outputs(views={A: torch.full((1, 3, 2), torch.inf)}), ["views[a]", "infinite"]),
    "view of others": (
        lambda: outputs(views={A: torch.zeros(1, 3, 3)}),
        ["views[a] = (1, 3, 3)", "(1, 3, 2)"],
    ),
    "view by name": (lambda: outputs(views={"a": torch.zeros(1, 3, 2)}), ["views[a] = 'a'", "a View"]),
    "features": (
        lambda: outputs(features={"x": torch.zeros(1, 2, 5)}),
        ["features[x] = (1, 2, 5)", "begin with"],
    ),
    "weights below 0": (lambda: outputs(weights={A: -torch.ones(1, 3)}), ["weights[a] = -1.0"]),
    "weights by shape": (lambda: TEACHER.weighted({A: torch.ones(1, 3)}), ["weights[a] = (1, 3)", "(1, 60)"]),
    "weights all 0": (
        lambda: TEACHER.weighted({A: torch.tensor([[0.0], [1.0]]).expand(2, 60)}),
        ["all 0 for teacher [0]"],
    ),
    "unknown sample": (lambda: outputs().rows(torch.tensor([1, 50])), ["1 unknown, first 50"]),
    "rows by shape": (lambda: outputs().rows(torch.zeros(3, 4).long()), ["(3, 4)", "(B,) or (1, B)"]),
    "rows of floats": (lambda: outputs().rows(torch.tensor([0.5])), ["sample_index = 'torch.float32 (1,)'"]),
    "teacher unknown": (lambda: TEACHER[2], ["r = 2: must be a teacher"]),
    "only unknown": (lambda: TEACHER.only(views=[View.only()]), ["views = 'nothing'", "['a', 'b']"]),
    "stack of none": (lambda: TeacherOutputs.stack([]), ["several = []"]),
    "stack of unequal": (
        lambda: TeacherOutputs.stack([outputs(), outputs(removal="mean")]),
        ["several", "removal mean", "removal zeros"],
    ),
    "other data": (lambda: of(Identity(DATA.classes, ("a",), "0123")), ["teacher = '0123'", "pairs"]),
    "other classes": (
        lambda: of(Identity(("x", "y", "z"), ("a",), DATA.fingerprint)),
        ["teacher = ('x', 'y', 'z')", "class 0"],
    ),
    "as many classes": (lambda: said(pairs(classes=4), []).for_data(DATA), ["'4 classes'", "the 3 classes"]),
    "strangers": (lambda: outputs().targets(DATA), ["teacher = '3 samples'", "pairs only"]),
    # saliency and weights
    "delta": (lambda: saliency(TEACHER, "ab", delta="kll"), ["delta = 'kll'"]),
    "credit": (lambda: needed_views("ab", credit="all"), ["credit = 'all'"]),
    "no labels": (lambda: saliency(TEACHER, "ab", delta="loss"), ["data = None", "delta='loss'"]),
    "a view lacks": (lambda: saliency(TEACHER, "abc"), ["teacher = ['a', 'b']", "needed_views"]),
    "one modality": (lambda: msd_views(["a", "a"]), ["modalities = ('a', 'a')", "two distinct"]),
    "kind": (lambda: msd_views("ab", kind="both"), ["kind = 'both'"]),
    "scheme": (lambda: Weighting(scheme="best"), ["scheme = 'best'"]),
    "kappa": (lambda: Weighting(kappa=0.0), ["kappa = 0.0"]),
    "fixed lacks": (lambda: Weighting("fixed"), ["fixed = {}", "scheme='fixed'"]),
    "fixed stray": (lambda: Weighting(fixed={"a": 1.0}), ["fixed = ", "only there"]),
    "fixed of 0": (lambda: Weighting("fixed", fixed={"a": 0.0}), ["must not all be 0"]),
    "fixed below 0": (lambda: Weighting("fixed", fixed={"a": -1.0}), ["fixed = -1.0"]),
    "fixed of others": (lambda: fixed(a=1.0), ["fixed = ", "name the views ['a', 'b']"]),
    "weigh nothing": (lambda: weigh(TEACHER, [], Weighting(), data=DATA), ["views = []"]),
    "weigh twice": (lambda: weigh(TEACHER, [A, A], Weighting(), data=DATA), ["views = ['a', 'a']", "once"]),
    "weigh no modality": (
        lambda: weigh(TEACHER, [View.only(), A], Weighting("normalised"), data=DATA),
        ["views = 'nothing'", "keep a modality"],
    ),
    "gate of strangers": (
        lambda: weigh(TEACHER, [A], Weighting(), data=DATA, gate={View.only("c"): torch.ones(2)}),
        ["gate = 'c'"],
    ),
    "gate above 1": (
        lambda: weigh(TEACHER, [A], Weighting(), data=DATA, gate={A: torch.tensor([2.0, 1.0])}),
        ["gate = [2.0, 1.0]", "[0, 1]"],
    ),
    "weigh strangers": (
        lambda: weigh(outputs(), [A], Weighting(), data=DATA),
        ["'3 samples'", "training samples"],
    ),
    # several teachers
    "no teachers": (lambda: mix_teachers([]), ["teachers = []", "at least one"]),
    "unequal teachers": (lambda: mix_teachers([Z, torch.zeros(2, 4)]), ["teachers[1] = (2, 4)", "(2, 3)"]),
    "weights of teachers": (lambda: mix_teachers([Z, Z], weights=[1.0]), ["weights = (1,)", "(2,)"]),
    "weight of a teacher": (lambda: mix_teachers([Z, Z], weights=[1.0, -1.0]), ["weights = [1.0, -1.0]"]),
    "no weight": (lambda: mix_teachers([Z, Z], weights=[0.0, 0.0]), ["every teacher"]),
    "trust": (lambda: trust([Z, Z], by="fame"), ["by = 'fame'", "'entropy'"]),
    "trust without labels": (lambda: trust([Z, Z], by="label"), ["target = None"]),
    "trust of one": (lambda: trust([Z], by="label", target=LABELS[0]), ["teachers = '1 teacher'"]),
    "trust of maps": (lambda: trust([Z, Z], task=Task.DENSE), ["task = "]),
    "sums": (lambda: soft_label_logits(torch.tensor([[0.5, 0.6]])), ["0.1", "sum to 1"]),
    "shares": (lambda: soft_label_logits(torch.tensor([[1.5, -0.5]])), ["-0.5 to 1.5"]),
    "floor": (lambda: soft_label_logits(torch.tensor([[0.5, 0.5]]), floor=0.0), ["floor = 0.0"]),
    # fusion
    "fusion of none": (lambda: ShiftFusion("text", [], features=4, num_outputs=3), ["weak = []"]),
    "fusion of itself": (lambda: ShiftFusion("t", ["t"], features=4, num_outputs=3), ["'t'", "repeat"]),
    "heads": (lambda: ShiftFusion("t", ["v"], features=4, num_outputs=3, heads=3), ["heads = 3", "divide"]),
    "scale": (lambda: ShiftFusion("t", ["v"], features=4, num_outputs=3, scale=0.0), ["scale = 0.0"]),
    "embedding": (
        lambda: ShiftFusion("t", ["v"], features=4, num_outputs=3)({"t": Z}),
        ["x['t'] = (2, 3)", "4"],
    ),
    "embeddings": (
        lambda: ShiftFusion("t", ["v"], features=3, num_outputs=3)({"t": Z}),
        ["x = ['t']", "'v'"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_named(name):
    call, words = REFUSED[name]
    with pytest.raises(LabError) as raised:
        call()
    for word in words:
        assert word in str(raised.value)
