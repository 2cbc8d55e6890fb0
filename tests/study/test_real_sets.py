"""Any modalities as student and teacher; several labels and numbers in every study; labels that are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmkd_lab.attribution import align
from mmkd_lab.attribution.alignment import Joint
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.doubt import doubted, remark
from mmkd_lab.experiments.experiment import roles
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import kd_vs_msd, rival_hypotheses
from mmkd_lab.training.replicas import Replicas
from tests.study import tiny
from tests.study.tiny_msd import FEW
from tests.training.test_regression import numbers

THREE = tiny.paired(modalities=("a", "b", "c"))


def several(n=114):
    """Three labels, the signs of three factors; b shows two of them."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(n, 3, generator=draw)
    x = {"a": z.repeat(1, 2), "b": z[:, :2].repeat(1, 3)}
    x = {name: values + 0.4 * torch.randn(n, 6, generator=draw) for name, values in x.items()}
    splits = dict(tiny.paired().splits)
    return PairedData("several", x, (z > 0).float(), splits, tuple("pqr"), Task.MULTI_LABEL)


@pytest.mark.parametrize(
    ("student", "teacher", "reads"),
    [
        ("b", ("a", "c"), (("b",), ("a", "c"))),
        ("b", "c + a", (("b",), ("c", "a"))),
        (["b", "c"], None, (("b", "c"), ("a",))),
        ("a+b", ("a", "b", "c"), (("a", "b"), ("a", "b", "c"))),
        (("a", "b"), "b", (("a", "b"), ("b",))),
    ],
)
def test_who_reads_what(student, teacher, reads):
    assert roles(THREE, student, teacher) == reads


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ("b", None, "must be named when there are several: 'a' or 'c'"),
        (("a", "b", "c"), None, "must be named"),
        (("a", "b"), "b + a", "another modality"),
        ("d", "a", "student = 'd'"),
        (("a", "a"), "b", "none twice"),
        ((), "b", "must name a modality"),
        ("b", "a + d", "teacher = 'd'"),
        (3, "b", "modalities"),
    ],
)
def test_who_cannot_read_what(student, teacher, message):
    with pytest.raises(LabError, match=message.replace("+", r"\+")):
        roles(THREE, student, teacher)


def test_several_modalities_teach_and_learn(shared):
    found = tiny.study(shared, data=THREE, student=("b", "c"), teacher="a + b", arms=["um_kd", "cm_kd"])
    assert "(b + c student, " in found.verdict
    assert "the a + b teacher is" in found.verdict
    assert "the b + c teacher" in found.verdict
    assert found.provenance["reads"] == {"student": ["b", "c"], "other": ["a", "b"], "all": ["a", "b", "c"]}
    whole = tiny.study(shared, data=THREE, student=("b", "c"), teacher=("a", "b", "c"))
    assert whole.provenance["left_out"] == {
        "mm_kd": "its teacher sees what that of 'cm_kd' sees, so that both train alike"
    }
    one = tiny.study(shared, data=THREE, student="b", teacher="a", arms=["no_kd", "cm_kd"])
    two = tiny.study(shared, data=THREE.only("a", "b"), student="b", arms=["no_kd", "cm_kd"])
    np.testing.assert_array_equal(one.table["value"], two.table["value"])


@pytest.mark.filterwarnings("ignore:Seeing")
def test_kd_vs_msd_of_some_modalities_and_of_numbers(shared):
    how = {"arms": FEW, "student_model": tiny.SPEC, "teacher_model": tiny.TEACHER, "tune": False}
    how |= {"recipe": tiny.RECIPE, "seeds": [0, 1], "device": "cpu", "progress": False}
    found = kd_vs_msd(THREE.only("a", "c"), store=ResultStore(shared), **how)
    assert set(found.table["view"]) == {"a+c", "a", "c"}
    found = kd_vs_msd(numbers(), store=ResultStore(shared), gate=True, **how)
    assert "test R² in percent" in found.verdict
    assert {"r2", "rmse", "mae", "apart", "weight"} <= set(found.table["metric"])
    assert list(found.reliability["chance"].unique()) == [0.0]
    learned = {**how, "arms": ("kd", "msd_learned")}
    with pytest.raises(LabError, match="probabilities of classes"):
        kd_vs_msd(numbers(), store=ResultStore(shared), **learned)
    found.plot()


@pytest.mark.parametrize("data", [several(), numbers(scale=20.0)], ids=["several", "numbers"])
def test_teachers_of_several_labels_and_of_numbers_are_repaired(shared, data):
    how = {"ratios": [0.5], "draws": 1, "arms": ["no_kd", "cm_kd", "mg_kd", "random_kd"], "truth": None}
    found = tiny.repair(shared, data, **how)
    metric = "R² in percent" if data.task is Task.REGRESSION else "macro f1"
    assert f"test {metric}), in points" in found.verdict
    found.plot()
    rivals = rival_hypotheses(found.runs)
    lacks = {name.partition(",")[0] for name in rivals.provenance["left_out"]}
    entropy = {"teacher_entropy"} if data.task is Task.REGRESSION else set()
    assert lacks == {"non_target_divergence"} | entropy


def test_the_joint_pair_learns_from_what_the_loss_says():
    """One step of joint training by hand, for several labels and for numbers in another unit."""
    for data in (several(), numbers(scale=20.0, shift=3.0)):
        nets = [
            Replicas.build(
                NetSpec(encoder="linear", modalities=(name,)), data, seeds=[seed], dtype=torch.float64
            ).module()
            for seed, name in enumerate("ab")
        ]
        joint = Joint(epochs=1, batch_size=None, lr=0.1, momentum=0.0)
        found = align(nets[0], nets[1], data, joint=joint).history.set_index("metric")["value"]
        train = data.positions("train")
        with torch.no_grad():
            z = [net(data.batch(train, dtype=torch.float64)) for net in nets]
        target = data.target[train].double()
        if data.unit is None:
            each = [F.binary_cross_entropy_with_logits(one, target, reduction="none") for one in z]
        else:
            shift, scale = data.unit
            z, target = [(one - shift) / scale for one in z], (target - shift) / scale
            each = [(one - target) ** 2 / 2 for one in z]
        by_hand = [one.sum(-1).mean() for one in each]
        assert found["ce_teacher"] == pytest.approx(float(by_hand[0]))
        assert found["ce_student"] == pytest.approx(float(by_hand[1]))
        assert found["agreement"] == pytest.approx(float(F.mse_loss(*z)))


def test_labels_that_are_wrong_are_counted():
    draw = torch.Generator().manual_seed(0)
    n = 400
    target = torch.arange(n) % 4
    centre = 6 * torch.eye(4)
    x = {name: centre[target] + torch.randn(n, 4, generator=draw) for name in "ab"}
    splits = {"train": range(300), "val": range(300, 350), "test": range(350, n)}
    clean = PairedData("clean", x, target, splits, tuple("wxyz"))
    assert doubted(clean, 0.1) == (0, 300)
    assert remark(doubted(clean, 0.1)) == []
    wrong = target.clone()
    moved = torch.randperm(300, generator=draw)[:60]
    wrong[moved] = (wrong[moved] + 1) % 4
    many, of = doubted(replace(clean, target=wrong), 0.1)
    assert of == 300
    assert 45 <= many <= 60  # next to those that were moved none is doubted
    (said,) = remark((many, of))
    assert said.startswith("Label noise cannot be ruled out: ")
    assert doubted(several(), 0.1) is None


def test_failure_cases_tells_of_labels_that_are_wrong(shared):
    data = tiny.paired()
    mixed = data.target[torch.randperm(len(data), generator=torch.Generator().manual_seed(1))]
    with_noise = replace(data, target=mixed)
    notes = tiny.study(shared, data=with_noise, arms=["no_kd"]).provenance["notes"]
    assert any(one.startswith("Label noise cannot be ruled out") for one in notes)
