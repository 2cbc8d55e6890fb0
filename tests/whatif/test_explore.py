"""Any study opens as a panel; what it shows is what the table holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import paired_interval
from mmkd_lab.experiments.result import Study
from mmkd_lab.whatif.panel import LivePanel
from tests.house.tree import ROOT

STORED = sorted(
    path
    for path in (ROOT / "benchmarks" / "results").glob("*.json")
    if '"csv_sha256"' in path.read_text(encoding="utf-8")
)
GAP = {"no_kd": 0.0, "um_kd": 2.0, "cm_kd": -1.0}


def _study(*, seeds=5, views=("full", "text")):
    rng = np.random.default_rng(0)
    rows = [
        {"study": "s", "dataset": "d", "arm": arm, "role": "student", "seed": seed, "split": split,
         "metric": metric, "value": 60 + seed + GAP[arm] * (1 + (view == "text")) + 0.1 * rng.normal(),
         "view": view}
        for arm in GAP for seed in range(seeds) for split in ("test", "val")
        for metric in ("accuracy", "nll") for view in views
    ]  # fmt: skip
    return Study("s", "A study", pd.DataFrame(rows), "It says so.", kind="none")


def _values(study, arm, **at):
    table = study.table
    for column, value in {"arm": arm, "split": "test", "metric": "accuracy", "view": "full", **at}.items():
        table = table[table[column] == value]
    return table.sort_values("seed")["value"].to_numpy()


def test_the_sentence_and_the_numbers_are_the_tables():
    study = _study()
    view = study.explore(at=("view=text",)).answer()
    gap = paired_interval(_values(study, "um_kd", view="text"), _values(study, "no_kd", view="text"))
    assert f"unimodal KD is better than no KD ({gap.show(signed=True)})" in view.sentence
    assert "view text" in view.sentence
    np.testing.assert_array_equal(view.numbers["crossmodal KD (%)"], _values(study, "cm_kd", view="text"))
    assert set(view.table["view"]) == {"text"}
    assert set(view.table["metric"]) == {"accuracy"}


def test_less_is_not_called_better():
    view = _study().explore(metric="nll").answer()
    assert re.search("unimodal KD is above no KD", view.sentence)
    assert "crossmodal KD has the lowest mean" in view.scenes["arms"].told
    assert "better" not in view.sentence


def test_seeds_keep_their_place_and_say_who_they_are():
    study = _study()
    svg = study.explore(seed="3").answer().scenes["arms"].svg()
    told = re.findall(r'<circle cx="[^"]*" cy="([^"]*)"[^>]*><title>([^<]*), seed 1: ([\d.]*) %', svg)
    heights = np.array([float(y) for y, _, _ in told])
    assert [name for _, name, _ in told] == ["no KD", "unimodal KD", "crossmodal KD"]
    np.testing.assert_allclose(np.diff(heights), 30.0, atol=0.11)
    assert [float(value) for *_, value in told] == [round(_values(study, arm)[1], 1) for arm in GAP]
    assert svg.count("seed 3") == 6, "faint and strong, in each of three rows"


def test_what_has_no_value_of_a_column_stands_everywhere_and_seeds_are_paired_where_both_have_them():
    table = _study(views=("",)).table.drop(columns="view")
    table["ratio"] = np.where(table["arm"] == "cm_kd", 0.5, np.nan)
    more = table[table["arm"] == "cm_kd"].assign(ratio=0.75)
    table = pd.concat([table, more[more["seed"] > 1]], ignore_index=True)
    lab = Study("s", "T", table, "V.").explore(at=("ratio=0.75",))
    seen = lab.cut(lab.state)
    assert list(seen.values) == ["no_kd", "um_kd", "cm_kd"]
    assert {one.treated: one.found.n for one in seen.claims} == {"um_kd": 5, "cm_kd": 3}


def test_a_saved_study_opens_from_its_link(tmp_path):
    path = _study().save(tmp_path)
    lab = whatif.explore(path, reference="cm_kd", at=("view=text",), arms=("um_kd",))
    again = whatif.open(lab.link())
    assert again.state == lab.state
    assert again.answer().sentence == lab.answer().sentence
    assert again.python() == lab.python() == f"whatif.open({lab.link()!r}).show()"
    fresh = _study().explore(metric="nll")
    assert fresh.python() == "study.explore(metric='nll').show()"
    assert fresh.restore("explore?split=val").split == "val"


@pytest.mark.parametrize(
    ("state", "argument"),
    [({"metric": "acuracy"}, "metric"), ({"arms": ("x",)}, "arm"), ({"at": ("view=image",)}, "view"),
     ({"at": ("ratio=1",)}, "at"), ({"seed": "9"}, "seed")],
)  # fmt: skip
def test_what_the_study_has_not_is_refused(state, argument):
    with pytest.raises(LabError) as caught:
        _study().explore(**state)
    assert caught.value.argument == argument


def test_a_link_without_a_study_is_refused():
    with pytest.raises(LabError, match="study"):
        whatif.open("explore?metric=nll")


def test_one_arm_or_one_seed_has_no_verdict():
    alone = _study(seeds=1).explore().answer()
    assert "no conclusion" in alone.sentence
    table = _study().table
    single = Study("s", "T", table[table["arm"] == "no_kd"], "V.").explore().answer()
    assert list(single.scenes) == ["arms"]
    assert single.sentence.endswith("no KD 61.99 [60.01, 63.98] %.")


def test_the_panel_follows_its_controls():
    panel = LivePanel(_study().explore())
    assert set(panel.controls) == {"metric", "split", "at:view", "arms", "reference", "seed"}
    assert panel.controls["arms"].value == tuple(GAP)
    panel.controls["at:view"].value = "text"
    panel.controls["reference"].value = "um_kd"
    panel.controls["arms"].value = ("cm_kd",)
    assert panel.wait()
    assert "crossmodal KD is worse than unimodal KD" in panel.sentence.value
    assert panel.controls["arms"].value == ("um_kd", "cm_kd"), "the reference is always there"
    panel.buttons["reset"].click()
    assert panel.wait()
    assert panel.controls["arms"].value == tuple(GAP)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_every_stored_study_opens(path: Path):
    lab = whatif.explore(path)
    table = Study.load(path).table
    for role in dict.fromkeys(table["role"]):
        for metric in dict.fromkeys(table.loc[table["role"] == role, "metric"]):
            state = lab.change(lab.change(lab.state, "role", role), "metric", metric)
            view = lab.answer(state)
            assert view.scene().svg().startswith("<svg")
            assert set(view.table["role"]) == {role}
            assert set(view.table["metric"]) == {metric}
            assert not view.table.duplicated(["arm", "seed"]).any()
            assert lab.restore(lab.link(state)) == state
