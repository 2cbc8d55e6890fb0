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


def test_help_names_every_command_and_gives_examples(capsys):
    for command in ("", "run", "sweep", "data", "--version"):
        with pytest.raises(SystemExit) as caught:
            main([*command.split(), "--help"][: 1 if "-" in command else 2])
        assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"    {command} " in shown for command in ("list", "run", "sweep", "data", "doctor"))
    assert all(f"examples:\n  mmkd-lab {command}" in shown for command in ("run", "sweep", "data"))
    assert shown.endswith(f"mmkd-lab {__version__}\n")


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
    notebook(folder, "02_after", "print(rate)", parameters="rate: float = 1.0  # r")
    out = tmp_path / "out"
    status = main(["run", "01", "02", "-p", "rate", "-1e-3", "--notebooks", str(folder), "--out", str(out)])
    shown = capsys.readouterr()
    assert status == 1
    assert "mmkd-lab: 01_bad failed: cell 4: ZeroDivisionError: division by zero" in shown.err
    assert "02_after  done in " in shown.err
    (run,) = [path for path in out.iterdir() if not path.is_symlink()]
    assert shown.out == f"{run / 'index.html'}\n"
    states = [one["state"] for one in json.loads((run / "run.json").read_text())["outcomes"]]
    assert states == ["failed", "done"]


KNOWN = "It has seeds: int = 5 (how many)."
WRONG = {
    "run 99": "notebook = '99': must be (the beginning of) one of '00_good' or '01_bad'.",
    "run 0": "notebook = '0': fits several: '00_good' or '01_bad'.",
    "run 00 -p seed 3": f"seed = '3': 00_good.ipynb has no parameter 'seed'. Did you mean 'seeds'? {KNOWN}",
    "run 00 -p seeds many": "seeds = 'many': parameter 'seeds' of 00_good.ipynb must be of type int.",
    "run -p seeds 3": "seeds = '3': 01_bad has no parameter 'seeds', only '00_good'.",
    "run 01 -p rate -1e400": "rate = '-1e400': parameter 'rate' of 01_bad.ipynb must be of type float, f",
    "run 00 -p seeds -1,2": "seeds = '-1,2': parameter 'seeds' of 00_good.ipynb must be of type int.",
    "run 00 -p seeds 1 -p seeds 2": "-p = [['seeds', '1'], ['seeds', '2']]: a parameter may be given only",
    "run --jobs -2": "jobs = -2: must be a whole number of at least 1.",
    "run --notebooks {tmp}": "notebooks = 'none found': there must be at least one notebook to run.",
    "run --notebooks {tmp}/gone": "notebooks = ",
    "list --notebooks {tmp}/damaged": "{tmp}/damaged/x.ipynb = ",
    "data get mnist_of_nobody": " = 'mnist_of_nobody': must be one of ",
    "data verify ../av_digits": " = '../av_digits': must be one of ",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items(), ids=WRONG)
def test_wrong_input_is_one_plain_line_and_exit_2(folder, tmp_path, capsys, arguments, message):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "x.ipynb").write_text("{")
    own = ["--notebooks", str(folder)] if arguments.startswith("run") and "{" not in arguments else []
    own += ["--out", str(tmp_path / "out")] if arguments.startswith("run") else []
    status = main([*arguments.format(tmp=tmp_path).split(), *own])
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert shown.err.startswith("mmkd-lab: ")
    assert message.format(tmp=tmp_path) in shown.err
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    ["", "dance", "run --profile slow", "run --jobs two", "run -p seeds", "data", "data get"],
)
def test_what_argparse_refuses_exits_2_too(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
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
            line = rf"^    {one.name} = {re.escape(repr(one.default))} .*{re.escape(one.help)}$"
            assert re.search(line, shown, re.MULTILINE)


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


def test_doctor_reports_what_is_there_and_folders_that_cannot_be_used(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("MMKD_LAB_MIRROR", raising=False)
    monkeypatch.setenv("MMKD_LAB_STORE", str(tmp_path / "file"))
    monkeypatch.setenv("MMKD_LAB_DATA", str(tmp_path / "file" / "deeper"))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    for name in ("results", "data"):
        assert re.search(rf"^! {name} .*{re.escape(str(tmp_path / 'file'))}", shown, re.MULTILINE)
    for name in ("python", "torch", "threads", "device", "memory", "notebooks"):
        assert re.search(rf"^[- ] {name} ", shown, re.MULTILINE), name
    assert "data av_mnist" in shown


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
