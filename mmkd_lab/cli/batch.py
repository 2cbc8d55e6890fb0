"""Many notebooks, several at once if asked, while the run's page always shows where they stand."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from mmkd_lab.cli.execute import Listener, Stopper, Surroundings, execute
from mmkd_lab.cli.kernel import package_path, thread_share
from mmkd_lab.cli.library import Notebook
from mmkd_lab.cli.progress import Bars, Lines, Running, Silent
from mmkd_lab.cli.record import HEARTBEAT, Outcome, Run
from mmkd_lab.core.progress import Told

Publish = Callable[[Run], object]
Task = Callable[[Notebook, Outcome, Surroundings], Outcome]


def carry_out(
    notebooks: Sequence[Notebook],
    run: Run,
    publish: Publish,
    *,
    jobs: int | None,
    task: Task = execute,
    progress: bool = True,
    sanitize: bool = False,
) -> Run:
    """Do what has not ended of a run through joblib, writing its record and page whenever it changes.

    Threads by default, since each notebook has a process of its own; `joblib.parallel_config` around the call
    chooses another backend.

    Args:
        notebooks: one for each outcome of `run`.
        run: the run as it stands.
        publish: writes the page.
        jobs: how many at once; None leaves it to joblib.
        task: does one of them.
        progress: whether to show progress on standard error.
        sanitize: see `Surroundings`.

    Raises `KeyboardInterrupt` when interrupted or terminated, with every kernel ended and the page whole.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    work = [pair for pair in zip(notebooks, run.outcomes, strict=True) if not pair[1].ended]
    jobs = jobs if jobs is None else max(1, min(jobs, len(work)))
    # A notebook that runs by itself has nobody to watch a bar inside it.
    environment = {"TQDM_DISABLE": "1", **package_path(), **thread_share(effective_n_jobs(jobs))}
    stopper, stream = Stopper(), sys.stderr
    screen = (Bars if stream.isatty() else Lines)(stream) if progress else Silent(stream)
    with Board(run, publish, screen) as board, stopping(stopper):
        around = Surroundings(run.folder, environment, board, stopper, sanitize)
        calls = (delayed(_apart)(task, notebook, outcome, around) for notebook, outcome in work)
        options = {"n_jobs": jobs, "prefer": "threads", "batch_size": 1}
        try:
            results = Parallel(**options, return_as="generator_unordered")(calls)
        except ValueError:  # this backend gives all results at the end
            results = Parallel(**options)(calls)
        for outcome in results:
            board.end(outcome)
    return board.run


def _apart(task: Task, notebook: Notebook, outcome: Outcome, around: Surroundings) -> Outcome:
    """Do it in a thread of its own: Jupyter's event loop, or a signal's handler, may have this one."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(task, notebook, outcome, around)
        while not future.done():
            wait([future], timeout=0.5)  # a wait without an end cannot be interrupted on every system
        return future.result()


class Board(Listener):
    """The state of the run: every change is shown and written to disk, and a heartbeat when there is none."""

    def __init__(self, run: Run, publish: Publish, screen: Silent) -> None:
        self.run, self._publish, self._screen = run, publish, screen
        self._running: dict[str, Running] = {}
        self._lock, self._done = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Board:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.run = self.run.with_rest("stopped")
        self._set()

    def start(self, outcome: Outcome, cells: int) -> None:
        """See `Listener`."""
        with self._lock:
            self._running[outcome.name] = Running(outcome.label, cells)
            self._set(replace(outcome, state="running"))

    def cell(self, name: str, number: int) -> None:
        """See `Listener`."""
        with self._lock:
            running = self._running[name]
            running.number, running.told = number, None
            self._screen.show(name, running)

    def job(self, name: str, told: Told) -> None:
        """See `Listener`."""
        with self._lock:
            if name in self._running:
                self._running[name].told = told

    def end(self, outcome: Outcome) -> None:
        """A notebook has ended."""
        with self._lock:
            self._running.pop(outcome.name, None)
            self._screen.end(outcome)
            self._set(outcome)

    def _set(self, *new: Outcome) -> None:
        with self._lock:
            named = {outcome.name: outcome for outcome in new}
            now = tuple(named.get(one.name, one) for one in self.run.outcomes)
            seconds = (datetime.now().astimezone() - self.run.started).total_seconds()
            self.run = replace(self.run, outcomes=now, seconds=seconds)
            self._publish(self.run)

    def _loop(self) -> None:
        shown = written = time.monotonic()
        while not self._done.wait(min(1.0, self._screen.interval)):
            now = time.monotonic()
            with self._lock:
                if now - shown >= self._screen.interval:
                    shown = now
                    for name, running in self._running.items():
                        self._screen.show(name, running)
                if now - written >= HEARTBEAT.total_seconds():
                    written = now
                    self._set()


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
