"""The controls of a comparison of KD and MSD: what they share with MSD, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.data.meta import set_aside
from mmkd_lab.distill import ARMS, labels_only
from mmkd_lab.experiments.networks import steps_run
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study.msd import ARMS as MSD_ARMS
from mmkd_lab.training.fit import fit
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from tests.study.tiny import RECIPE, SPEC, paired
from tests.study.tiny_msd import compare, values, with_text


@pytest.fixture(scope="module")
def full(shared):
    arms = ["kd", "kd_drop", "msd_instance", "msd_learned", "pruned"]
    return compare(shared, arms=arms, seeds=[0])


def test_kd_on_all_views_is_msd_with_the_full_output_as_target_and_nothing_else():
    mine, its = (ARMS[arm] for arm in ("kd_views", "msd_uniform"))
    assert mine.teacher == its.teacher
    assert mine.loss[:-1] == its.loss[:-1]
    assert (mine.loss[-1].method.target, its.loss[-1].method.target) == ("full", "view")
    assert replace(mine.loss[-1].method, target="view") == its.loss[-1].method
    assert mine.loss[-1].weight.grid == its.loss[-1].weight.grid


def test_the_rate_of_modality_drop_is_chosen_among_several(full):
    seen = [one for one in full.provenance["tuning"] if one["choice"] == "kd_drop"]
    assert [one["value"] for one in seen] == list(ARMS["kd_drop"].drop.grid)
    assert len({(one["val"], one["nll"]) for one in seen}) == len(seen)  # each was trained with its own rate


def test_untuned_the_rate_is_the_one_asked_for(shared):
    asked = {"arms": ["kd", "kd_drop"], "tune": False, "seeds": [0]}
    little, much = (compare(shared, drop=rate, **asked) for rate in (0.05, 0.6))
    assert little.provenance["strengths"]["kd_drop"] == 0.05
    assert values(little, "kd").tolist() == values(much, "kd").tolist()
    assert values(little, "kd_drop").tolist() != values(much, "kd_drop").tolist()


def test_what_cannot_be_had_is_left_out_with_its_reason(shared):
    recipe = replace(RECIPE, modality_dropout=0.2, epochs=1)
    found = compare(shared, recipe=recipe, seeds=[0], tune=False)
    left_out = found.provenance["left_out"]
    assert set(left_out) == {"kd_drop", "pruned"}
    assert "modality dropout" in left_out["pruned"]
    assert set(found.table["arm"]) == {"teacher", "linear", *MSD_ARMS} - set(left_out)


def test_every_arm_can_be_had_where_a_modality_is_text(shared):
    found = compare(shared, with_text(), seeds=[0], tune=False, recipe=replace(RECIPE, epochs=1))
    assert found.provenance["left_out"] == {}
    assert set(found.table["arm"]) == {"teacher", "linear", *MSD_ARMS}


def test_time_per_step_counts_the_steps_that_were_run():
    long = Recipe(epochs=40, batch_size=16, lr=0.05, patience=1)
    data = set_aside(paired(), share=0.2)
    untrained = Replicas.build(SPEC, data, seeds=[0, 1], device="cpu")
    run = steps_run(fit(untrained, data, labels_only(), long, progress=False), long, 48)
    assert all(0 < steps < 40 * 3 and steps % 3 == 0 for steps in run)
    cut = Recipe(steps=7, batch_size=16, lr=0.01)
    assert steps_run(fit(untrained, data, labels_only(), cut, progress=False), cut, 48) == [7, 7]


def test_the_notes_say_how_samples_strengths_and_steps_came_about(full, shared):
    said = " ".join(full.provenance["notes"])
    assert "trains on 48 samples; 12 more were set aside for learning weights" in said
    assert "their labels are seen by the learned arms alone" in said
    assert "12 intervals" in said  # four arms beside KD, three views
    assert "tuned for the full input" in said
    assert "twice the steps" in said
    assert "draws" not in said
    asked = {"arms": ["kd", "kd_views", "msd_uniform"], "tune": False, "seeds": [0], "removal": "permutation"}
    few = compare(shared, **asked).provenance["notes"]
    assert few[0] == "Every arm trains on 48 samples; 12 more were set aside and are not used."
    assert few[2].endswith("its target differs, and its strength is its own, given.")
    assert "several draws" in few[3]
    assert not any(word in " ".join(few[:4]).lower() for word in ("tuned", "chosen"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"removal": "permutation", "recipe": replace(RECIPE, modality_dropout=0.2), "arms": ["kd"]},
            ["recipe.modality_dropout = 0.2", "permutation"],
        ),
        ({"recipe": replace(RECIPE, modality_dropout=0.2), "arms": ["kd", "pruned"]}, ["arms = 'pruned'"]),
        ({"recipe": replace(RECIPE, modality_dropout=0.2), "arms": ["kd", "kd_drop"]}, ["arms = 'kd_drop'"]),
        ({"recipe": replace(RECIPE, precision="16-mixed"), "arms": ["kd", "pruned"]}, ["'16-mixed'"]),
        ({"recipe": replace(RECIPE, precision="16-mixed"), "arms": ["kd", "msd_global"]}, ["'16-mixed'"]),
        (
            {"teacher_model": SPEC, "arms": ["kd", "pruned"]},
            ["arms = 'pruned'", "parameters are not between"],
        ),
        (
            {"data": "images", "teacher_model": NetSpec(encoder="resnet"), "arms": ["kd", "pruned"]},
            ["arms = 'pruned'", "ResNet"],
        ),
    ],
    ids=str,
)
def test_an_arm_that_would_fail_late_is_refused_at_once(tmp_path, options, words):
    given = dict(options)
    data = paired(given.pop("data", "vectors"))
    with pytest.raises(LabError) as raised:
        compare(tmp_path, data, **given)
    for word in words:
        assert word in str(raised.value)
    assert len(ResultStore(tmp_path)) == 0
