"""The whole loss: what it reduces to, its names, one replica of several, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.distill import Objective, cross_entropy
from mmkd_lab.distill.dist import Dist
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.hints import Hints
from mmkd_lab.distill.learned import LEVELS, LearnedWeights
from mmkd_lab.distill.method import Needs, Outputs
from mmkd_lab.distill.msd import Msd, msd_views
from mmkd_lab.distill.relations import RKD
from mmkd_lab.distill.telme import Telme
from mmkd_lab.models import Mean, Zeros
from tests.distill.samples import draw

VIEWS = msd_views("ab")
TARGET = torch.tensor([[0, 1, 2, 3, 0], [3, 2, 1, 0, 3]])


def sides():
    full, a, b, other, other_a, other_b = draw(2, 5, 4, count=6)
    views, others = dict(zip(VIEWS, (a, b), strict=True)), dict(zip(VIEWS, (other_a, other_b), strict=True))
    return Outputs(full, views), Outputs(other, others)


def msd(c=1.0, *, base=None, **more):
    base = Objective(ce=0.4, kd=0.6, temperature=3.0) if base is None else base
    return Distillation(base, ((c, Msd(VIEWS, temperature=2.0, task=base.task)),), Zeros(), **more)


def test_without_c_it_is_plain_kd():
    student, teacher = sides()
    base = Objective(ce=0.4, kd=0.6, temperature=3.0)
    want = base(student.logits, TARGET, teacher.logits)
    found = msd(0.0)(student, TARGET, teacher, {})
    assert {"ce", "kd", "msd", "msd/a", "msd/b", "loss"} == set(found)
    for name in ("ce", "kd", "loss"):
        assert torch.equal(found[name], want[name])
    bare = Distillation(base)(student, TARGET, teacher, {})
    assert torch.equal(bare["loss"], want["loss"])


def test_without_b_and_c_it_is_cross_entropy():
    student, teacher = sides()
    found = msd(0.0, base=Objective())(student, TARGET, teacher, {})
    assert torch.equal(found["loss"], cross_entropy(student.logits, TARGET))
    assert not Distillation(Objective()).needs_teacher
    assert torch.equal(Distillation(Objective())(student, TARGET, None, {})["loss"], found["loss"])


def test_the_loss_is_the_sum_of_its_terms():
    student, teacher = sides()
    c = torch.tensor([0.5, 2.0])
    found = msd(c)(student, TARGET, teacher, {})
    want = 0.4 * found["ce"] + 0.6 * found["kd"] + c * (found["msd/a"] + found["msd/b"])
    torch.testing.assert_close(found["loss"], want)


def test_one_replica_of_several():
    student, teacher = sides()
    loss = msd(torch.tensor([0.5, 2.0]), base=Objective(ce=torch.tensor([1.0, 0.3]), kd=0.6))
    together = loss(student, TARGET, teacher, {})
    assert loss.replicas == 2
    for r in range(2):
        one = [Outputs(o.logits[[r]], {v: x[[r]] for v, x in o.views.items()}) for o in (student, teacher)]
        alone = loss[r](one[0], TARGET[[r]], one[1], {})
        assert loss[r].replicas is None
        for name, value in alone.items():
            torch.testing.assert_close(value, together[name][[r]])


def test_needs_join():
    loss = Distillation(Objective(), ((1.0, Msd(VIEWS)), (0.5, Hints()), (0.1, RKD())), Zeros())
    assert loss.needs == Needs(VIEWS, features=True)
    assert loss.needs_teacher
    assert set(loss.parameters(3, 5, seeds=[0, 1])) == {"hints.weight", "hints.bias"}
    assert Distillation(Objective(), ((1.0, Hints()),)).removal is None


def test_its_own_parameters_reach_their_method():
    student, teacher = draw(2, 5, 3, seed=4)
    loss = Distillation(Objective(), ((2.0, Hints()),))
    own = {name: value.double() for name, value in loss.parameters(3, 3, seeds=[0, 1]).items()}
    logits = draw(2, 5, 4)[0]
    found = loss(Outputs(logits, features=student), TARGET, Outputs(logits, features=teacher), own)
    mapped = torch.baddbmm(own["hints.bias"][:, None], student, own["hints.weight"])
    torch.testing.assert_close(found["hints"], (mapped - teacher).square().mean((1, 2)))


def test_describe_is_plain():
    import json

    plain = msd(torch.tensor([0.5, 1.0]), learned=LearnedWeights("instance")).describe()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["removal"] == "zeros"
    assert plain["methods"][0]["weight"] == [0.5, 1.0]
    assert plain["learned"]["rate"] == 0.001


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: msd(-1.0), "weight of msd = -1"),
        (lambda: msd(float("nan")), "weight of msd = nan"),
        (lambda: msd(torch.tensor([1.0, -1.0])), r"weight of msd = \[1.0, -1.0\]"),
        (lambda: msd("1"), "weight of msd = '1'"),
        (lambda: msd(torch.ones(2), base=Objective(ce=torch.ones(3))), r"methods = \[2, 3\]"),
        (lambda: Distillation(Objective(), ((1.0, Msd(VIEWS)),)), "removal = None: must be given"),
        (lambda: Distillation(Objective(), ((1.0, Msd(VIEWS)),), "zeros"), "removal = 'zeros'"),
        (lambda: Distillation(Objective(), (Msd(VIEWS),), Zeros()), r"methods = .*must be pairs"),
        (lambda: Distillation(Objective(), ((1.0, 2.0),), Zeros()), "methods = 2.0"),
        (lambda: Distillation(Objective(), Msd(VIEWS), Zeros()), r"methods = Msd.*be a sequence of pairs"),
        (lambda: Distillation(Objective(), (1.0, Msd(VIEWS)), Zeros()), r"methods = 1.0: .*\[\(1.0, Msd"),
        (lambda: Distillation(Objective(), ((1.0, Hints()), (2.0, Hints()))), "must not hold a method twice"),
        (lambda: Distillation(torch.nn.CrossEntropyLoss()), "base = "),
        (lambda: Distillation(Objective(), learned=LearnedWeights()), "learned = .*needs Msd"),
        (lambda: msd(base=Objective(), learned="global"), "learned = 'global'"),
        (
            lambda: Distillation(Objective(task=Task.MULTI_LABEL), ((1.0, Msd(VIEWS)),), Zeros()),
            "Msd.task = 'single label': must be the base's, multi-label",
        ),
        (
            lambda: Distillation(Objective(task=Task.MULTI_LABEL), ((1.0, Dist()),)),
            "Dist.task = 'single label': must be the base's, multi-label",
        ),
        (
            lambda: Distillation(Objective(), ((1.0, Telme(task=Task.MULTI_LABEL)),)),
            "Telme.task = 'multi-label': must be the base's, single label",
        ),
        (
            lambda: Distillation(
                Objective(), ((1.0, Msd(VIEWS, "dist")),), Zeros(), LearnedWeights("instance")
            ),
            "Msd.distance = 'dist': compares whole batches",
        ),
    ],
    ids=[
        *(
            "negative",
            "nan",
            "one negative",
            "text",
            "replicas",
            "no removal",
            "name",
            "no pair",
            "no method",
            "a method alone",
            "a pair alone",
        ),
        *("twice", "base", "no msd", "learned", "task", "task of dist", "task of telme", "dist"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(LabError, match=message):
        make()


def test_a_multi_label_target_and_a_single_label_loss():
    student, teacher = sides()
    with pytest.raises(LabError, match=r"target = \(2, 5, 4\): must be \(2, 5\)"):
        msd()(student, torch.zeros(2, 5, 4), teacher, {})
    with pytest.raises(LabError, match=r"target = torch.float32: must be int64"):
        msd()(student, TARGET.float(), teacher, {})


def test_a_term_that_compares_needs_a_teacher():
    with pytest.raises(LabError, match="teacher = None: must be given"):
        msd(base=Objective())(sides()[0], TARGET, None, {})


@pytest.mark.parametrize("level", LEVELS)
def test_learned_weights_are_checked(level):
    assert LearnedWeights(level).describe()["level"] == level
    for name in ("every", "hidden", "batch_size"):
        with pytest.raises(LabError, match=f"{name} = 0"):
            LearnedWeights(level, **{name: 0})
    for name in ("rate", "lookahead"):
        with pytest.raises(LabError, match=f"{name} = 0"):
            LearnedWeights(level, **{name: 0.0})
    with pytest.raises(LabError, match="level = 'sample'"):
        LearnedWeights("sample")


def test_the_default_rates():
    assert (LearnedWeights("global").learning_rate, LearnedWeights("instance").learning_rate) == (0.02, 0.001)
    assert LearnedWeights("global", rate=0.5).learning_rate == 0.5


def test_the_mean_removal_is_named_by_its_kind():
    loss = Distillation(Objective(), ((1.0, Msd(VIEWS)),), Mean({"a": torch.zeros(6)}))
    assert loss.describe()["removal"] == "mean"
