"""Repaired teachers: which channels go, what the teacher says without them, and the study around it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.attribution import Alignment, Joint
from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS, differences
from mmkd_lab.study import failure_cases, repair_teachers
from mmkd_lab.study.repair_words import title, verdict
from mmkd_lab.training.recipe import Recipe
from tests.study.scenes import scenes, settings
from tests.study.tiny import RECIPE, SPEC, TEACHER, paired, repair

WHOLE = ("unaligned_kd", "aligned_kd")
EDITED = ("mg_kd", "ms_kd", "random_kd", "weight_kd", "oracle_kd")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    root = tmp_path_factory.mktemp("repair")
    return root, repair(root)


def values(table, arm, role="student", metric="nll", split="test", ratio=0.25, loss="ce + kd"):
    part = table.query("arm == @arm and role == @role and metric == @metric and split == @split")
    part = part.query("ratio == @ratio and loss == @loss")
    return part.sort_values("seed")["value"].to_numpy()


def test_the_table_is_tidy_and_every_arm_has_its_controls_beside_it(once):
    table = once[1].table
    assert list(table.columns) == [*COLUMNS, "ratio", "loss"]
    assert not table.duplicated(subset=[c for c in table.columns if c != "value"]).any()
    arms = ["no_kd", "cm_kd", *WHOLE, *EDITED]
    assert list(dict.fromkeys(table["arm"])) == [*arms, "linear"]
    per_network = 2 * 3 * 4  # seeds, splits, metrics
    assert len(table) == (len(arms) + len(arms) - 1) * 2 * 2 * per_network + 2 * per_network  # one seed
    found = differences(table, against=("no_kd", "cm_kd"))
    assert len(found) == 2 * 2 * 2 * (len(arms) - 1)


def test_arms_without_a_ratio_stand_at_each_of_them(once):
    table = once[1].table
    for arm in ("no_kd", "cm_kd", *WHOLE, "oracle_kd"):
        assert values(table, arm).tolist() == values(table, arm, ratio=0.5).tolist()
    for arm in ("mg_kd", "ms_kd", "random_kd", "weight_kd"):
        assert values(table, arm).tolist() != values(table, arm, ratio=0.5).tolist()
    assert values(table, "no_kd").tolist() == values(table, "no_kd", loss="kd alone").tolist()
    assert values(table, "mg_kd").tolist() != values(table, "mg_kd", loss="kd alone").tolist()


def test_regular_and_plain_students_are_those_of_the_failure_study(once, shared):
    settings = {
        "student_model": SPEC,
        "teacher_model": TEACHER,
        "recipe": RECIPE,
        "device": "cpu",
        "progress": False,
    }
    other = failure_cases(paired(), student="b", seeds=range(2), store=ResultStore(shared), **settings).table
    for arm in ("no_kd", "cm_kd"):
        for role in ("student", "teacher")[: 1 + (arm == "cm_kd")]:
            expected = other.query("arm == @arm and role == @role and metric == 'nll' and split == 'test'")
            found = values(once[1].table, arm, role)
            np.testing.assert_allclose(found, expected.sort_values("seed")["value"], rtol=1e-5)
    expected = other.query("arm == 'kl_only' and role == 'student' and metric == 'nll' and split == 'test'")
    np.testing.assert_allclose(
        values(once[1].table, "cm_kd", loss="kd alone"), expected.sort_values("seed")["value"], rtol=1e-5
    )


def test_teachers_are_the_aligned_one_without_its_channels(once):
    study = once[1]
    data = paired()
    kept = study.provenance["channels"]["mg_kd, 0.5, 0"]
    assert [len(one) for one in kept] == [4, 4]
    assert (
        values(study.table, "mg_kd", "teacher", ratio=0.5).tolist()
        != values(study.table, "aligned_kd", "teacher").tolist()
    )
    general, specific = (set(study.provenance["channels"][f"{arm}, 0.5, 0"][0]) for arm in ("mg_kd", "ms_kd"))
    assert not general & specific  # half and half of eight channels
    assert study.provenance["channels"]["oracle_kd, None, 0"] == [[0, 5], [0, 5]]
    assert data.fingerprint == study.provenance["fingerprint"]


def test_the_living_channels_that_went_are_counted(once):
    study = once[1]
    for seed in range(2):
        dead = set(np.flatnonzero(study.rankings[seed].constant).tolist())
        for name, kept in study.provenance["channels"].items():
            gone = set(range(8)) - set(kept[seed]) - dead
            assert study.provenance["living_removed"][name][seed] == len(gone), name


def test_random_channels_are_the_mean_of_their_draws(once):
    study = once[1]
    each = [
        run for run in study.runs if run.arm == "random_kd" and run.ratio == 0.5 and run.loss == "ce + kd"
    ]
    assert len(each) == 4  # two seeds, two draws
    gains = np.array([[run.gain for run in each if run.seed == seed] for seed in range(2)]).mean(1)
    accuracy = {arm: values(study.table, arm, metric="accuracy", ratio=0.5) for arm in ("random_kd", "no_kd")}
    np.testing.assert_allclose(gains, accuracy["random_kd"] - accuracy["no_kd"], atol=1e-5)


def test_pairs_hold_the_ranking_that_the_channels_were_kept_by(once):
    root, study = once
    for seed in range(2):
        kept = study.provenance["channels"]["mg_kd, 0.5, 0"][seed]
        assert study.rankings[seed].top(4).tolist() == kept
    again = repair(root)  # from the store alone
    for name in ("values", "magnitude"):
        np.testing.assert_array_equal(getattr(again.rankings[1], name), getattr(study.rankings[1], name))


def test_runs_hold_the_untaught_student_and_their_own_teacher(once):
    study = once[1]
    assert len(study.runs) == 2 * 2 * (
        1 + 2 + 1 + 2 * (1 + 1 + 2 + 1)
    )  # seeds, losses, (cm, whole, oracle, ratios)
    run = next(r for r in study.runs if r.arm == "mg_kd" and r.ratio == 0.5 and r.seed == 1)
    kept = study.provenance["channels"]["mg_kd, 0.5, 0"][1]
    still = np.flatnonzero(np.ptp(run.teacher_features, axis=0) == 0)
    assert set(range(8)) - set(kept) <= set(still)
    assert run.split == "val"
    assert run.teacher_features.shape == (24, 8)
    assert run.student_features.shape == (24, 4)


def test_a_second_run_trains_nothing_and_a_removed_entry_is_made_again(once):
    root, first = once
    again = repair(root)
    assert again.provenance["networks"] == {"stored": first.provenance["networks"]["trained"]}
    assert again.table.equals(first.table)
    victims = sorted(ResultStore(root).root.glob("??/*.json"))[::7]
    for path in victims:
        path.unlink()
    third = repair(root)
    assert 0 < third.provenance["networks"]["trained"] <= len(victims)
    assert third.table.equals(first.table)


def test_more_ratios_reuse_the_pairs_and_what_they_share(once):
    root, _ = once
    study = repair(root, ratios=(0.25, 0.75), arms=["no_kd", "mg_kd", "aligned_kd"], losses=["ce + kd"])
    assert study.provenance["networks"]["trained"] >= 2 * 2  # new teachers and their students
    assert study.provenance["networks"]["stored"] >= 2 * 2  # aligned teachers and the first ratio's


def test_the_unaligned_teacher_is_the_aligned_one_without_the_agreement(once, shared):
    joint = Joint(epochs=3, batch_size=16, objective=Alignment(agreement=0.0))
    study = repair(shared, joint=joint, ratios=[0.5], arms=["no_kd", *WHOLE], losses=["ce + kd"])
    for role in ("teacher", "student"):
        apart = values(once[1].table, "unaligned_kd", role)
        for arm in WHOLE:
            np.testing.assert_allclose(values(study.table, arm, role, ratio=0.5), apart, rtol=1e-5)
        assert np.abs(values(once[1].table, "aligned_kd", role) - apart).min() > 1e-3


def test_with_new_heads_a_whole_teacher_gets_one_too(shared):
    """So that removing nothing is removing nothing."""
    arms = ["no_kd", "aligned_kd", "mg_kd"]
    study = repair(shared, replace="retrain", ratios=[0.0], arms=arms, losses=["ce + kd"])
    for role in ("teacher", "student"):
        whole, edited = (values(study.table, arm, role, ratio=0.0) for arm in ("aligned_kd", "mg_kd"))
        assert whole.tolist() == edited.tolist()


def test_zeros_change_edited_teachers_alone(once, shared):
    arms = ["no_kd", "aligned_kd", "mg_kd"]
    study = repair(shared, replace="zeros", ratios=[0.5], arms=arms, losses=["ce + kd"])
    before = once[1].table
    assert (
        values(study.table, "mg_kd", "teacher", ratio=0.5).tolist()
        != values(before, "mg_kd", "teacher", ratio=0.5).tolist()
    )
    np.testing.assert_allclose(
        values(study.table, "aligned_kd", "teacher", ratio=0.5),
        values(before, "aligned_kd", "teacher"),
        rtol=1e-6,
    )


def test_without_validation_samples_training_ones_are_the_probe(shared):
    recipe = Recipe(epochs=2, batch_size=16, lr=0.01, select="last")
    study = repair(shared, paired(without=("val",)), recipe=recipe, ratios=[0.5], arms=["no_kd", "mg_kd"])
    assert {run.split for run in study.runs} == {"train"}
    assert study.runs[0].teacher_features.shape[0] == 60


def test_any_layer_can_be_repaired(shared):
    study = repair(
        shared,
        paired("images"),
        layer="fusion.encoders.0",
        arms=["no_kd", "mg_kd"],
        ratios=[0.5],
        losses=["kd alone"],
    )
    assert study.provenance["layer"] == "fusion.encoders.0"
    assert study.options["loss"] == "kd alone"
    assert study.options["reference"] == "no_kd"


def test_saved_it_loads_with_its_figure_and_has_no_runs(once, tmp_path):
    study = once[1]
    again = Study.load(study.save(tmp_path))
    assert repr(again) == study.verdict == repr(study)
    assert again.options == study.options
    assert study.name == "repair_tiny_vectors_b"


@pytest.mark.parametrize(
    ("shift", "word"), [(5.0, "better than"), (-5.0, "worse than"), (0.0, "not shown to differ from")]
)
def test_the_verdict_follows_the_numbers(once, shift, word):
    table = once[1].table.copy()
    table = pd.concat([table, table[table["seed"] == 0].assign(seed=2)], ignore_index=True)
    of = {
        arm: (table["role"] == "student") & (table["metric"] == "accuracy") & (table["arm"] == arm)
        for arm in ("cm_kd", "mg_kd")
    }
    wobble = table.loc[of["cm_kd"], "seed"].to_numpy() * (1.0 if shift == 0 else 0.01)
    table.loc[of["mg_kd"], "value"] = (
        table.loc[of["cm_kd"], "value"].to_numpy() + shift + wobble - wobble.mean()
    )
    said = verdict(table, student="b", teacher="a")
    shown = f"{shift:+.2f}".replace("-", "−")
    phrase = rf"is {word} (?:(?! is ).)*crossmodal KD \({re.escape(shown)} \["
    assert re.search(phrase, said)
    assert "3 paired seeds" in said
    assert "modality-general KD" in title(table, student="b")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layer": "fusion.encoder"}, ["layer = 'fusion.encoder'", "'fusion.encoders.0'", "'head'"]),
        ({"layer": ""}, ["layer = ''", "'head'"]),
        ({"ratios": (0.5, 1.0)}, ["ratios = 1.0", "below 1"]),
        ({"ratios": (-0.1,)}, ["ratios = -0.1", "at least 0"]),
        ({"ratios": ()}, ["ratios = []", "at least one"]),
        ({"ratios": 0.5}, ["ratios = 0.5", "list"]),
        ({"ratios": (0.5, 0.5)}, ["ratios = [0.5, 0.5]", "twice"]),
        ({"arms": ["no_kd", "oracle_kd"], "truth": None}, ["truth = None", "'oracle'"]),
        ({"truth": [8]}, ["truth = [8]", "0 to 7"]),
        ({"truth": []}, ["truth = []", "channels"]),
        ({"truth": [1, 1]}, ["truth = [1, 1]", "twice"]),
        ({"arms": ["cm_kd", "mg_kd"]}, ["arms = ['cm_kd', 'mg_kd']", "'no_kd'"]),
        ({"arms": ["no_kd", "mg_kdd"]}, ["arms = 'mg_kdd'", "Did you mean 'mg_kd'?"]),
        ({"losses": ["kl"]}, ["losses = 'kl'", "'kd alone'"]),
        ({"losses": []}, ["losses = []", "at least one"]),
        ({"losses": ["ce + kd", "ce + kd"]}, ["losses", "twice"]),
        ({"replace": "median"}, ["replace = 'median'", "'mean'"]),
        ({"replace": "retrain", "layer": "fusion"}, ["layer = 'fusion'", "'retrain'", "layer=None"]),
        ({"draws": 0}, ["draws = 0", "at least 1"]),
        ({"ratios": [0.5, 0.1]}, ["ratios = 0.1", "none of the 8 channels", "at least 0.125"]),
        ({"side": "left"}, ["side = 'left'", "'output'"]),
        ({"axis": 2, "layer": "fusion"}, ["axis"]),
        (
            {"layer": "fusion.encoders.0.hidden", "arms": ["no_kd", "weight_kd"]},
            ["layer", "'weight'", "linear head"],
        ),
        ({"joint": 3}, ["joint = 3", "Joint"]),
        ({"store": "here"}, ["store = 'here'", "ResultStore"]),
        ({"student": "c"}, ["student = 'c'", "'a' or 'b'"]),
        ({"seeds": [0, 0]}, ["seeds = [0, 0]", "twice"]),
    ],
)
def test_bad_settings_are_named_before_anything_is_trained(tmp_path, given, words):
    with pytest.raises(LabError) as raised:
        repair(tmp_path, **given)
    for word in words:
        assert word in str(raised.value)
    assert len(ResultStore(tmp_path)) == 0


def test_one_modality_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"dataset = \['b'\].*at least two modalities"):
        repair(tmp_path, paired(modalities=("b",)))


def test_a_new_head_of_maps_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"replace = 'retrain': trains a new head on one row of features"):
        repair_teachers(scenes(), **settings(tmp_path, replace="retrain"))
