"""Run the jobs that the store lacks: here, in processes or on a cluster, by joblib's ordinary interface.

`joblib.parallel_config` chooses the backend (loky on one machine, Dask or Ray on a cluster) and nothing else
changes. Outcomes are stored by this process alone, each as soon as it arrives: whatever dies, only what was
under way is lost, and is run again.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch

from mmkd_lab.core.calling_off import go_on
from mmkd_lab.core.check import LabError
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.training.device import default_dtype, threads

#: How often a job is handed out again after the worker that had it died.
TRIES = 3
#: Called once for every job: what it is, and 'stored' or 'trained'.
Progress = Callable[[str, str], None]


_ONE = threading.RLock()


def _silent(what: str, how: str) -> None:
    pass


@dataclass(eq=False)
class Runner:
    """Runs jobs and keeps count.

    Args:
        store: where outcomes are kept.
        jobs: how many at a time; None leaves it to `joblib.parallel_config`, which means one at a time unless
            it says otherwise.
        progress: told of every job.
    """

    store: ResultStore
    jobs: int | None = None
    progress: Progress = _silent
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The result of every job, in the order given; equal keys are run once.

        Raises what a job raises (the outcomes that had arrived before are stored), and `LabError` when
        workers die again and again.
        """
        found: dict[str, Result] = {}
        missing: dict[str, Job] = {}
        for job in jobs:
            text = job.key.text
            if text in found or text in missing:
                continue
            stored = self.store.get(job.key)
            if stored is None:
                missing[text] = job
            else:
                found[text] = stored
                self._told(job, "stored")
        self.store.ready(job.key for job in missing.values())
        for tried in range(TRIES):
            if not missing:
                break
            try:
                for job, outcome in self._outcomes(list(missing.values())):
                    if isinstance(outcome, Result):
                        found[job.key.text] = outcome
                    else:
                        found[job.key.text] = self.store.put(job.key, outcome.metrics, outcome.tensors)
                    del missing[job.key.text]
                    self._told(job, "stored" if isinstance(outcome, Result) else "trained")
            except _deaths() as error:
                if tried + 1 == TRIES:
                    first = next(iter(missing.values()))
                    rule = (
                        f"workers died {TRIES} times ({type(error).__name__}), last with {first.what!r} to do"
                    )
                    raise LabError("jobs", self.jobs, rule, "Use fewer jobs, or more memory.") from error
        return [found[job.key.text] for job in jobs]

    def _told(self, job: Job, how: str) -> None:
        self.counts[how] += 1
        self.progress(job.what, how)

    def _outcomes(self, jobs: list[Job]) -> Iterator[tuple[Job, JobOutcome | Result]]:
        if self._alone(len(jobs)):
            yield from self._here(jobs)
            return
        from joblib import Parallel, delayed

        placed = [_placed(job, i) for i, job in enumerate(jobs)]
        calls = (delayed(_numbered)(i, job, os.getpid()) for i, job in enumerate(placed))
        each = {"initializer": _end_with, "initargs": (os.getpid(),)}
        with warnings.catch_warnings():
            # A worker that was stopped for want of work, or died, is replaced; joblib warns of it.
            warnings.filterwarnings(
                "ignore", message="A worker stopped while some jobs", category=UserWarning
            )
            for i, outcome in Parallel(n_jobs=self.jobs, return_as="generator_unordered", **each)(calls):
                yield jobs[i], outcome

    def _here(self, jobs: list[Job]) -> Iterator[tuple[Job, JobOutcome | Result]]:
        """One after another; what another process has under way comes last, and is likely stored by then."""
        later = []
        for job in jobs:
            go_on()
            with self.store.claim(job.key) as mine:
                if mine:
                    yield job, self.store.get(job.key) or work(job)
                else:
                    later.append(job)
        for job in later:
            yield job, self.store.get(job.key) or work(job)

    def _alone(self, count: int) -> bool:
        """Whether there is nothing to share out: then nothing need travel, either."""
        if self.jobs == 1 or count == 1:
            return True
        if self.jobs is not None:
            return False
        from joblib import effective_n_jobs

        return int(effective_n_jobs(None)) == 1


def work(job: Job) -> JobOutcome:
    """One job, on one thread: two jobs on two cores do more than one job on two threads.

    Tensors that a network makes by itself are of torch's usual type, wherever the job runs. One at a time in
    a process: torch's seeds and its usual type belong to all its threads.
    """
    with _ONE, threads(1), default_dtype(torch.float32):
        return job.work(job.task)


def _numbered(i: int, job: Job, parent: int) -> tuple[int, JobOutcome]:
    if (
        os.getppid() == parent
    ):  # on a cluster it is another's; older releases of joblib begin without more ado
        _end_with(parent)
    return i, work(job)


def _placed(job: Job, i: int) -> Job:
    """Jobs that ask for any GPU are dealt out over all of them."""
    count = torch.cuda.device_count()
    device = getattr(job.task, "device", None)
    if count < 2 or device is None or device.type != "cuda":
        return job
    return replace(job, task=replace(job.task, device=torch.device("cuda", i % count)))


@cache
def _end_with(parent: int) -> None:
    """A worker process ends when its parent is killed, if before its first job, rather than wait for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="ends with its parent").start()


@cache
def _deaths() -> tuple[type[BaseException], ...]:
    """What the backends raise when a worker dies."""
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky.process_executor import BrokenProcessPool as LokyBroken
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    known: list[type[BaseException]] = [BrokenProcessPool, LokyBroken, TerminatedWorkerError]
    try:
        from distributed import KilledWorker

        known.append(KilledWorker)
    except ImportError:
        pass
    return tuple(known)


class NotStored(Exception):
    """A job would have to be done."""


class OnlyStored(Runner):
    """Hands out what the store has. Raises `NotStored` where that is not all."""

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """The stored result of every job."""
        found = [self.store.get(job.key) for job in jobs]
        kept = [one for one in found if one is not None]
        if len(kept) < len(found):
            raise NotStored
        return kept
