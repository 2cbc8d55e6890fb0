"""A sweep runs each combination once, goes on where it stopped, and compares what came out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from joblib import parallel_config

from mmkd_lab.cli import sweep
from mmkd_lab.core.check import LabError
from tests.cli.build import notebook, printed

PARAMETERS = """\
seeds: int = 2  # how many
shift: float = 0.0  # by how much
arms: list[str] = ["no_kd"]  # which
dataset: str = "d"  # data
profile: str = "quick"  # size
"""
TABLE = """\
import csv, os, pathlib
heads = ["study", "dataset", "role", "split", "metric", "arm", "seed", "value"]
head = ["tiny", "d", "student", "test", "accuracy", arms[0]]
rows = [[*head, seed, 60 + seed + shift] for seed in range(seeds)]
with open(pathlib.Path(os.environ["MMKD_LAB_RESULTS"]) / "tiny.csv", "w", newline="") as file:
    csv.writer(file).writerows([heads, *rows])"""


@pytest.fixture
def folder(tmp_path):
    notebook(tmp_path / "notebooks", "00_tiny", TABLE, "assert shift < 3, 'too far'", parameters=PARAMETERS)
    return tmp_path / "notebooks"


def _sweep(folder, grid, **options):
    return sweep("00", grid, notebooks=folder, out=folder.parent / "out", progress=False, **options)


@pytest.mark.long
@pytest.mark.kernel
def test_what_is_done_is_not_run_again_and_all_is_compared(folder):
    first = _sweep(folder, {"seeds": [2], "shift": [0.5, 5.0], "dataset": ["d"]})
    assert [one.state for one in first.outcomes] == ["done", "failed"]
    with parallel_config(backend="loky", n_jobs=2):
        second = _sweep(folder, {"seeds": [2, 3], "shift": [0.5], "dataset": ["d"]})
    assert second.ok
    assert second.outcomes[0] == first.outcomes[0], "kept from the first sweep, its time too"
    table = pd.read_csv(second.folder / "sweep.csv")
    assert list(table.columns[:4]) == ["seeds", "shift", "parameter_dataset", "study"]
    assert table.groupby("seeds")["value"].apply(list).to_dict() == {2: [60.5, 61.5], 3: [60.5, 61.5, 62.5]}
    page = (second.folder / "index.html").read_text()
    for part in ("Sweep of 00_tiny", "All compared", "seeds = 3, shift = 0.5, dataset = d", "./sweep.csv"):
        assert part in page, part
    before = first.outcomes[0].name
    notebook(folder, "00_tiny", TABLE, "print('changed')", parameters=PARAMETERS)
    third = _sweep(folder, {"seeds": [2], "shift": [0.5], "dataset": ["d"]})
    assert third.outcomes[0].name != before
    assert printed(third.folder / f"{third.outcomes[0].name}.ipynb") == "changed\n"


def test_a_combination_that_is_stored_starts_no_kernel(folder, monkeypatch):
    """The grid is read from text as a command line gives it; everything is there already."""
    from mmkd_lab.cli import grid

    monkeypatch.setattr(grid, "carry_out", lambda _, run, *__, **___: run.outcomes)
    planned = _sweep(folder, {"seeds": "2,3", "arms": "no_kd,kd; kd", "profile": "quick"}, as_text=True)
    assert [{name: one.parameters[name] for name in one.given} for one in planned] == [
        {"seeds": seeds, "arms": arms, "profile": "quick"}
        for seeds in (2, 3)
        for arms in (["no_kd", "kd"], ["kd"])
    ]
    root = folder.parent / "out" / "sweep_00_tiny"
    for one in planned:
        (root / f"{one.name}.done.json").write_text(json.dumps(asdict(replace(one, state="done"))))
    assert _sweep(folder, {"seeds": [2, 3], "arms": [["no_kd", "kd"], ["kd"]], "profile": ["quick"]}).ok


def test_a_file_of_a_users_own_is_part_of_the_key(folder, monkeypatch, tmp_path):
    from mmkd_lab.cli import grid

    monkeypatch.setattr(grid, "carry_out", lambda _, run, *__, **___: run.outcomes)
    monkeypatch.chdir(tmp_path)
    names = []
    for content in ("def load(): return 1", "def load(): return 2"):
        Path("mine.py").write_text(content)
        planned = _sweep(folder, {"dataset": "d,mine.py:load"}, as_text=True)
        assert planned[1].parameters["dataset"] == f"{tmp_path / 'mine.py'}:load"
        names.append([one.name for one in planned])
    assert names[0][0] == names[1][0]
    assert names[0][1] != names[1][1]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"seed": [1]}, "seed = 1: 00_tiny.ipynb has no parameter 'seed'"),
        ({"seeds": [1, "x"]}, "seeds = 'x': parameter 'seeds' of 00_tiny.ipynb must be of type int"),
        ({"seeds": []}, "seeds = []: must have at least one value"),
        ({"seeds": 3}, "seeds = 3: must be a list of values"),
        ({"seeds": range(101), "shift": range(100)}, "must have at most 10,000"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(folder, grid, message):
    with pytest.raises(LabError) as caught:
        _sweep(folder, grid)
    assert message in str(caught.value)
    assert not (folder.parent / "out").exists()
