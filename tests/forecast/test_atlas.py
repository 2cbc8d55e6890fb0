"""The atlas that ships, pairs that are added beside it, and the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab import forecast
from mmkd_lab.cli import main
from mmkd_lab.core.check import LabError
from mmkd_lab.data.manifest import shipped
from mmkd_lab.forecast import measure, records
from mmkd_lab.forecast.judge import scores
from mmkd_lab.forecast.measure import SEES, Trials, measured, narrow
from mmkd_lab.forecast.model import CHOICES
from mmkd_lab.forecast.page import page, write_page
from tests.forecast.pairs import pair

SETS = {"mfeat", "gaussian", "mixed", "av_digits", "ravdess", "emoji", "crema_votes", "shapes_vl", "av_mnist"}


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "own_file", lambda: tmp_path / "yours.csv")
    return tmp_path / "yours.csv"


def test_the_shipped_atlas_is_whole():
    rows = forecast.atlas()
    assert list(rows) == list(records.COLUMNS)
    assert set(rows["set"]) == SETS
    assert set(rows["arm"]) == set(SEES)
    assert not rows.duplicated(list(records.ABOUT)).any()
    assert (rows["seeds"] >= measure.SEEDS).all()
    assert (rows["low"] <= rows["gain"]).all()
    assert (rows["gain"] <= rows["high"]).all()
    assert rows["foretold"].between(0, 1).all()
    crossmodal = rows[rows["arm"] == "cm_kd"]
    mfeat = crossmodal[crossmodal["set"] == "mfeat"]
    assert set(mfeat.groupby("samples").size()) == {30}
    always = [name for name in forecast.EVIDENCE if name.startswith(("log_", "pilot", "curve"))]
    assert crossmodal[[*always, "teacher_accuracy", "cka"]].notna().all().all()


def test_reading_and_writing_an_atlas_gives_the_same_file():
    text = shipped("atlas.csv").read_text(encoding="utf-8")
    assert records.tidy(forecast.atlas()) == text


@pytest.mark.long
def test_what_is_told_of_the_past_is_what_the_file_says():
    for arm in SEES:
        taught = records.learned(arm)
        assert taught.choice in CHOICES
        known = scores(taught.rows["foretold"].to_numpy(), taught.rows)
        assert {name: taught.record[name] for name in known} == pytest.approx(known, nan_ok=True)
        assert not any(taught.unlike(taught.rows.iloc[[i]]) for i in (0, len(taught.rows) - 1))


def test_the_base_rate_of_a_row_is_that_of_the_other_sets():
    rows = pd.DataFrame({"set": ["a", "a", "b", "c", "c"], "gain": [1.0, 1.0, -1.0, 1.0, -1.0]})
    assert records.base_rate(rows) == pytest.approx([0.25, 0.25, 0.75, 0.5, 0.5])


def test_a_pair_is_measured_added_and_replaced_and_the_shipped_file_stays(own, monkeypatch):
    monkeypatch.setattr(measure, "STEPS", 20)
    before = shipped("atlas.csv").read_bytes()
    rows = measured(pair(), student="b")
    assert rows["arm"].tolist() == list(SEES)
    assert rows["foretold"].between(0, 1).all()
    assert records.add(rows) == records.add(rows) == own
    every = forecast.atlas(yours=True)
    mine = every[every["set"] == "small"]
    assert len(mine) == len(rows)
    assert mine["gain"].to_numpy() == pytest.approx(rows["gain"].to_numpy(), rel=1e-5)
    assert len(forecast.atlas()) == len(every) - len(rows)
    assert shipped("atlas.csv").read_bytes() == before


def test_students_beside_each_other_learn_what_they_learn_alone(monkeypatch):
    monkeypatch.setattr(measure, "STEPS", 20)
    bench = Trials(pair(), seeds=3)
    both = bench.gains("b", [("a",), ("a", "b")])
    for sees, gain in both.items():
        (alone,) = bench.gains("b", [sees]).values()
        assert alone.found == gain.found or alone.steps != gain.steps
        assert alone.teacher == gain.teacher


def test_wide_modalities_become_components_of_the_training_samples():
    known = pair()
    assert narrow(known).fingerprint == known.fingerprint
    rng = np.random.default_rng(0)
    mixed = known.modalities["a"] @ torch.from_numpy(rng.standard_normal((6, 400)).astype(np.float32))
    few = narrow(replace(known, modalities={**known.modalities, "a": mixed}))
    assert few.shapes == {"a": (64,), "b": (6,)}
    energy = few.modalities["a"].double()[known.positions("train")].var(0)
    assert (energy[:6] > 1.0).all()
    assert (energy[6:] < 1e-6).all()  # what was mixed had six dimensions


def test_the_page_holds_every_number_and_no_text_ends_its_script():
    rows = forecast.atlas().head(5)
    rows.loc[rows.index[0], "setting"] = "</script><b>"
    text = page(rows)
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    found = json.loads(held[1])
    assert [row["gain"] for row in found["rows"]] == rows["gain"].tolist()
    assert found["rows"][0]["setting"] == "</script><b>"
    assert set(found["evidence"]) == set(forecast.EVIDENCE)
    assert found["yours"] == 0
    assert not re.search(r"""(?:src|href)=["']|https?://(?!www\.w3\.org/2000/svg)""", text)


@pytest.mark.browser
def test_the_page_opens_at_the_pair_that_was_added(browser, tmp_path):
    rows = forecast.atlas().query("arm == 'cm_kd' and gamma_canonical == gamma_canonical").head(5)
    added = rows.iloc[-1]
    page = browser.new_page()
    page.goto(write_page(rows, tmp_path / "atlas.html", yours=1).as_uri())
    assert page.locator("#told h2").inner_text() == f"{added['set']}: {added['teacher']} → {added['student']}"
    assert page.locator(".point").count() == 5
    assert page.locator(".point.yours.open").count() == 1
    page.close()


def test_the_command_writes_the_page_and_refuses_half_a_question(own, tmp_path, capsys):
    file = tmp_path / "page.html"
    assert main(["atlas", "--out", str(file)]) == 0
    assert capsys.readouterr().out.split() == [str(file)]
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["atlas", "--student", "a"]) == 2
    assert "goes with --add" in capsys.readouterr().err
    assert main(["atlas", "--add", "av_digits"]) == 2
    assert "--student" in capsys.readouterr().err
    assert main(["atlas", "--out", str(tmp_path)]) == 2


def test_data_without_a_split_to_count_on_is_refused():
    known = pair()
    with pytest.raises(LabError, match="'test' split"):
        measured(replace(known, splits={n: known.positions(n) for n in ("train", "val")}), student="b")
