"""Forecasts: the same again, honest about what they know, and clear about what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mmkd_lab import forecast
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data import PairedData, Task
from mmkd_lab.distill import TeacherOutputs
from mmkd_lab.forecast.evidence import EVIDENCE, evidence
from mmkd_lab.forecast.foretell import _torn
from mmkd_lab.forecast.pair import MOST_TRAIN, pair_of
from mmkd_lab.models import NetSpec
from tests.forecast.pairs import pair

QUICK = {"arms": ["cm_kd"], "student": "b"}


@pytest.fixture(scope="module")
def found():
    return forecast.forecast(pair(), student="b")


def test_every_arm_has_a_probability_and_a_gain_in_its_interval(found):
    assert found.table["arm"].tolist() == ["cm_kd", "um_kd", "mm_kd"]
    assert found.table["probability"].between(0, 1).all()
    assert (found.table["low"] <= found.table["gain"]).all()
    assert (found.table["gain"] <= found.table["high"]).all()
    assert list(found.evidence) == list(EVIDENCE)
    assert len(found.evidence) == 1
    assert found.verdict.startswith("small, a → b: crossmodal KD beats no KD with probability 0.")
    assert "such forecasts were right in" in found.verdict
    assert found.seconds > 0


def test_the_same_question_has_the_same_answer(found):
    again = forecast.forecast(pair(), student="b", teacher="a")
    pd.testing.assert_frame_equal(found.table, again.table)
    pd.testing.assert_frame_equal(found.evidence, again.evidence)
    assert found.verdict == again.verdict


def test_the_test_split_is_not_looked_at(found):
    known = pair()
    test = known.positions("test")
    sides = {name: values.clone() for name, values in known.modalities.items()}
    for values in sides.values():
        values[test] = values[test].flip(0) * 7.0
    target = known.target.clone()
    target[test] = target[test].flip(0)
    changed = forecast.forecast(replace(known, modalities=sides, target=target), student="b")
    pd.testing.assert_frame_equal(found.evidence, changed.evidence)


def test_it_is_drawn_with_every_arm(found):
    words = {text.get_text() for text in found.plot().findobj(lambda one: hasattr(one, "get_text"))}
    assert any("crossmodal KD" in one for one in words)
    assert any("p = 0." in one for one in words)


def test_what_a_teacher_says_stands_in_the_place_of_a_probe():
    known, told = pair(), pair_of(pair(), "a", "b", seed=0)
    perfect = 9.0 * torch.eye(3)[known.target]
    said = TeacherOutputs(known.sample_index, perfect[None], identity=known.identity)
    by_table = forecast.forecast(known, teacher_model=said, **QUICK)
    assert by_table.evidence["teacher_accuracy"].item() == 100.0
    assert by_table.evidence["pilot"].item() == pytest.approx(0.0, abs=1.0)  # it says little but the labels
    plain = evidence(told)
    assert plain["teacher_accuracy"] < 100.0
    assert by_table.evidence["student_accuracy"].item() == plain["student_accuracy"]
    net = nn.Linear(6, 3)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    constant = forecast.forecast(known, teacher_model=net, **QUICK)
    share = (known.target[known.positions("val")] == 1).double().mean().item() * 100
    assert constant.evidence["teacher_accuracy"].item() == pytest.approx(share)


def test_a_teacher_that_is_not_trained_is_left_aside_and_said_to_be():
    plain = forecast.forecast(pair(), **QUICK)
    noted = forecast.forecast(pair(), teacher_model=NetSpec(), **QUICK)
    pd.testing.assert_frame_equal(plain.table, noted.table)
    assert "not trained yet" in " ".join(noted.notes)


def test_a_pair_like_none_is_said_to_be_so():
    odd = pair(classes=3, wide=6)
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.standard_normal((len(odd), 20_000)).astype(np.float32))
    wide = replace(odd, modalities={"a": values, "b": values[:, :3]})
    found = forecast.forecast(wide, **QUICK)
    assert found.table["outside"].item() == ("nothing like this pair is in the atlas" in found.verdict)


def test_large_sets_are_looked_at_in_part_and_groups_stay_whole():
    known = pair(2 * MOST_TRAIN)
    told = pair_of(known, "a", "b", seed=0)
    assert (len(told.y), told.samples) == (MOST_TRAIN, 2 * MOST_TRAIN)
    assert f"{MOST_TRAIN} of {2 * MOST_TRAIN}" in told.notes[0]
    grouped = pair(group=True)
    splits = {"train": grouped.positions("train"), "test": grouped.positions("test")}
    halved = pair_of(replace(grouped, splits=splits), "a", "b", seed=0)
    group = grouped.group.numpy()
    assert not set(group[halved.rows]) & set(group[halved.rows_val])
    assert "stand for it" in halved.notes[0]


def test_direction_turns_differences_and_leaves_shares():
    kept = {}
    one = evidence(pair_of(pair(), "a", "b", seed=0), known=kept)
    two = evidence(pair_of(pair(), "b", "a", seed=0))
    assert one["accuracy_difference"] == -two["accuracy_difference"]
    assert one["cka"] == pytest.approx(two["cka"])
    assert one["gamma_commonality"] == pytest.approx(two["gamma_commonality"])


def _multi() -> PairedData:
    known = pair()
    target = torch.nn.functional.one_hot(known.target, 3)
    return replace(known, target=target, task=Task.MULTI_LABEL)


def _lone() -> PairedData:
    known = pair()
    target = known.target.clone()
    train = known.positions("train")
    target[train[target[train] == 2][1:]] = 0
    return replace(known, target=target)


def _only(*splits: str) -> PairedData:
    known = pair()
    return replace(known, splits={name: known.positions(name) for name in splits})


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        (lambda: "av_digit", {}, "Did you mean 'av_digits'"),
        (lambda: 3, {}, "PairedData"),
        (pair, {"student": "c"}, "student = 'c'"),
        (pair, {"teacher": "b"}, "another modality than the student's"),
        (pair, {"arms": ["no_kd"]}, "arm = 'no_kd': must be one of 'cm_kd'"),
        (pair, {"arms": []}, "at least one arm"),
        (pair, {"arms": ["cm_kd", "cm_kd"]}, "none twice"),
        (pair, {"arms": "cm_kd"}, "a list of arms"),
        (pair, {"seed": -1}, "seed = -1"),
        (pair, {"seed": 0.5}, "whole number"),
        (pair, {"teacher_model": 7}, "teacher_model"),
        (pair, {"teacher_model": nn.Linear(6, 5)}, "3"),
        (_multi, {}, "one label a sample"),
        (_lone, {}, "at least two training samples"),
        (lambda: _only("val", "test"), {}, "must have a 'train' split"),
    ],
)
def test_wrong_questions_are_refused(data, options, told):
    with pytest.raises(LabError) as caught:
        forecast.forecast(data(), **{"student": "b", "arms": ["cm_kd"], **options})
    assert told in str(caught.value)


def test_a_constant_modality_is_refused_by_name():
    known = pair()
    flat = {**known.modalities, "a": torch.ones(len(known), 4)}
    with pytest.raises(LabError, match="modality 'a'"):
        forecast.forecast(replace(known, modalities=flat), **QUICK)


def test_a_table_without_answers_for_validation_is_refused():
    known = pair()
    train = known.sample_index[known.positions("train")]
    said = TeacherOutputs(train, torch.zeros(1, len(train), 3), identity=known.identity)
    with pytest.raises(LabError, match="must name samples the teacher was asked about"):
        forecast.forecast(known, teacher_model=said, **QUICK)


def test_samples_without_a_side_or_an_answer_are_left_aside():
    known, rng = pair(), np.random.default_rng(0)
    there = torch.from_numpy(rng.random(len(known)) < 0.8)
    told = pair_of(replace(known, present={"a": there}), "a", "b", seed=0)
    assert there[told.rows].all()
    assert there[told.rows_val].all()
    assert "have both sides" in told.notes[0]
    index = known.sample_index[there]
    said = TeacherOutputs(index, torch.randn(1, len(index), 3), identity=known.identity, partial=True)
    found = forecast.forecast(known, teacher_model=said, **QUICK)
    assert 10 ** found.evidence["log_samples"].item() == pytest.approx(len(told.y))


def test_the_damaged_file_is_named(tmp_path, monkeypatch):
    from mmkd_lab.forecast import records

    file = tmp_path / "atlas.csv"
    whole = records.tidy(forecast.atlas().head(3))
    monkeypatch.setattr(records, "own_file", lambda: file)
    for text, told in (
        ("", "must be an atlas"),
        ("set,gain\na,1\n", "no column"),
        (whole.replace("cm_kd", "", 1), "line 2"),
        (whole.splitlines()[0] + "\n", "no row"),
        (forecast.atlas().head(1).astype(object).assign(gain="eight").to_csv(index=False), "numbers"),
    ):
        file.write_text(text)
        with pytest.raises(DamagedFile, match=told) as caught:
            forecast.atlas(yours=True)
        assert caught.value.argument == str(file)


@pytest.mark.parametrize(("probability", "gain", "torn"), [(0.7, -0.5, 1), (0.7, 0.5, 0), (0.2, 0.1, 1)])
def test_two_models_that_point_to_different_sides_are_told(probability, gain, torn):
    said = _torn({"arm": "cm_kd", "probability": probability, "gain": gain})
    assert len(said) == torn
    assert all("crossmodal KD" in one for one in said)
