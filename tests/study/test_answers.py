"""Students of tables of answers: partial ones, filtered ones, and those that a study cannot use."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.distill import ARMS, Arm, TeacherKind, Term, read_answers, register_arm, simulate_answers
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import filtered_answers, kd_vs_msd
from tests.study.tiny import RECIPE, SPEC, paired, study

DATA = paired()
COVERS = "36 of 60 train"


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    simulate_answers(DATA, right=0.9, coverage=0.6).to_csv(root / "answers.csv", index=False)
    return root


def test_a_csv_of_some_answers_is_a_teacher_to_a_verdict(answered):
    arms = ["no_kd", "um_kd", "cm_kd", "kl_only"]
    found = study(answered, data=DATA, teacher_model=str(answered / "answers.csv"), arms=arms)
    assert f"The a teacher is a table with answers for {COVERS} samples." in found.verdict
    assert "its teacher has not answered for all of test" in found.verdict
    assert f"answers for {COVERS}, 14 of 24 val and 18 of 30 test samples" in found.provenance["notes"][0]
    taught = found.table.query("role == 'teacher' and arm == 'cm_kd' and seed == 0").pivot(
        index="split", columns="metric", values="value"
    )
    said = read_answers(answered / "answers.csv", DATA).table.set_index("split")
    assert taught["accuracy"].to_dict() == pytest.approx(said["accuracy"].to_dict())
    assert taught.loc["train", "answered"] == 60
    value = found.table.query("role == 'student' and split == 'test' and metric == 'nll'").groupby("arm")[
        "value"
    ]
    assert value.mean().nunique() == 4


def test_a_split_without_answers_has_no_teacher_row(answered):
    train = simulate_answers(DATA.select(DATA.positions("train")), coverage=0.5)
    said = read_answers(train, DATA)
    found = study(answered, data=DATA, teacher_model=said, arms=["um_kd", "cm_kd"])
    rows = found.table.query("role == 'teacher' and arm == 'cm_kd'")
    assert set(rows["split"]) == {"train"}
    assert "0 of 30 test" in found.provenance["notes"][0]


def test_what_needs_every_sample_is_refused_before_anything_is_trained(answered):
    given = {"teacher_model": str(answered / "answers.csv"), "student_model": SPEC, "progress": False}
    with pytest.raises(LabError, match=r"teacher_model = .*must answer for every sample here"):
        kd_vs_msd(DATA, arms=["no_kd", "kd"], **given)
    dist = Arm("dist_b", "DIST", "DIST.", "#101010", TeacherKind("other"), (Term("ce"), Term("dist")))
    register_arm(dist)
    try:
        with pytest.raises(LabError, match="has not answered for every sample, as 'dist' needs"):
            study(answered, data=DATA, teacher_model=given["teacher_model"], arms=["no_kd", "dist_b"])
    finally:
        ARMS.forget("dist_b")


def test_a_filter_is_held_against_as_many_answers_at_random(answered):
    trained = DATA.select(torch.cat([DATA.positions("train"), DATA.positions("val")]))
    second = read_answers(simulate_answers(trained, right=0.95, coverage=1.0, seed=1), DATA)
    found = filtered_answers(
        DATA,
        student="b",
        answers=answered / "answers.csv",
        by=second,
        seeds=range(2),
        student_model=SPEC,
        store=ResultStore(answered),
        progress=False,
        recipe=RECIPE,
        device="cpu",
    )
    students = found.table.query("role == 'student' and split == 'test' and metric == 'accuracy'")
    each = students.groupby("arm")["seed"].apply(list).to_dict()
    assert set(each) == {"no_kd", "all answers", "filtered answers", "random answers"}
    assert all(seeds == [0, 1] for seeds in each.values())
    kept = found.provenance["filter"][0]
    assert (kept["split"], kept["answered"]) == ("train", 36)
    last = found.provenance["filter"][-1]
    assert (last["split"], last["kept"], last["precision"]) == ("test", 0, None)
    assert "The filter keeps none of 18 test answers." in found.provenance["notes"]
    assert Study.load(found.save(answered)).verdict == found.verdict
    teachers = found.table.query(
        "role == 'teacher' and split == 'train' and metric == 'answered' and seed == 1"
    )
    share = teachers.set_index("arm")["value"]
    assert share["filtered answers"] == share["random answers"] == pytest.approx(100 * kept["kept"] / 60)
    assert f"The filter keeps {kept['kept']} of 36 train answers" in found.verdict
    with pytest.raises(LabError, match="arm = 'mm_kd'"):
        filtered_answers(DATA, student="b", answers=second, by=second, arm="mm_kd")
