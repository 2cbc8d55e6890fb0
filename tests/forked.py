"""Processes of their own that need not import the lab anew: forked from one that has it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from mmkd_lab.experiments.store import ResultStore

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.study.tiny", "mmkd_lab.plotting", "sklearn.linear_model", "tqdm.auto"]
)


def start(function: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """The running process of a function that can be imported."""
    process = _CONTEXT.Process(target=function, args=arguments)
    process.start()
    return process


def kill_when(store: Path, process: ForkServerProcess, *, entries: int) -> None:
    """Kill it with SIGKILL as soon as the store has that many entries."""
    while len(ResultStore(store)) < entries:
        assert process.is_alive(), "it ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.join()
