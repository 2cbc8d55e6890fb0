"""The failure-case study on small real runs: what it trains, what pairs, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.core.config import Positive, config
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import ARMS as ARMS_BY_NAME
from mmkd_lab.distill import (
    METHODS,
    Arm,
    Method,
    TeacherKind,
    Term,
    labels_only,
    register_arm,
    register_method,
)
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.models import NetSpec
from mmkd_lab.study import failure_cases
from mmkd_lab.study.failure import ARMS
from mmkd_lab.training.fit import fit
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from tests.study.tiny import RECIPE, SPEC, paired, study


@pytest.fixture(scope="module")
def once(shared):
    return shared, study(shared)


class Dropping(torch.nn.Module):
    """Dropout that never ends."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(6, 3)

    def forward(self, b):
        return self.head(torch.nn.functional.dropout(b))


def _values(table, arm, role="student", split="test", metric="accuracy"):
    part = table.query("arm == @arm and role == @role and split == @split and metric == @metric")
    return part.sort_values("seed")["value"].to_numpy()


def test_the_table_is_tidy_and_complete(once):
    table = once[1].table
    assert list(table.columns) == list(COLUMNS)
    assert set(table["split"]) == {"train", "val", "test"}
    assert set(table["metric"]) == {"accuracy", "balanced_accuracy", "macro_f1", "nll"}
    per_network = 3 * 4
    assert len(table) == (len(ARMS) + len(ARMS) - 1) * 2 * per_network + per_network
    assert table.groupby("role")["arm"].nunique().to_dict() == {"baseline": 1, "student": 5, "teacher": 4}
    assert not table.duplicated(subset=list(COLUMNS[:-1])).any()
    accuracy = table[table["metric"] == "accuracy"]["value"]
    assert accuracy.between(0, 100).all()
    assert accuracy.max() > 1.5  # percent, not shares


def test_no_kd_is_the_plain_student_trained_by_hand(once):
    data = paired()
    replicas = Replicas.build(SPEC.on("b"), data, seeds=range(2), device="cpu", dtype=torch.float64)
    by_hand = fit(replicas, data, labels_only(), RECIPE, progress=False).replicas
    logits = by_hand.predict(data, split="test")
    expected = 100 * (logits.argmax(-1) == data.target[data.positions("test")]).double().mean(-1)
    np.testing.assert_allclose(_values(once[1].table, "no_kd"), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_seeds_are_paired_so_equal_losses_give_equal_students(shared, kind):
    # With no weight on the teacher every arm but kl_only is no KD: any difference would be one of pairing.
    table = study(shared, kind=kind, kd_weight=0.0, arms=["no_kd", "um_kd", "cm_kd", "mm_kd"]).table
    for arm in ("um_kd", "cm_kd", "mm_kd"):
        np.testing.assert_array_equal(_values(table, arm), _values(table, "no_kd"))
        np.testing.assert_array_equal(
            _values(table, arm, metric="nll"), _values(table, "no_kd", metric="nll")
        )
    assert len(set(_values(table, "no_kd", metric="nll"))) == 2  # and two seeds are two students


def test_without_labels_crossmodal_kd_is_kl_only(shared):
    table = study(shared, kd_weight=1.0, arms=["cm_kd", "kl_only"]).table
    # Stacked side by side, equal replicas may differ in the last bit of single precision.
    np.testing.assert_allclose(
        _values(table, "cm_kd", metric="nll"), _values(table, "kl_only", metric="nll"), rtol=1e-6
    )


def test_arms_of_one_teacher_report_the_same_teacher(once):
    table = once[1].table
    assert _values(table, "cm_kd", "teacher").tolist() == _values(table, "kl_only", "teacher").tolist()
    assert _values(table, "cm_kd", "teacher").tolist() != _values(table, "mm_kd", "teacher").tolist()


def test_the_teacher_matters_to_the_student(once):
    nll = {arm: _values(once[1].table, arm, metric="nll").tolist() for arm in ARMS}
    assert len({tuple(values) for values in nll.values()}) == len(ARMS)


def test_no_student_sees_another_modality(shared, once):
    # Other values of 'a' reach students through their teachers alone: no KD and unimodal KD stay as they are.
    data = paired()
    changed = {"a": data.modalities["a"] * -3.0 + 1.0, "b": data.modalities["b"]}
    other = PairedData(
        name=data.name, modalities=changed, target=data.target, splits=data.splits, classes=data.classes
    )
    table = study(shared, data=other).table
    for arm in ("no_kd", "um_kd"):
        np.testing.assert_allclose(
            _values(table, arm, metric="nll"), _values(once[1].table, arm, metric="nll"), rtol=1e-5
        )
    assert (
        _values(table, "cm_kd", metric="nll").tolist()
        != _values(once[1].table, "cm_kd", metric="nll").tolist()
    )


def test_test_labels_select_nothing(shared, once):
    # Shuffled test labels change the test scores alone; every other number stays.
    data = paired()
    target = data.target.clone()
    where = data.positions("test")
    target[where] = target[where].roll(1)
    other = PairedData(
        name=data.name, modalities=data.modalities, target=target, splits=data.splits, classes=data.classes
    )
    table = study(shared, data=other).table
    before = once[1].table
    for split in ("train", "val"):
        for name in ARMS:
            np.testing.assert_array_equal(
                _values(table, name, split=split), _values(before, name, split=split)
            )
    assert _values(table, "no_kd").tolist() != _values(before, "no_kd").tolist()


def test_a_second_run_trains_nothing_and_gives_the_same_table(once):
    root, first = once
    again = study(root)
    assert again.provenance["networks"] == {"stored": sum(first.provenance["networks"].values())}
    assert first.table.equals(again.table)
    assert first.verdict == again.verdict


def test_a_partly_stored_study_ends_with_the_same_table(tmp_path):
    whole = study(tmp_path, kind="images")
    entries = sorted(tmp_path.glob("??/*.json"))
    for entry in entries[::3]:
        entry.unlink()
    again = study(tmp_path, kind="images")
    assert again.provenance["networks"]["trained"] == len(entries[::3])
    assert whole.table.equals(again.table)


def test_more_arms_and_seeds_later_keep_what_is_there(tmp_path):
    first = study(tmp_path, kind="images", arms=["no_kd", "um_kd"])
    more = study(tmp_path, kind="images", seeds=range(3))
    assert more.provenance["networks"]["stored"] == first.provenance["networks"]["trained"]
    for arm in ("no_kd", "um_kd"):
        np.testing.assert_array_equal(_values(more.table, arm)[:2], _values(first.table, arm))


def test_teachers_are_shared_between_the_two_directions(tmp_path):
    study(tmp_path, kind="images", student="a")
    other = study(tmp_path, kind="images", student="b")
    # The teachers on a, on b and on both are the same networks, whoever the student is.
    assert other.provenance["networks"]["stored"] == 2 * 3 * 2  # each, and what it says


def test_a_damaged_entry_is_named_and_recompute_repairs_it(tmp_path):
    whole = study(tmp_path, kind="images")
    victim = sorted(tmp_path.rglob("*.safetensors"))[0]
    victim.write_bytes(victim.read_bytes()[:-10])
    with pytest.raises(DamagedFile, match=victim.name):
        study(tmp_path, kind="images")
    repaired = study(tmp_path, kind="images", store=ResultStore(tmp_path, damaged="recompute"))
    assert repaired.provenance["networks"]["trained"] == 1
    assert whole.table.equals(repaired.table)


def test_another_setting_is_another_entry_and_another_file(tmp_path):
    first = study(tmp_path, kind="images", arms=["um_kd"])
    assert study(tmp_path, kind="images", arms=["um_kd"]).settings == first.settings
    settings = {first.settings}
    for changed in ({"temperature": 2.0}, {"kd_weight": 0.25}, {"convention": "released"}):
        again = study(tmp_path, kind="images", arms=["um_kd"], **changed)
        # The teachers stay, and so does the baseline.
        assert again.provenance["networks"] == {"stored": 5, "trained": 2}
        settings.add(again.settings)
    assert len(settings) == 4


def test_an_arm_of_ones_own_is_trained_by_its_method_at_its_strength(tmp_path):
    @register_method("apart")
    @config
    class Apart(Method):
        strength: Positive = 1.0

        def __call__(self, student, target, teacher, parameters):
            return {self.name: self.strength * (student.logits - teacher.logits).abs().mean((-2, -1))}

    try:
        found = {}
        for strength in (1.0, 100.0):
            loss = (Term("ce"), Term(Apart(strength=strength)))
            register_arm(
                Arm("apart_kd", "apart", "Labels and logits.", "#aa5500", TeacherKind("other"), loss)
            )
            table = study(tmp_path, arms=["no_kd", "cm_kd", "apart_kd"]).table
            found[strength] = tuple(_values(table, "apart_kd", metric="nll"))
        plain = {tuple(_values(table, arm, metric="nll")) for arm in ("no_kd", "cm_kd")}
        assert len({*found.values(), *plain}) == 4
    finally:
        ARMS_BY_NAME.forget("apart_kd")
        METHODS.forget("apart")


def test_the_released_convention_reaches_the_loss(shared):
    # SGD without momentum on the divergence over K = 3 is SGD on the divergence at a third of the rate.
    teacher = Recipe(epochs=2)
    sgd = {"epochs": 4, "optimiser": "sgd", "momentum": 0.0, "select": "last"}
    both = [
        study(
            shared,
            arms=["kl_only"],
            convention=convention,
            recipe=Recipe(lr=lr, **sgd),
            teacher_recipe=teacher,
        ).table
        for convention, lr in (("released", 0.3), ("kl", 0.1))
    ]
    released, third = (_values(table, "kl_only", metric="nll") for table in both)
    np.testing.assert_allclose(released, third, rtol=1e-4)


def test_a_third_modality_teaches_only_when_it_is_named_or_all_are(shared):
    data = paired(modalities=("a", "b", "c"))
    found = study(shared, data=data, teacher="c")
    assert (found.provenance["student"], found.provenance["teacher"]) == ("b", "c")
    assert "the a + b + c teacher" in found.verdict
    assert "the c teacher" in found.verdict


def test_a_multi_label_task_reports_its_own_metric(shared):
    data = paired()
    target = torch.nn.functional.one_hot(data.target, 3).float()
    other = PairedData(
        name="many",
        modalities=data.modalities,
        target=target,
        splits=data.splits,
        classes=data.classes,
        task=Task.MULTI_LABEL,
    )
    found = study(shared, data=other)
    assert "macro_f1" in set(found.table["metric"])
    assert "test macro f1" in found.verdict


def test_save_and_load_give_the_same_study(tmp_path, once):
    study_ = once[1]
    path = study_.save(tmp_path)
    assert path.name == "failure_cases_tiny_vectors_b.json"
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".json", ".png", ".svg"]
    loaded = Study.load(path)
    assert loaded.table.equals(study_.table)
    assert loaded.verdict == study_.verdict
    assert dict(loaded.provenance) == dict(study_.provenance)


def test_provenance_says_what_was_run(once):
    found = once[1].provenance
    assert found["fingerprint"] == paired().fingerprint
    assert found["seeds"] == [0, 1]
    assert (found["temperature"], found["kd_weight"], found["convention"]) == (4.0, 0.5, "kl")
    assert found["student_model"]["spec"]["modalities"] == ["b"]
    assert set(found["teacher_models"]) == {"student", "other", "all"}
    assert found["holds_for"].startswith("every processor")


def test_the_global_random_state_does_not_matter(tmp_path, once):
    torch.manual_seed(123)
    np.random.seed(5)  # noqa: NPY002 - the point is that nobody reads it
    assert study(tmp_path).table.equals(once[1].table)


@pytest.mark.long
def test_a_dataset_by_its_name_takes_the_profiles_parameters():
    found = failure_cases(
        "av_digits",
        student="speech",
        seeds=[3],
        arms=["no_kd", "cm_kd"],
        recipe=Recipe(steps=20),
        progress=False,
    )
    assert found.provenance["teacher"] == "image"
    assert found.provenance["samples"]["train"] == found.provenance["dataset_parameters"]["n_train"] == 2000
    assert _values(found.table, "cm_kd", "teacher")[0] > 20  # 20 steps beat chance, 10 %


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"student": "c"}, ["student = 'c'", "'a' or 'b'"]),
        ({"teacher": "c"}, ["teacher = 'c'", "'a' or 'b'"]),
        ({"teacher": "b"}, ["teacher = 'b'", "another modality"]),
        ({"data": paired(modalities=("b",))}, ["dataset = ['b']", "two modalities"]),
        ({"data": paired(modalities=("a", "b", "c"))}, ["teacher = None", "must be named", "'a' or 'c'"]),
        ({"arms": ["no_kd", "xm_kd"]}, ["arms = 'xm_kd'", "Did you mean"]),
        ({"arms": []}, ["arms = []", "at least one arm"]),
        ({"arms": "no_kd"}, ["arms = 'no_kd'", "list"]),
        ({"arms": ["no_kd", "no_kd"]}, ["must not name an arm twice"]),
        ({"seeds": [0, 1, 0]}, ["seeds = [0, 1, 0]", "twice"]),
        ({"seeds": []}, ["seeds = []", "at least one seed"]),
        ({"seeds": [-1]}, ["seeds = -1", "at least 0"]),
        ({"seeds": "01"}, ["seeds = '01'", "sequence"]),
        ({"seeds": [0.5]}, ["seeds = 0.5", "whole number"]),
        ({"temperature": -1.0}, ["temperature = -1.0", "above 0"]),
        ({"temperature": 0}, ["temperature = 0", "above 0"]),
        ({"kd_weight": 1.5}, ["kd_weight = 1.5", "at most 1"]),
        ({"kd_weight": float("nan")}, ["kd_weight = nan", "finite"]),
        ({"convention": "mean"}, ["convention = 'mean'", "'released'"]),
        ({"profile": "huge"}, ["profile = 'huge'", "'quick' or 'full'"]),
        (
            {"data": paired(without=("val",))},
            ["dataset = ['train', 'test']", "'val' split", "recipe selects"],
        ),
        ({"data": paired(without=("test",))}, ["dataset = ['train', 'val']", "'test' split"]),
        ({"data": paired(without=("train",))}, ["dataset = ['val', 'test']", "'train' split"]),
        ({"data": 3}, ["dataset = 'int'", "PairedData"]),
        ({"data": "av_digit"}, ["av_digit", "Did you mean 'av_digits'?"]),
        ({"device": "gpu0"}, ["device = 'gpu0'"]),
        ({"student_model": NetSpec(encoder="lenet")}, ["shape = (6,)", "convolutional"]),
        ({"student_model": NetSpec(encoder={"c": "mlp"})}, ["encoder = 'c'"]),
        ({"student_model": Dropping}, ["student_model = 'Dropping'", "other logits", "self.training"]),
        ({"recipe": {"epochs": 0}}, ["recipe.epochs = 0"]),
        ({"teacher_model": "resnet"}, ["'resnet'", "file that exists"]),
        ({"store": "here"}, ["store = 'here'", "ResultStore"]),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(tmp_path, changed, words):
    with pytest.raises(LabError) as raised:
        study(tmp_path, **changed)
    for word in words:
        assert word in str(raised.value), str(raised.value)
    assert len(ResultStore(tmp_path)) == 0


def test_data_without_validation_is_fine_when_nothing_selects(shared):
    data = paired(without=("val",))
    found = study(shared, data=data, recipe=Recipe(epochs=2, select="last"), arms=["no_kd"])
    assert set(found.table["split"]) == {"train", "test"}
