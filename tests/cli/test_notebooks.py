"""Notebooks run in real kernels: values take effect, failures stay alone, everything is written down."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmkd_lab.cli.batch import stopping
from mmkd_lab.cli.execute import Stopper
from mmkd_lab.cli.kernel import THREAD_VARIABLES, cores
from mmkd_lab.cli.notebooks import run
from mmkd_lab.cli.progress import Lines
from mmkd_lab.core.check import LabError
from tests.cli.build import notebook, printed
from tests.house import tree

pytestmark = pytest.mark.kernel

PARAMETERS = """\
seeds: int = 5  # how many
limit: int | None = 3  # at most
grid: tuple[int, ...] = (1,)  # points
text: str = "plain"  # any
rates: list[float] = [0.5]  # rates
profile: str = "quick"  # quick or full
"""
SHOWN = io.StringIO()
HOSTILE_TEXT = "'\"\\ {braces} \n \u2028 \u00fc \U0001f600 #"


_STUDY = """\
import pandas as pd
from mmkd_lab.experiments.result import Study
row = dict(study="tiny", dataset="d", role="student", split="test", metric="accuracy")
rows = [dict(row, arm=arm, seed=seed, value=60.0 + seed) for arm in ("no_kd", "um_kd") for seed in (0, 1)]
study = Study("tiny", "Tiny", pd.DataFrame(rows), "The tiny verdict.", provenance={"device": "cpu"})"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run of good, failing, dying and exiting notebooks, at once in twos.

    The user's own `python3` kernel points elsewhere, as that of the last environment that installed one does.
    """
    root = tmp_path_factory.mktemp("runs {with} braces")
    folder = root / "notebooks"
    shown = "print(json.dumps([seeds, limit, grid, text, rates, profile]))"
    notebook(folder, "00_good", "import json", shown, title="Good", parameters=PARAMETERS)
    notebook(
        folder, "01_fails", "print('before')", "raise ValueError('a <b>plain</b> reason')", "print('after')"
    )
    notebook(folder, "02_dies", "import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")
    shown = "print(json.dumps([sys.executable, os.getcwd(), mmkd_lab.__file__, dict(os.environ)]))"
    notebook(folder, "03_surroundings", "import os, sys, json, mmkd_lab", shown)
    notebook(folder, "04_stops_early", "print('one')", "import sys; sys.exit(0)", "print('two')")
    notebook(folder, "06_unshown", "print('run')", title="A folder is no picture: ![](.)")
    notebook(
        folder,
        "05_hungry",
        "block = bytearray(300_000_000)",
        "del block",
        parameters='profile: str = "x"  # p',
    )
    notebook(folder, "07_study", _STUDY, "study.save();")
    told = "from mmkd_lab.core.progress import jobs_progress\nwith jobs_progress(2, 'network') as p: "
    notebook(folder, "08_tells", told + "p.update('one'); import time; time.sleep(1)")
    spec = root / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_PATH"):
            patch.setenv(name, str(root / "jupyter"))
        patch.setattr(Lines, "interval", 0.1)
        patch.setattr(sys, "stderr", SHOWN)
        return run(notebooks=folder, out=root / "out", jobs=2, profile="full")


def _outcome(finished, name):
    return next(outcome for outcome in finished.outcomes if outcome.name == name)


def test_every_notebook_ends_in_its_own_way(finished):
    states = {outcome.name: outcome.state for outcome in finished.outcomes}
    assert states == {
        "00_good": "done",
        "01_fails": "failed",
        "02_dies": "failed",
        "03_surroundings": "done",
        "04_stops_early": "done",
        "05_hungry": "done",
        "06_unshown": "failed",
        "07_study": "done",
        "08_tells": "done",
    }
    assert not finished.ok
    assert finished.ended


def test_the_failure_says_what_and_where(finished):
    failure = _outcome(finished, "01_fails").failure
    assert (failure.kind, failure.message, failure.cell) == ("ValueError", "a <b>plain</b> reason", 2)
    assert "raise ValueError" in failure.traceback
    assert "\x1b" not in failure.traceback
    assert printed(finished.folder / "01_fails.ipynb") == "before\n"


def test_what_a_kernel_tells_of_its_work_is_shown(finished):
    shown = SHOWN.getvalue()
    assert "08_tells  network 2 of 2  " in shown
    assert "01_fails  FAILED in " in shown


def test_a_notebook_that_cannot_become_a_page_fails_alone(finished):
    failure = _outcome(finished, "06_unshown").failure
    assert failure.message.startswith("06_unshown.ipynb cannot be shown as a page")
    assert printed(finished.folder / "06_unshown.ipynb") == "run\n"


def test_a_killed_kernel_is_a_failure_of_its_cell(finished):
    failure = _outcome(finished, "02_dies").failure
    assert (failure.kind, failure.cell) == ("DeadKernelError", 2)


def test_this_interpreter_runs_the_notebook_in_its_folder(finished):
    executable, cwd, package, _ = json.loads(printed(finished.folder / "03_surroundings.ipynb"))
    assert executable == sys.executable
    assert Path(cwd) == finished.folder.parent.parent / "notebooks"
    assert Path(package) == tree.PACKAGE / "__init__.py"


def test_each_kernel_has_its_share_of_threads_and_a_folder_for_results(finished):
    environment = json.loads(printed(finished.folder / "03_surroundings.ipynb"))[3]
    share = max(1, cores() // 2)
    assert {int(environment[name]) <= share for name in THREAD_VARIABLES} == {True}
    assert Path(environment["MMKD_LAB_RESULTS"]) == finished.folder / "03_surroundings"
    assert (finished.folder / "03_surroundings").is_dir()


def test_time_and_peak_memory_are_measured(finished):
    hungry, good = _outcome(finished, "05_hungry"), _outcome(finished, "00_good")
    assert hungry.peak_bytes > good.peak_bytes + 250_000_000
    assert good.seconds > 0


def test_everything_is_written(finished):
    names = {path.name for path in finished.folder.iterdir()}
    assert {
        "index.html",
        "run.json",
        "00_good.ipynb",
        "00_good.html",
        "01_fails.ipynb",
        "01_fails.html",
    } <= names
    assert not [name for name in names if name.startswith(".")]
    record = json.loads((finished.folder / "run.json").read_text())
    assert [one["state"] for one in record["notebooks"]] == [one.state for one in finished.outcomes]
    latest = finished.folder.parent / "latest"
    assert latest.is_symlink()
    assert latest.resolve() == finished.folder.resolve()


def test_the_profile_reaches_the_notebooks_that_have_one(finished):
    assert json.loads(printed(finished.folder / "00_good.ipynb"))[5] == "full"
    assert _outcome(finished, "00_good").parameters["profile"] == "full"
    assert "profile" not in _outcome(finished, "01_fails").parameters


def test_given_values_take_effect_exactly_and_once(tmp_path):
    code = "print(repr([seeds, limit, grid, text, rates, profile]))"
    notebook(tmp_path / "notebooks", "one", code, parameters=PARAMETERS)
    given = {
        "seeds": 7,
        "limit": None,
        "grid": (4, 5),
        "text": HOSTILE_TEXT,
        "rates": [0.1, 1],
        "profile": "mine",
    }
    found = run(
        parameters=given,
        notebooks=tmp_path / "notebooks",
        out=tmp_path / "out",
        progress=False,
    )
    assert printed(found.folder / "one.ipynb").strip() == repr(
        [7, None, (4, 5), HOSTILE_TEXT, [0.1, 1.0], "mine"]
    )
    again = run(notebooks=found.folder, out=tmp_path / "again", progress=False)
    assert printed(again.folder / "one.ipynb").strip() == repr([5, 3, (1,), "plain", [0.5], "quick"])


def test_studies_are_collected_without_naming_a_folder(finished):
    with (finished.folder / "07_study" / "tiny.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert "The tiny verdict." in (finished.folder / "index.html").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_a_signal_stops_the_kernels_and_then_the_call(number):
    before, stopper = signal.getsignal(number), Stopper()
    with pytest.raises(KeyboardInterrupt), stopping(stopper):
        os.kill(os.getpid(), number)
    assert stopper.asked
    assert signal.getsignal(number) is before


def test_an_interrupted_run_leaves_a_whole_page(tmp_path):
    notebook(tmp_path / "notebooks", "01_endless", "import os; print(os.getpid(), flush=True)",
             "open('started', 'w').write(str(os.getpid()))", "import time; time.sleep(600)")  # fmt: skip
    notebook(tmp_path / "notebooks", "02_never", "print('never')")
    command = [
        sys.executable,
        "-m",
        "mmkd_lab",
        "run",
        "--notebooks",
        tmp_path / "notebooks",
        "--out",
        tmp_path / "out",
    ]
    process = subprocess.Popen(
        command,
        cwd=tree.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    started = tmp_path / "notebooks" / "started"
    _until(started.exists, process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "mmkd-lab: interrupted"
    latest = tmp_path / "out" / "latest"
    states = {one["name"]: one["state"] for one in json.loads((latest / "run.json").read_text())["notebooks"]}
    assert states == {"01_endless": "stopped", "02_never": "stopped"}
    page = (latest / "index.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert "http-equiv" not in page
    _until(lambda: not _alive(int(started.read_text())))


def _heed_interrupts():
    """What a shell puts into the background ignores ctrl-c, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _until(true, process=None, seconds=60):
    for _ in range(seconds * 10):
        if true():
            return
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("waited for nothing")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"seed": 3}}, "seed = 3: a.ipynb has no parameter 'seed'"),
        ({"parameters": {"seeds": "x"}}, "seeds = 'x': parameter 'seeds' of a.ipynb must be a whole number"),
        (
            {"parameters": {"only_b": 1}, "names": ["a", "b"]},
            "only_b = 1: a has no parameter 'only_b', only 'b'",
        ),
        ({"profile": "slow"}, "profile = 'slow': must be one of 'quick' or 'full'"),
        (
            {"parameters": {"profile": "x"}, "profile": "full", "names": ["c"]},
            "profile = 'full': contradicts",
        ),
        ({"names": ["index"]}, "notebook = 'index': its page would be the run's own"),
        ({"names": "a"}, "names = 'a': must be a list of notebooks' names"),
        ({"names": [1]}, "names = 1: must be a list of notebooks' names"),
        ({"parameters": ["seeds"]}, "parameters = ['seeds']: must be {name: value}"),
        ({"parameters": {3: 1}}, "3 = 1: a.ipynb has no parameter '3'"),
        ({"notebooks": 3}, "notebooks = 3: must be a path"),
        ({"out": None}, "out = None: must be a path"),
        ({"jobs": 0}, "jobs = 0: must be a whole number of at least 1"),
        ({"jobs": 1.5}, "jobs = 1.5: must be a whole number of at least 1"),
        ({"names": ["d"]}, "notebook = 'd': must be"),
        ({"names": ["../a"]}, "notebook = '../a': must be"),
        ({"out": __file__}, "must be a folder"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(tmp_path, options, message):
    trap = tmp_path / "trap"
    for name, parameters in (
        ("a", "seeds: int = 1  # n"),
        ("b", "only_b: int = 1  # n\nseeds: int = 1  # n"),
        ("c", 'profile: str = "quick"  # p'),
        ("index", "seeds: int = 1  # n"),
    ):
        notebook(tmp_path / "notebooks", name, f"open({str(trap)!r}, 'w').close()", parameters=parameters)
    with pytest.raises(LabError) as caught:
        run(
            **{
                "names": ["a"],
                "notebooks": tmp_path / "notebooks",
                "out": tmp_path / "out",
                "progress": False,
                **options,
            }
        )
    assert message in str(caught.value)
    assert not trap.exists()
    assert not (tmp_path / "out").exists()
