"""Many notebooks, several at once if asked, while the run's page always shows where they stand."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TextIO

from mmkd_lab.cli.execute import Listener, Surroundings, execute
from mmkd_lab.cli.kernel import end_kernel, package_path, thread_share
from mmkd_lab.cli.library import Notebook
from mmkd_lab.cli.record import HEARTBEAT, Outcome, Run, duration, memory
from mmkd_lab.core.places import STATIC_VARIABLE
from mmkd_lab.core.progress import Told

LINE_EVERY = 30.0  # seconds

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
) -> Run:
    """Do what has not ended of a run through joblib, writing its record and page whenever it changes.

    Threads by default, since each notebook has a process of its own; `joblib.parallel_config` around the call
    chooses another backend. `task` does one of the notebooks, of which there is one for each outcome. Raises
    `KeyboardInterrupt` when interrupted or terminated, with every kernel ended and the page whole.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    work = [pair for pair in zip(notebooks, run.outcomes, strict=True) if not pair[1].ended]
    jobs = jobs if jobs is None else max(1, min(jobs, len(work)))
    # A notebook that runs by itself has nobody to watch a bar inside it, or to move a slider.
    environment = {
        "TQDM_DISABLE": "1",
        STATIC_VARIABLE: "1",
        **package_path(),
        **thread_share(effective_n_jobs(jobs)),
    }
    screen = Screen(sys.stderr, shown=progress)
    with Board(run, publish, screen) as board, stopping(board):
        around = Surroundings(run.folder, environment, board, run.sanitize)
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


def line(outcome: Outcome) -> str:
    """`01_failure_cases  done in 2 min 05 s, peak memory 812 MB`, with the error of a failure."""
    text = f"{outcome.label}  {'FAILED' if outcome.state == 'failed' else outcome.state}"
    if outcome.seconds is not None:
        text += f" in {duration(outcome.seconds)}"
    if outcome.peak_bytes:
        text += f", peak memory {memory(outcome.peak_bytes)}"
    return f"{text}\n    {outcome.failure}" if outcome.failure else text


@dataclass
class Running:
    """A notebook that runs: its cells, the one that runs and what that tells of its work, its process."""

    label: str
    cells: int
    number: int = 0
    told: Told | None = None
    pid: int | None = None
    bar: Any = None
    began: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"{self.label}  {self.told or f'cell {self.number}/{self.cells}'}"


class Screen:
    """Shows each cell that begins, and every `interval` seconds that a long one is alive."""

    def __init__(self, stream: TextIO, *, shown: bool = True) -> None:
        self._stream, self._shown, self._bars = stream, shown, stream.isatty()
        self.interval = 1.0 if self._bars else LINE_EVERY

    def show(self, running: Running) -> None:
        """How far a notebook is: a line, or on a terminal a bar."""
        from tqdm import tqdm

        if not (self._shown and self._bars):
            return self._say(f"{running}  {duration(time.monotonic() - running.began)}")
        if running.bar is None:
            form = {"bar_format": "{desc}  {bar}  {elapsed}", "dynamic_ncols": True}
            running.bar = tqdm(file=self._stream, leave=False, disable=False, total=1, **form)
        done, total = running.number, running.cells
        if running.told:
            done, total = running.told.done, running.told.total
        running.bar.n, running.bar.total = done, total
        running.bar.set_description_str(str(running))

    def end(self, outcome: Outcome, running: Running | None) -> None:
        """How it ended."""
        if running is not None and running.bar is not None:
            running.bar.close()
        self._say(line(outcome))

    def _say(self, text: str) -> None:
        from tqdm import tqdm

        if self._shown:
            tqdm.write(text, file=self._stream)  # above the bars


class Board(Listener):
    """The state of the run: every change is shown and written to disk, and a heartbeat when there is none.

    `stop` ends all kernels. `copied` tells that kernels may run in other processes, where it reaches none.
    """

    def __init__(self, run: Run, publish: Publish, screen: Screen) -> None:
        self.run, self._publish, self._screen = run, publish, screen
        self.copied = False
        self._running: dict[str, Running] = {}
        self._lock, self._done = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __reduce__(self) -> tuple[type[Listener], tuple[()]]:
        self.copied = True
        return Listener, ()

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

    def kernel(self, name: str, pid: int | None) -> None:
        """See `Listener`. A kernel that begins is ended at once if stopping was already asked for."""
        with self._lock:
            self._running[name].pid = pid
            if self.stopped:
                self.stop()

    def cell(self, name: str, number: int) -> None:
        """See `Listener`."""
        with self._lock:
            running = self._running[name]
            running.number, running.told = number, None
            self._screen.show(running)

    def job(self, name: str, told: Told) -> None:
        """See `Listener`."""
        with self._lock:
            self._running[name].told = told

    def end(self, outcome: Outcome) -> None:
        """A notebook has ended."""
        with self._lock:
            self._screen.end(outcome, self._running.pop(outcome.name, None))
            self._set(outcome)

    def stop(self) -> None:
        """End all kernels, and let no new one start."""
        self.stopped = True  # without the lock: a signal may come while this very thread holds it
        for running in tuple(self._running.values()):
            if running.pid is not None:
                end_kernel(running.pid)

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
                    for running in self._running.values():
                        self._screen.show(running)
                if now - written >= HEARTBEAT.total_seconds():
                    written = now
                    with suppress(OSError):  # a full disk is told of when a notebook ends
                        self._set()


@contextmanager
def stopping(board: Board) -> Iterator[None]:
    """Ctrl-C, and a cluster's SIGTERM, end all kernels; what ran comes back as stopped, then the call ends.

    joblib itself is not interrupted, except where work runs in other processes, whose kernels end with them.
    """

    def handle(*_: object) -> None:
        board.stop()
        if board.copied:
            raise KeyboardInterrupt

    own = threading.current_thread() is threading.main_thread()
    before = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)} if own else {}
    try:
        yield
    except BaseException:
        board.stop()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if board.stopped:
        raise KeyboardInterrupt
