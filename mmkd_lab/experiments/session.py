"""Where a study runs: its store, its processes and its progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmkd_lab.core.check import require, whole
from mmkd_lab.core.progress import jobs_progress
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import ResultStore


@contextmanager
def session(total: int, *, store: ResultStore | None, jobs: int | None, progress: bool) -> Iterator[Runner]:
    """A runner for so many networks.

    Args:
        total: networks to be trained or taken from the store.
        store: where finished jobs are kept; the default store when None.
        jobs: how many run at a time; None leaves it to `joblib.parallel_config`.
        progress: show a bar.

    Raises `LabError` for another store, or jobs that are no whole number (-1 is one a core).
    """
    require(store is None or isinstance(store, ResultStore), "store", store, "must be a ResultStore or None")
    if jobs is not None and jobs != -1:
        whole("jobs", jobs)
    with jobs_progress(total, "network", shown=progress) as bar:
        yield Runner(
            ResultStore() if store is None else store, jobs, lambda what, how: bar.update(f"{what}, {how}")
        )
