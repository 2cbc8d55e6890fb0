"""Many notebooks, several at once if asked, while the run's page always shows where they stand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from mmkd_lab.cli.execute import Stopper, Surroundings, execute
from mmkd_lab.cli.kernel import package_path, thread_share
from mmkd_lab.cli.library import Notebook
from mmkd_lab.cli.progress import Silent, progress_for
from mmkd_lab.cli.record import HEARTBEAT, Outcome, Run
from mmkd_lab.core.progress import Told

#: A notebook that runs by itself has nobody to watch a bar inside it.
_HEADLESS = {"TQDM_DISABLE": "1"}

Work = Sequence[tuple[Notebook, Outcome]]
Task = Callable[[Notebook, Outcome, Surroundings], Outcome]


def carry_out(
    work: Work,
    run: Run,
    publish: Callable[[Run], object],
    *,
    jobs: int | None,
    task: Task = execute,
    progress: bool = True,
    sanitize: bool = False,
) -> Run:
    """Do the work of a run through joblib, writing its record and page with `publish` whenever it changes.

    Threads by default, since each notebook has a process of its own; `joblib.parallel_config` around the call
    chooses another backend.

    Args:
        work: notebooks, with the outcomes of `run` that they will fill.
        run: the run as it stands.
        publish: writes the page.
        jobs: how many at once; None leaves it to joblib.
        task: does one of them.
        progress: whether to show progress on standard error.
        sanitize: see `Surroundings`.

    Raises `KeyboardInterrupt` when interrupted or terminated, with every kernel ended and the page whole.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    jobs = jobs if jobs is None else max(1, min(jobs, len(work)))
    environment = {**_HEADLESS, **package_path(), **thread_share(effective_n_jobs(jobs))}
    stopper = Stopper()
    with progress_for(progress) as shown, Board(run, publish) as board, stopping(stopper):
        around = Surroundings(run.folder, environment, _Telling(board, shown), stopper, sanitize)
        calls = (delayed(_apart)(task, notebook, outcome, around) for notebook, outcome in work)
        options = {"n_jobs": jobs, "prefer": "threads", "batch_size": 1}
        try:
            results = Parallel(**options, return_as="generator_unordered")(calls)
        except ValueError:  # this backend gives all results at the end
            results = Parallel(**options)(calls)
        for outcome in results:
            board.set(outcome)
            shown.end(outcome)
    return board.run


def _apart(task: Task, notebook: Notebook, outcome: Outcome, around: Surroundings) -> Outcome:
    """Do it in a thread of its own: Jupyter's event loop, or a signal's handler, may have this one."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(task, notebook, outcome, around)
        while not future.done():
            wait([future], timeout=0.5)  # a wait without an end cannot be interrupted on every system
        return future.result()


class Board:
    """The state of the run; every change of it is written to disk, and a heartbeat when there is none."""

    def __init__(self, run: Run, publish: Callable[[Run], object]) -> None:
        self.run, self._publish = run, publish
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Board:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.set(*(replace(one, state="stopped") for one in self.run.outcomes if not one.ended))

    def set(self, *outcomes: Outcome) -> None:
        """These outcomes are new."""
        with self._lock:
            new = {outcome.name: outcome for outcome in outcomes}
            now = tuple(new.get(one.name, one) for one in self.run.outcomes)
            seconds = (datetime.now().astimezone() - self.run.started).total_seconds()
            self.run = replace(self.run, outcomes=now, seconds=seconds)
            self._publish(self.run)

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT.total_seconds()):
            self.set()


class _Telling(Silent):
    """Passes progress on, and marks on the board that a notebook has begun."""

    def __init__(self, board: Board, shown: Silent) -> None:
        self._board, self._shown = board, shown

    def start(self, outcome: Outcome, cells: int) -> None:
        self._shown.start(outcome, cells)
        self._board.set(replace(outcome, state="running"))

    def cell(self, name: str, number: int) -> None:
        self._shown.cell(name, number)

    def job(self, name: str, told: Told) -> None:
        self._shown.job(name, told)


@contextmanager
def stopping(stopper: Stopper) -> Iterator[None]:
    """Ctrl-C, and a cluster's SIGTERM, end all kernels; what ran comes back as stopped, then the call ends.

    joblib itself is not interrupted, except where work runs in other processes, whose kernels end with them.
    """

    def handle(*_: object) -> None:
        stopper.stop()
        if stopper.copied:
            raise KeyboardInterrupt

    own = threading.current_thread() is threading.main_thread()
    before = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)} if own else {}
    try:
        yield
    except BaseException:
        stopper.stop()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopper.asked:
        raise KeyboardInterrupt
