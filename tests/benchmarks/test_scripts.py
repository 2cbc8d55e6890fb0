"""The scripts of benchmarks/: stored results, the page that shows them, the GPU script tried on a CPU."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

from mmkd_lab.data import DATASETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts import each other from their own folder."""
    monkeypatch.syspath_prepend(str(FOLDER))


def _run(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FOLDER / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_stored_result_is_a_study_with_a_setting():
    import studies

    stored = {path.stem for path in (FOLDER / "results").glob("*.csv")} - {"venn", "default_networks"}
    known = {name for kept in studies.settings() for name in (kept, kept.replace("repair", "rivals"))}
    assert stored
    assert stored <= known


@pytest.mark.long
def test_the_tables_of_the_page_are_those_of_the_stored_results():
    import tables

    page = tables.PAGE.read_text(encoding="utf-8")
    for name, table in tables.TABLES.items():
        assert f"<!-- {name} -->" in page
        assert tables.put(name, table(), page) == page, name


def test_a_stored_result_is_drawn(tmp_path, monkeypatch):
    import figures

    monkeypatch.setattr(sys, "argv", ["figures.py", "rivals_mfeat", "--out", str(tmp_path)])
    figures.main()
    assert [path.name for path in tmp_path.iterdir()] == ["rivals_mfeat_mor.svg"]


@pytest.mark.long
def test_default_networks_keep_up_with_plain_classifiers_or_are_said_not_to(tmp_path, monkeypatch):
    import default_networks as script

    monkeypatch.setattr(script, "SEEDS", 1)
    chosen = script.sets(["radii", "copies"])
    radii, copies = (script.row(*one, script.ResultStore(tmp_path)) for one in chosen)
    assert radii[script.KERNEL] > radii[script.LINEAR] + 15  # classes differ in how far out they lie
    assert copies["student gap"] > -script.MARGIN
    for who in script.SAID:  # one network is below or it is not
        assert radii[f"{who} noted"] == (radii[f"{who} gap"] < 0)
    assert script.silent(pd.DataFrame([radii, copies])) == []
    unsaid = {**radii, "teacher gap": -3.1, "teacher noted": False}
    assert script.silent(pd.DataFrame([unsaid, copies])) == ["radii, teacher"]


def test_files_altered_at_random_are_refused_or_read_and_nothing_else(tmp_path):
    import fuzz

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's and pandas' own about what they were given
        found, faults = fuzz.fuzz(20, seed=1, folder=tmp_path)
    assert faults == []
    assert len(found) == 22
    sealed = found[~found["reader"].isin(["page of a study", "page of a table", "page of a notebook"])]
    assert (sealed["refused"] > 0).all()


@pytest.mark.long
def test_published_sets_altered_at_random_are_refused_or_read_and_nothing_else(tmp_path):
    import fuzz

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, faults = fuzz.fuzz(1, seed=1, folder=tmp_path, published=True)
    assert faults == []
    published = {one for one, entry in DATASETS.items() if entry.published}
    assert {one.partition(":")[0] for one in found["reader"]} == published


def test_a_reader_that_fails_or_takes_what_was_altered_is_found(tmp_path):
    import fuzz

    file, rng = tmp_path / "a", random.Random(0)
    file.write_bytes(b"[1, 2, 3]")
    raises = fuzz.Reader(file, lambda path: json.loads(path.read_bytes()))
    accepts = fuzz.Reader(file, lambda path: path.read_bytes(), sealed=True)
    for reader, told in ((raises, "JSONDecodeError"), (accepts, "accepted")):
        trials = [fuzz.trial(reader, rng, b"[1, 2, 3]", fuzz.said([1, 2, 3])) for _ in range(30)]
        assert any(what == "faults" and told in why for what, why in trials)


def test_an_unknown_study_is_refused(monkeypatch, capsys):
    import studies

    monkeypatch.setattr(sys, "argv", ["studies.py", "repair_everything"])
    with pytest.raises(SystemExit, match="2"):
        studies.main()
    assert "no study begins with 'repair_everything'" in capsys.readouterr().err


@pytest.mark.long
def test_the_script_for_a_gpu_runs_to_its_end_on_a_cpu_and_stores_nothing():
    page = (FOLDER / "README.md").read_bytes()
    done = _run("gpu.py", "--device", "cpu", "--tiny")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in ("tests", "worlds", "products", "kd", "msd", "dense", "replicas"):
        assert f"**{name}**" in done.stdout
    assert done.stdout.count("awaits a GPU") > 2
    assert "failed" not in done.stdout
    assert (FOLDER / "README.md").read_bytes() == page


def test_oracles_are_of_published_sets_and_their_calls_can_be_read():
    import oracles

    for one in oracles.ORACLES.values():
        compile(oracles._BEFORE + one.theirs, one.repository, "exec")
        assert DATASETS[one.set].published
