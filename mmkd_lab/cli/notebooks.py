"""Run notebooks, several at once if asked; write what they made to one folder with one page."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mmkd_lab.cli.execute import Stopper, Surroundings, execute, waiting
from mmkd_lab.cli.folder import check_latest, new_run_folder, point_latest
from mmkd_lab.cli.index import write_index
from mmkd_lab.cli.kernel import package_path, thread_share
from mmkd_lab.cli.library import Notebook, discover, select
from mmkd_lab.cli.parameters import check
from mmkd_lab.cli.progress import Listener, progress_for
from mmkd_lab.cli.record import Outcome, Run
from mmkd_lab.cli.versions import versions
from mmkd_lab.core.check import LabError, listing, mapping, one_of, require, whole

PROFILES = ("quick", "full")

#: A notebook of this name would write where the run's page is.
_TAKEN = ("index",)
#: A notebook that runs by itself has nobody to watch a bar inside it.
_HEADLESS = {"TQDM_DISABLE": "1"}


def run(
    names: Sequence[str] = (),
    *,
    parameters: Mapping[str, object] | None = None,
    profile: str | None = None,
    jobs: int = 1,
    out: Path | str = "runs",
    notebooks: Path | str | None = None,
    progress: bool = True,
    as_text: bool = False,
) -> Run:
    """Run notebooks in order and write `<out>/<time>/index.html`, which `<out>/latest` points at.

    Args:
        names: which notebooks, by name or the beginning of one; all of them when empty.
        parameters: name -> value, for every notebook chosen; each must declare the name.
        profile: 'quick' or 'full', for the notebooks that have a parameter `profile`; None leaves their own.
        jobs: how many run at once; each kernel gets its share of the threads.
        out: the folder for runs.
        notebooks: another folder of notebooks than the lab's own.
        progress: whether to show progress on standard error.
        as_text: whether the values of `parameters` are text, as on a command line.

    Returns:
        What became of each notebook. A failed one stops no other.

    Raises:
        LabError: an unknown notebook or parameter, a value of another type, or an unfit option; before any
            kernel is started and before anything is written.
        KeyboardInterrupt: interrupted; the page shows what was finished.
    """
    whole("jobs", jobs)
    if profile is not None:
        one_of("profile", profile, PROFILES)
    given = {} if parameters is None else mapping("parameters", parameters, "{name: value}")
    chosen = select(discover(notebooks), names)
    values = [_values(notebook, chosen, given, profile, as_text) for notebook in chosen]
    check_latest(out)
    started = datetime.now().astimezone()
    folder = new_run_folder(out, started)
    outcomes = tuple(waiting(notebook, given) for notebook, given in zip(chosen, values, strict=True))
    board = _Board(Run(folder, started, outcomes, jobs, profile, versions()))
    board.publish()
    point_latest(folder)
    with progress_for(progress) as shown:
        environment = {**_HEADLESS, **package_path(), **thread_share(min(jobs, len(chosen)))}
        around = Surroundings(folder, environment, board.telling(shown), Stopper())
        _all(list(zip(chosen, values, strict=True)), jobs, around, board)
    return board.run


class _Board:
    """The state of the run; every change of it is written to disk."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock = threading.Lock()

    def publish(self) -> None:
        self.run.save()
        write_index(self.run)

    def set(self, outcome: Outcome) -> None:
        with self._lock:
            outcomes = tuple(outcome if one.name == outcome.name else one for one in self.run.outcomes)
            seconds = (datetime.now().astimezone() - self.run.started).total_seconds()
            self.run = replace(self.run, outcomes=outcomes, seconds=seconds)
            self.publish()

    def begun(self, name: str) -> None:
        outcome = next(one for one in self.run.outcomes if one.name == name)
        self.set(replace(outcome, state="running"))

    def stop_the_rest(self) -> None:
        for outcome in self.run.outcomes:
            if not outcome.ended:
                self.set(replace(outcome, state="stopped"))

    def telling(self, shown: Listener) -> Listener:
        return _Telling(self, shown)


class _Telling:
    """Passes progress on, and marks on the board that a notebook has begun."""

    def __init__(self, board: _Board, shown: Listener) -> None:
        self._board, self._shown = board, shown

    def start(self, name: str, cells: int) -> None:
        self._shown.start(name, cells)
        self._board.begun(name)

    def cell(self, name: str, number: int) -> None:
        self._shown.cell(name, number)

    def end(self, outcome: Outcome) -> None:
        self._shown.end(outcome)


def _all(
    work: list[tuple[Notebook, dict[str, object]]], jobs: int, around: Surroundings, board: _Board
) -> None:
    with ThreadPoolExecutor(max_workers=min(jobs, len(work))) as pool:
        running = {pool.submit(execute, notebook, given, around) for notebook, given in work}
        try:
            _collect(running, board)
        except BaseException:
            around.stopper.stop()
            _collect(running, board)
            board.stop_the_rest()
            raise


def _collect(running: set[Future[Outcome]], board: _Board) -> None:
    while running:
        # A wait without an end cannot be interrupted on every system.
        done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            running.discard(future)
            board.set(future.result())


def _values(
    notebook: Notebook,
    chosen: Sequence[Notebook],
    parameters: Mapping[str, object],
    profile: str | None,
    as_text: bool,
) -> dict[str, object]:
    for name, value in parameters.items():
        others = [one.name for one in chosen if one.declares(name)]
        if others and not notebook.declares(name):
            rule = f"{notebook.name} has no parameter {name!r}, only {listing(others)}"
            raise LabError(name, value, rule, "Name the notebooks to run with it")
    taken = notebook.name.lower() in _TAKEN
    require(not taken, "notebook", notebook.name, "its page would be the run's own", "Give it another name")
    values = check(notebook.parameters, parameters, where=notebook.path.name, as_text=as_text)
    if profile is None or not notebook.declares("profile"):
        return values
    twice = values.get("profile", profile) != profile
    other = f"contradicts the parameter profile, {values.get('profile')!r}"
    require(not twice, "profile", profile, other, "Give one of them")
    return {**values, **check(notebook.parameters, {"profile": profile}, where=notebook.path.name)}
