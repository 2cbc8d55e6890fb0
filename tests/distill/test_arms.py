"""Arms as data: every one trains in its own way, and what a study asks for is checked."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from mmkd_lab.core.fingerprint import canonical
from mmkd_lab.data.task import Task
from mmkd_lab.distill import (
    ARMS,
    Arm,
    Context,
    LearnedWeights,
    Strength,
    TeacherKind,
    Term,
    Weighting,
    check_arms,
    msd_views,
    register_arm,
)

CONTEXT = Context(
    temperature=3.0, views=msd_views("ab"), modalities=("a", "b"), weighting=Weighting("normalised")
)
#: One arm under two names: in a study of one modality 'all' is more than the student sees, in one of all
#: modalities it is the same.
SYNONYMS = {("mm_kd", "kd")}


def bound(arm):
    teacher = None if arm.teacher is None else repr(arm.teacher)
    return canonical([teacher, arm.distillation(CONTEXT).describe(), arm.drop_at({}), arm.start])


@pytest.mark.parametrize("of", [bound, lambda arm: arm.behaviour], ids=["bound", "unbound"])
def test_no_two_arms_train_alike(of):
    said = {name: of(arm) for name, arm in ARMS.items()}
    alike = {(one, two) for one, two in combinations(said, 2) if said[one] == said[two]}
    assert alike == SYNONYMS


def test_the_names_of_tables_stay():
    assert " ".join(ARMS) == (
        "no_kd um_kd cm_kd mm_kd kl_only unaligned_kd aligned_kd mg_kd ms_kd random_kd weight_kd oracle_kd "
        "kd kd_drop kd_views msd_uniform msd_population msd_instance msd_global msd_learned msd_shuffled "
        "msd_wrong fitnet rkd sp gram dkd dist telme multi_teacher pruned"
    )


def test_who_teaches_and_who_reads_labels():
    assert [name for name, arm in ARMS.items() if arm.teacher is None] == ["no_kd"]
    assert [name for name, arm in ARMS.items() if not arm.labels] == ["kl_only"]
    repaired = [name for name, arm in ARMS.items() if arm.teacher and arm.teacher.training != "alone"]
    assert repaired == ["unaligned_kd", "aligned_kd", "mg_kd", "ms_kd", "random_kd", "weight_kd", "oracle_kd"]
    controls = {name for name, arm in ARMS.items() if arm.control}
    assert controls == {"unaligned_kd", "kd_drop", "kd_views", "msd_shuffled", "msd_wrong"}


def test_shares_complete_each_other_and_strengths_are_shared():
    def weights(name, **strengths):
        return [weight for weight, _ in ARMS[name].distillation(CONTEXT, strengths).terms]

    assert weights("no_kd", kd=0.9) == [1.0]
    assert weights("cm_kd") == [0.5, 0.5]
    assert weights("kl_only", kd=0.2) == [1.0]
    assert weights("kd", kd=0.9) == pytest.approx([0.1, 0.9], abs=1e-7)
    # As in single precision, in which tables were computed: 1 - 0.9 is not the nearest number to 0.1 there.
    assert torch.tensor(weights("kd", kd=0.9)[0]) == 1 - torch.tensor(0.9)
    assert weights("sp") == [0.5, 0.5, 3000.0]
    assert weights("msd_wrong", kd=0.25, msd=4.0, sp=7.0) == [0.75, 0.25, 4.0]
    assert weights("dkd", kd=0.9, dkd=0.25) == [1.0, 0.25]
    shared = [name for name, arm in ARMS.items() if "msd" in arm.strengths]
    assert shared == [name for name in ARMS if name.startswith("msd_")]
    assert {ARMS[name].strengths["msd"].tuned_on for name in shared} == {"msd_uniform"}
    assert ARMS["fitnet"].strengths["fitnet"].grid == (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)
    assert ARMS["kd_drop"].drop_at({"kd_drop": 0.1}) == 0.1
    assert ARMS["kd_drop"].drop_at({}) == 0.3


def test_weights_by_name_change_the_studys_own_scheme():
    own = Weighting("tanh", delta="js")
    context = Context(
        views=msd_views("ab"),
        weighting=own,
        learned=LearnedWeights("instance", every=3),
        modalities=("a", "b"),
    )
    bare = Weighting("uniform")
    wanted = {
        "kd_views": bare,
        "msd_uniform": bare,
        "msd_population": Weighting("population", delta="js"),
        "msd_instance": own,
        "msd_shuffled": Weighting("tanh", delta="js", control="shuffled"),
        "msd_wrong": Weighting("tanh", delta="js", control="wrong"),
        "msd_global": LearnedWeights("global", every=3),
        "msd_learned": LearnedWeights("instance", every=3),
    }
    for name, weighting in wanted.items():
        loss = ARMS[name].distillation(context)
        assert loss.terms[-1][1].weighting == weighting, name
        assert loss.learned == (weighting if isinstance(weighting, LearnedWeights) else None)


def test_arms_come_in_the_order_asked_for_and_for_their_tasks():
    assert [arm.name for arm in check_arms(["kl_only", "no_kd"])] == ["kl_only", "no_kd"]
    assert not ARMS["dkd"].serves(Task.MULTI_LABEL)
    assert not ARMS["multi_teacher"].serves(Task.DENSE)
    assert ARMS["kd"].serves(Task.DENSE)


def test_your_own_arm():
    arm = Arm("ours", "ours", "KD at a strength of our own.", "#000000", TeacherKind("other"), (Term("kd"),))
    try:
        register_arm(arm)
        again = register_arm(Arm("ours", "ours", "", "#000000", None, (Term("ce", Strength("x", 2.0, ())),)))
        assert ARMS["ours"] is again
        assert again.origin == __name__
        assert again.distillation(CONTEXT).terms[0][0] == 2.0
    finally:
        ARMS.forget("ours")
