"""The command line, as a person uses it: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from mmkd_lab import __version__
from mmkd_lab.cli import main
from tests.cli.build import notebook
from tests.house import tree


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "notebooks"
    notebook(root, "00_good", "print(seeds)", title="A good one", parameters="seeds: int = 5  # how many")
    notebook(root, "01_bad", "1 / 0", title="A bad one", parameters="rate: float = 0.1  # of learning")
    return root


def _call(*arguments):
    command = [sys.executable, "-m", "mmkd_lab", *map(str, arguments)]
    return subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True, check=False)


def test_help_names_every_command():
    found = _call("--help")
    assert found.returncode == 0
    assert all(f"    {command} " in found.stdout for command in ("list", "run", "sweep", "data", "doctor"))


@pytest.mark.parametrize("command", ["run", "sweep", "data"])
def test_the_help_of_a_command_gives_examples(command):
    found = _call(command, "--help")
    assert found.returncode == 0
    assert f"examples:\n  mmkd-lab {command}" in found.stdout


def test_version():
    assert _call("--version").stdout == f"mmkd-lab {__version__}\n"


def test_list_shows_titles_types_defaults_and_help(folder, capsys):
    assert main(["list", "--notebooks", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "00_good  A good one",
        "    seeds: int = 5  how many",
        "",
        "01_bad  A bad one",
        "    rate: float = 0.1  of learning",
    ]


@pytest.mark.kernel
def test_a_failed_notebook_exits_1_and_stops_no_other(folder, tmp_path, capsys):
    notebook(
        folder, "02_after", "print(seeds)", parameters="seeds: int = 5  # how many\nrate: float = 1.0  # r"
    )
    status = main(
        ["run", "01", "02", "-p", "rate", "-1e-3", "--notebooks", str(folder), "--out", str(tmp_path / "out")]
    )
    shown = capsys.readouterr()
    assert status == 1
    assert "mmkd-lab: 01_bad failed: cell 4: ZeroDivisionError: division by zero" in shown.err
    assert "02_after  done in " in shown.err
    (run,) = [path for path in (tmp_path / "out").iterdir() if not path.is_symlink()]
    assert shown.out == f"{run / 'index.html'}\n"
    states = [one["state"] for one in json.loads((run / "run.json").read_text())["notebooks"]]
    assert states == ["failed", "done"]


KNOWN = "It has seeds: int = 5 (how many)."
WRONG = {
    "run 99": "notebook = '99': must be (the beginning of) one of '00_good' or '01_bad'.",
    "run ../notebooks/00_good": "notebook = '../notebooks/00_good': must be",
    "run 0": "notebook = '0': fits several: '00_good' or '01_bad'.",
    "run 00 -p seed 3": f"seed = '3': 00_good.ipynb has no parameter 'seed'. Did you mean 'seeds'? {KNOWN}",
    "run 00 -p seeds many": "seeds = 'many': parameter 'seeds' of 00_good.ipynb must be a whole number.",
    "run -p seeds 3": "seeds = '3': 01_bad has no parameter 'seeds', only '00_good'.",
    "run 01 -p rate nan": "rate = 'nan': parameter 'rate' of 01_bad.ipynb must be a finite number.",
    "run 01 -p rate -1e400": "rate = '-1e400': parameter 'rate' of 01_bad.ipynb must be a finite number.",
    "run 00 -p seeds -1,2": "seeds = '-1,2': parameter 'seeds' of 00_good.ipynb must be a whole number.",
    "run 00 -p seeds 1 -p seeds 2": "-p = 'seeds 2': a parameter may be given only once.",
    "run --jobs 0": "jobs = 0: must be a whole number of at least 1.",
    "run --jobs -2": "jobs = -2: must be a whole number of at least 1.",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items(), ids=WRONG)
def test_wrong_input_is_one_plain_line_and_exit_2(folder, tmp_path, capsys, arguments, message):
    status = main([*arguments.split(), "--notebooks", str(folder), "--out", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert shown.err.startswith(f"mmkd-lab: {message}")
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--notebooks", "{tmp}/gone"], "must be a folder of notebooks"),
        (["run", "--notebooks", "{tmp}"], "at least one notebook"),
        (["run", "--notebooks", "{tmp}/gone"], "must be a folder of notebooks"),
        (["list", "--notebooks", "{tmp}/damaged"], "must be the JSON of a notebook"),
        (["data", "get", "mnist_of_nobody"], "mnist_of_nobody"),
        (["data", "verify", "../av_digits"], "'../av_digits'"),
        (["data", "where", ""], "''"),
    ],
)
def test_other_wrong_input_is_one_plain_line_too(tmp_path, capsys, arguments, message):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "x.ipynb").write_text("{")
    assert main([one.format(tmp=tmp_path) for one in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("mmkd-lab: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["run", "--profile", "slow"],
        ["run", "--jobs", "two"],
        ["run", "-p", "seeds"],
        ["data"],
        ["data", "get"],
    ],
)
def test_what_argparse_refuses_exits_2_too(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: mmkd-lab" in capsys.readouterr().err


def test_every_dataset_is_listed_with_its_licence(capsys):
    from mmkd_lab.data import catalogue

    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    for entry in catalogue():
        assert re.search(rf"^{entry.name}  \(", shown, re.MULTILINE)
        assert entry.licence in shown
        for one in entry.parameters:
            assert re.search(
                rf"^    {one.name} = {re.escape(repr(one.default))} .*{re.escape(one.help)}$", shown, re.M
            )


def test_a_dataset_of_the_mirror_is_fetched_verified_and_found(mirror, capsys):
    assert main(["data", "get", "av_mnist", "--mirror", str(mirror)]) == 0
    fetched = capsys.readouterr().out.splitlines()
    assert main(["data", "verify", "av_mnist", "--mirror", str(mirror)]) == 0
    assert main(["data", "where", "av_mnist", "--mirror", str(mirror)]) == 0
    assert capsys.readouterr().out.splitlines() == fetched * 2
    assert all(line.startswith(str(mirror)) for line in fetched)


def test_a_missing_file_is_shown_as_missing_and_verifying_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MMKD_LAB_MIRROR", raising=False)
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path))
    assert main(["data", "where", "av_mnist"]) == 0
    assert all(line.endswith("  (missing)") for line in capsys.readouterr().out.splitlines())
    assert main(["data", "verify", "av_mnist"]) == 2
    assert "Run: mmkd-lab data get av_mnist" in capsys.readouterr().err


def test_doctor_reports_versions_devices_and_data():
    found = _call("doctor")
    for part in (
        "python",
        "torch",
        "threads",
        "device",
        "precision",
        "memory",
        "results",
        "data",
        "notebooks",
        "av_mnist",
    ):
        assert re.search(rf"\b{part}\b", found.stdout), part
    assert found.returncode == int("! " in found.stdout)


def test_doctor_reports_folders_that_cannot_be_used_and_goes_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("MMKD_LAB_MIRROR", raising=False)
    monkeypatch.setenv("MMKD_LAB_STORE", str(tmp_path / "file"))
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path / "file" / "deeper"))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    for name in ("results", "data"):
        assert re.search(rf"^! {name} .*{re.escape(str(tmp_path / 'file'))}", shown, re.MULTILINE)
    assert re.search(r"^  notebooks ", shown, re.MULTILINE)


def test_a_terminal_without_unicode_is_no_error(folder):
    notebook(folder, "02_wide", title="α → β", parameters="x: float = 1  # α")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "mmkd_lab", "list", "--notebooks", folder]
    found = subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True, env=environment)
    assert (found.returncode, found.stderr) == (0, "")
    assert "02_wide  ? ? ?" in found.stdout


def test_a_closed_pipe_is_no_error(folder):
    command = f"{sys.executable} -m mmkd_lab list --notebooks '{folder}' | true"
    found = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tree.ROOT, capture_output=True, text=True
    )
    assert found.stderr == ""
