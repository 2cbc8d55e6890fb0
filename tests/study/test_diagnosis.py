"""A diagnosis on small real runs and on worlds whose shares are declared: what it finds, says and refuses."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mmkd_lab import data as datasets
from mmkd_lab.attribution import Joint
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import Task
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.models import NetSpec
from mmkd_lab.study import diagnose
from mmkd_lab.study.diagnosis import advice, curve, pilots
from mmkd_lab.study.diagnosis.budget import Desk, seconds_of
from mmkd_lab.study.diagnosis.case import Case, experiment_of
from mmkd_lab.study.diagnosis.finding import MORE, SectionFound, interval_of, share
from mmkd_lab.study.diagnosis.run import PARTS
from mmkd_lab.training.recipe import Recipe
from tests.study.tiny import SPEC, TEACHER, paired

JOINT = Joint(epochs=3, batch_size=16)
#: Long enough that no network falls behind a plain classifier, which would have others tried.
RECIPE = Recipe(epochs=25, batch_size=16, lr=0.02)


def _diagnose(folder, data=None, **more):
    told = {"student": "b", "student_model": SPEC, "teacher_model": TEACHER, "recipe": RECIPE, "joint": JOINT}
    told |= {"store": ResultStore(folder), "progress": False, "budget": None, "seeds": range(3)}
    return diagnose(data or paired(), **{**told, **more})


@pytest.fixture(scope="module")
def once(shared):
    return shared, _diagnose(shared, train=["no_kd", "cm_kd"])


def test_every_section_is_there_and_the_table_is_tidy(once):
    found = once[1]
    assert list(found.sections) == [part.name for part in PARTS]
    assert found.left_out == {}
    assert list(found.table.columns) == [*COLUMNS, *MORE]
    assert set(found.table["section"]) == set(found.sections)
    assert set(found.table.query("section != 'arms' and section != 'shares'")["split"]) == {"val"}
    assert list(found.advice.columns) == ["rank", "sentence", "number", "call"]
    assert list(found.advice["rank"]) == list(range(1, len(found.advice) + 1))
    assert "study.failure_cases(data" in " ".join(found.advice["call"])


def test_numbers_of_sentences_are_those_of_the_table(once):
    """Every interval that a section or the advice says is a number of the table, as it is rounded there."""
    found = once[1]
    known = set()
    for row in found.numbers.to_dict("records"):
        ends = [row["mean"], row["low"], row["high"]]
        for digits in (0, 1, 2, 3):
            known.add(tuple(f"{abs(round(one, digits)):.{digits}f}" for one in ends))
    said = [one for part in found.sections.values() if part.name != "arms" for one in part.says]
    texts = [*said, *found.advice["sentence"], found.verdict]
    triples = [
        re.findall(r"\d+(?:\.\d+)?", shown)
        for text in texts
        for shown in re.findall(r"[−+]?\d[\d.]* \[[^\]]*\]", text)
    ]
    assert len(triples) > 30
    assert [one for one in triples if tuple(one) not in known] == []


def test_the_second_call_is_at_once_and_equal(once):
    root, first = once
    again = _diagnose(root, train=["no_kd", "cm_kd"])
    assert again.provenance["networks"].keys() == {"stored"}
    pd.testing.assert_frame_equal(again.table, first.table)
    assert again.verdict == first.verdict
    # what is stored needs no budget
    short = _diagnose(root, budget=0.001)
    assert short.left_out == {}


def test_a_diagnosis_cut_short_goes_on_to_the_same(once, tmp_path):
    with pytest.raises(LabError, match="budget = 1e-06: is too short for any section"):
        _diagnose(tmp_path, budget=1e-6)
    whole = _diagnose(tmp_path)
    pd.testing.assert_frame_equal(whole.table, once[1].table.query("section != 'arms'"))


def test_what_does_not_fit_is_left_out_and_said(once, monkeypatch):
    slow = [replace(part, takes=(0, 0, 0, 0, 1e6)) if part.name == "looks" else part for part in PARTS]
    monkeypatch.setattr("mmkd_lab.study.diagnosis.run.PARTS", slow)
    found = _diagnose(once[0], layer="head", budget="20 min")
    assert list(found.left_out) == ["looks"]
    assert "it takes about 277.8 h" in found.left_out["looks"]
    last = found.advice.iloc[-1]
    assert "1 of 7 sections are left out (what does the teacher look at?)" in last["sentence"]
    assert "layer='head'" in last["call"]
    assert "budget=None" in last["call"]


def test_the_student_is_the_plain_one_and_its_score_that_of_the_table(once):
    """The untaught student of the diagnosis is the one of failure cases, on validation."""
    found, arms = once[1], once[1].sections["arms"].studies["failure_cases"].table
    mine = found.table.query("section == 'fit' and arm == 'student on b'")["value"].to_numpy()
    theirs = arms.query("arm == 'no_kd' and role == 'student' and split == 'val' and metric == 'accuracy'")
    np.testing.assert_array_equal(mine, theirs["value"].to_numpy())


def test_who_is_right_adds_up(once):
    part = once[1].table.query("section == 'agree' and metric == 'share'")
    four = part[part["arm"].str.contains("right")].groupby("seed")["value"].sum()
    np.testing.assert_allclose(four, 100.0)


def test_saved_loaded_and_one_page(once, tmp_path):
    bad = "<script>alert(1)</script>"
    sections = {**once[1].sections, "fit": replace(once[1].sections["fit"], says=[bad], title=bad)}
    advice = once[1].advice.assign(sentence=bad, call=bad)
    found = replace(once[1], title=bad, verdict=bad, sections=sections, advice=advice)
    path = found.save(tmp_path)
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert bad not in page
    assert "&lt;script&gt;alert(1)" in page
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    for part in list(found.sections.values())[1:]:
        assert part.title in page
    loaded = Study.load(path)
    pd.testing.assert_frame_equal(loaded.table, found.table)
    assert loaded.plot().png() == found.plot().png()
    assert bad not in found._repr_html_()


@pytest.mark.parametrize(
    ("shared", "alone", "side"), [(20, 0, 1), (0, 20, -1)], ids=["all shared", "nothing shared"]
)
def test_worlds_of_declared_shares_get_the_right_advice(shared, alone, side, tmp_path):
    """Xue et al. 2023, figure 2: KD gains where what the teacher knows is shared, else it loses."""
    world = datasets.load(
        "gaussian", shared=shared, specific_a=alone, specific_b=10 if alone else 0, hidden=25, n_val=4000
    )
    line = NetSpec(encoder="linear")
    experiment = experiment_of(
        world,
        pair=("b", "a"),
        models=(line, line),
        seeds=range(2),
        options={"recipe": Recipe(epochs=10, batch_size=64, lr=1e-2)},
    )
    case = Case(experiment, Desk(ResultStore(tmp_path)), {"data": "data"})
    found = SectionFound("curve", "", ("diagnose", world.name), "val")
    curve.learns(case, found)
    assert curve.gain(found, curve.THIS).side == side
    said = advice.advise(case, {"curve": found})["sentence"]
    assert any(one.startswith("Distil the a teacher") for one in said) == (side > 0)
    assert any(one.startswith("Do not distil the a teacher") for one in said) == (side < 0)


def test_a_teacher_that_repeats_the_labels_changes_no_pilot():
    rng = np.random.default_rng(1)
    labels = np.eye(3)[rng.integers(0, 3, 40)]
    np.testing.assert_allclose(pilots.told(labels, 0.2 + 0.3 * labels, 0.7), labels, atol=1e-12)
    half = pilots.told(labels, np.where(np.arange(40)[:, None] < 20, 1 - labels, 0.0), 0.5)
    np.testing.assert_array_equal(half[20:], labels[20:])
    assert not np.allclose(half[:20], labels[:20])
    constant = pilots.told(labels, np.full((40, 3), 1 / 3), 0.5)
    np.testing.assert_allclose(constant - constant.mean(0), (labels - labels.mean(0)) / 2, atol=1e-12)


def test_shares_have_wilsons_interval_and_that_of_groups():
    right, data = torch.arange(24) < 18, paired()
    found = share(right, data, "val")
    assert (found.mean, found.n) == (75.0, 24)
    np.testing.assert_allclose([found.low, found.high], [55.10, 88.00], atol=0.01)
    groups = torch.full((len(data),), -1, dtype=torch.int64)
    groups[data.positions("val")] = torch.arange(24) // 2 + 10
    groups[data.positions("train")], groups[data.positions("test")] = 0, 1
    of_groups = share(right, replace(data, group=groups), "val")
    assert of_groups.high - of_groups.low > found.high - found.low


def test_a_seed_is_a_row_and_its_mean_what_is_said():
    found = SectionFound("x", "X", ("diagnose", "d"))
    value = found.seeds("a", "accuracy", {0: 90.0, 1: 96.0, 2: 99.0}, role="network")
    assert value.mean == 95.0
    assert value.high == 100.0  # a share ends there
    assert interval_of(pd.DataFrame(found.rows), "a", "accuracy", "network") == value


def test_a_trained_network_and_a_table_of_answers_may_teach(once, tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
            self.head = nn.LazyLinear(3)

        def forward(self, a):
            return self.head(self.body(a))

    images = paired("images")
    net = Own()
    net(torch.zeros(2, 1, 8, 8))
    before = {name: one.clone() for name, one in net.state_dict().items()}
    small = {"student_model": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "seeds": range(2)}
    found = _diagnose(tmp_path, images, teacher_model=net.eval(), layer="body.1", **small)
    assert found.left_out == {}
    assert "channels at the output of 'body.1'" in " ".join(found.sections["looks"].says)
    assert found.table.query("arm == 'teacher' and role == 'teacher'")["n"].tolist() == [24]
    for name, one in net.state_dict().items():
        assert torch.equal(one, before[name])
    answers = pd.DataFrame(
        np.random.default_rng(0).dirichlet(np.ones(3), len(images)), columns=["x", "y", "z"]
    )
    table = tmp_path / "answers.csv"
    answers.assign(index=images.sample_index.numpy()).to_csv(table, index=False)
    said = _diagnose(tmp_path, images, teacher_model=str(table), **small)
    assert "a table of answers" in " ".join(said.sections["looks"].says)
    some = answers.assign(index=images.sample_index.numpy()).iloc[::2]  # every class keeps an answer
    some.to_csv(table, index=False)
    part = _diagnose(tmp_path, images, teacher_model=str(table), **small)
    assert part.provenance["samples"] == {"train": 60, "val": 12, "test": 30}
    assert "agree" not in part.left_out


def test_several_labels_leave_out_what_needs_one(shared):
    single = paired()
    target = torch.stack([single.target == 0, single.target > 0, single.target == 2], 1).float()
    several = replace(single, target=target, task=Task.MULTI_LABEL)
    found = _diagnose(shared, several, seeds=range(2))
    assert list(found.left_out) == ["agree", "forecast", "looks"]
    assert all("data.one_label(...) asks of one" in why for why in found.left_out.values())
    assert not any(sentence.startswith("Give it more time") for sentence in found.advice["sentence"])
    assert found.sections["shares"].says
    assert "labels right" in set(found.table["metric"])


@pytest.mark.parametrize(
    ("given", "seconds"), [("5 min", 300.0), ("30 s", 30.0), ("1.5 h", 5400.0), (12, 12.0), (None, None)]
)
def test_budgets(given, seconds):
    assert seconds_of(given) == seconds


def _wrong_classes():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(5))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"student": "c"}, r"student = 'c': must be one of 'a' or 'b'"),
        ({"teacher": "c"}, r"teacher = 'c': must be one of 'a' or 'b'"),
        ({"teacher": "b"}, r"teacher = 'b': must be another modality than the student's"),
        ({"budget": "soon"}, r"budget = 'soon': must be seconds, a time such as '30 s', '5 min' or '1 h'"),
        ({"budget": -1}, r"budget = -1: must be seconds"),
        ({"budget": float("nan")}, r"budget = nan: must be seconds"),
        ({"budget": "0 min"}, r"must be seconds"),
        ({"budget": [5]}, r"budget = \[5\]: must be seconds"),
        ({"train": "cm_kd"}, r"train = 'cm_kd': must be True, False or a list of arms"),
        ({"train": ["best_kd"]}, r"train = 'best_kd': must be one of"),
        ({"seeds": [1, 1]}, r"seeds = \[1, 1\]: must not name a seed twice"),
        ({"seeds": []}, r"must name at least one seed"),
        ({"layer": "nowhere"}, r"layer = 'nowhere'"),
        ({"layer": 3}, r"layer = 3: must be the name of a layer"),
        ({"student_model": _wrong_classes}, r"must give one logit for each of the 3 classes"),
        ({"teacher_model": _wrong_classes}, r"must give one logit for each of the 3 classes"),
        ({"teacher_model": 7}, r"teacher_model = 7: must be a NetSpec"),
        ({"teacher_model": "no.csv"}, r"no\.csv"),
        ({"store": "here"}, r"store = 'here': must be a ResultStore"),
        ({"jobs": 0}, r"jobs = 0"),
        ({"ratios": (0.5,)}, r"ratios = .*: is no option of diagnose"),
        ({"temperature": 0}, r"temperature"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_wrong_inputs_are_named(wrong, told, tmp_path):
    with pytest.raises(LabError, match=told):
        _diagnose(tmp_path, **wrong)
    assert list(tmp_path.rglob("*.safetensors")) == []  # nothing was trained


def test_data_without_validation_or_of_another_kind_is_told(tmp_path):
    with pytest.raises(LabError, match=r"must have a 'val' split, since recipe selects by it"):
        _diagnose(tmp_path, paired(without=("val",)))
    with pytest.raises(LabError, match=r"dataset = 'nothing'|must be one of"):
        _diagnose(tmp_path, "nothing")
    three = paired(modalities=("a", "b", "c"))
    with pytest.raises(LabError, match="teacher = None: must be named when there are several"):
        _diagnose(tmp_path, three)
    with pytest.raises(LabError, match="teacher = 'a \\+ c': must be one modality: two are compared here"):
        _diagnose(tmp_path, three, teacher=("a", "c"))


def test_without_validation_the_last_epoch_and_the_test_split(shared):
    last = replace(RECIPE, select="last")
    found = _diagnose(shared, paired(without=("val",)), recipe=last, seeds=range(2))
    assert set(found.table.query("section != 'shares'")["split"]) == {"test"}
    assert isinstance(found.sections["fit"].says[0], str)
