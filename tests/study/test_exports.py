"""What a study gives away says what the study says, in the form that others read."""

from __future__ import annotations

import base64
import importlib.util
import json
import re

import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import ResultStore, Study
from mmkd_lab.experiments import exports as exporting
from tests.study.tables import table
from tests.study.tiny import study

VERDICT = "A student gains 50 % of −1.20 [−2.00, −0.40] on a_b & <c>."


def toy(**changed):
    students = {"no_kd": 70.0, "um_kd": 72.0, "cm_kd": 71.0}
    settings = {
        "name": "toy",
        "title": "A <b>finding</b>",
        "table": table(students, {"um_kd": 85.0, "cm_kd": 90.0}),
        "verdict": VERDICT,
        "provenance": {"seeds": range(5), "notes": ["Mind <this>."], "fingerprint": "4f1c"},
    }
    return Study(**{**settings, **changed})


@pytest.fixture(scope="module")
def lab(shared):
    return ResultStore(shared), study(shared, arms=["no_kd", "cm_kd"], seeds=[0, 1, 2])


def test_csv_and_parquet_hold_every_digit(tmp_path):
    found = toy()
    again = pd.read_csv(found.to_csv(tmp_path / "a.csv"))
    pd.testing.assert_frame_equal(again, found.table, rtol=1e-14)
    pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    again = pd.read_parquet(found.to_parquet(tmp_path / "deep" / "a.parquet"))
    pd.testing.assert_frame_equal(again, found.table)
    assert again.attrs["verdict"] == VERDICT
    assert again.attrs["provenance"]["fingerprint"] == "4f1c"


def test_latex_has_every_mean_and_nothing_that_latex_takes_for_something_else(tmp_path):
    found = toy()
    text = found.to_latex(tmp_path / "a.tex")
    assert (tmp_path / "a.tex").read_text() == text
    assert r"\caption{A student gains 50 \% of −1.20 [−2.00, −0.40] on a\_b \& <c>.}" in text
    lines = re.findall(r"^(teacher|student) & (.*) & (.*) & (\d+) \\\\$", text, re.MULTILINE)
    assert [line[0] for line in lines] == ["teacher"] * 2 + ["student"] * 3
    means = found.summary().set_index(["role", "arm"])
    row = means.loc[("student", "cm_kd")]
    assert lines[-1][2] == f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    assert lines[-1][3] == "5"
    assert text.count("{") == text.count("}")
    alone = found.table[found.table["seed"] == 0]
    assert "[" not in toy(table=alone, verdict="v").to_latex()


def test_a_study_as_one_page(tmp_path):
    found = toy()
    text = found.report(tmp_path / "toy.html").read_text()
    for part in (
        "A &lt;b&gt;finding&lt;/b&gt;", "Mind &lt;this&gt;.", "4f1c", "data:image/svg+xml;base64,",
        "[−2.00,\u00a0−0.40]", "unimodal KD", "crossmodal KD",
    ):  # fmt: skip
        assert part in text, part
    row = found.summary().set_index(["role", "arm"]).loc[("student", "cm_kd")]
    assert f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    (held,) = re.findall(r'href="data:text/plain;base64,([^"]*)" download="toy.csv"', text)
    assert base64.b64decode(held) == found.to_csv(tmp_path / "a.csv").read_bytes()
    plain = toy(kind="none", provenance={}).report(tmp_path / "plain.html").read_text()
    assert "<img" not in plain


def test_histories_go_to_tensorboard(lab, tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store, found = lab
    found.track("tensorboard", tmp_path, store=store)
    history = found.histories(store=store)
    for arm in ("no_kd", "cm_kd"):
        for seed in range(3):
            events = EventAccumulator(str(tmp_path / found.name / f"{arm} {seed}"))
            events.Reload()
            mine = history.query("arm == @arm and seed == @seed and split == 'val' and metric == 'nll'")
            seen = events.Scalars("val/nll")
            assert [one.step for one in seen] == mine["epoch"].tolist()
            assert [one.value for one in seen] == pytest.approx(mine["value"].tolist(), rel=1e-6)
            assert events.Scalars("selected/test/accuracy")[0].value == pytest.approx(
                found.table.query(
                    "arm == @arm and seed == @seed and split == 'test' and metric == 'accuracy' "
                    "and role == 'student'"
                )["value"].item(),
                rel=1e-6,
            )


@pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # MLflow's own
def test_histories_go_to_mlflow(lab, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow")
    store, found = lab
    found.track("mlflow", tmp_path / "runs", store=store)
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs/mlflow.db")
    number = client.get_experiment_by_name(found.name).experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([number])}
    assert sorted(runs) == sorted(f"{arm} {seed}" for arm in ("no_kd", "cm_kd") for seed in range(3))
    one = runs["cm_kd 1"]
    assert one.data.params["recipe.lr"] == "0.01"
    assert one.data.tags["verdict"] == found.verdict
    history = found.histories(store=store).query("arm == 'cm_kd' and seed == 1 and metric == 'nll'")
    seen = client.get_metric_history(one.info.run_id, "val/nll")
    assert {m.step: m.value for m in seen} == dict(zip(history["epoch"], history["value"], strict=True))
    with pytest.raises(LabError, match="place = 'nowhere://x': cannot be written by MLflow"):
        found.track("mlflow", "nowhere://x", store=store)


def test_histories_go_to_wandb_offline(lab, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    store, found = lab
    found.track("wandb", tmp_path, store=store)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 6


def test_wrong_input_is_refused(lab, tmp_path, monkeypatch):
    store, found = lab
    (tmp_path / "file").write_text("")
    for call, words in (
        (lambda: found.report(tmp_path / "a.pdf"), "ending of path = '.pdf'"),
        (lambda: found.to_csv(tmp_path / "file" / "a.csv"), "must be a file that can be written"),
        (lambda: found.to_latex(metric="acuracy"), "Did you mean 'accuracy'"),
        (lambda: found.to_latex(split="tset"), "Did you mean 'test'"),
        (lambda: found.track("tensorbord", tmp_path, store=store), "Did you mean 'tensorboard'"),
        (lambda: toy().track("tensorboard", tmp_path), "must know where its students are kept"),
    ):
        with pytest.raises(LabError, match=words):
            call()
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(LabError, match=r"needs the package pyarrow\. pip install 'mmkd-lab\[parquet\]'"):
        found.to_parquet(tmp_path / "a.parquet")
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(LabError, match=r"tracker = .wandb.: is not installed\. pip install wandb"):
            found.track("wandb", tmp_path, store=store)


def test_a_saved_study_gives_the_same_away(lab, tmp_path):
    store, found = lab
    found.save(tmp_path)
    again = Study.load(tmp_path / found.name)
    assert again.to_latex() == found.to_latex()
    pd.testing.assert_frame_equal(again.histories(store=store), found.histories(store=store))
    assert json.loads((tmp_path / f"{found.name}.json").read_text())["students"]
