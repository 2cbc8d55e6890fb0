"""Work for the runner's tests, in a file of its own so that other processes can import it.

python -m tests.experiments.work <store> <jobs> <seconds>     eight sleeping jobs, each told when it begins
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import ResultStore, key


@dataclass(frozen=True)
class Task:
    number: int
    seconds: float = 0.0
    dies_once: str = ""
    fails: bool = False


def usual(_: object) -> JobOutcome:
    """What torch takes for the usual type in the process of a job."""
    return JobOutcome({"usual": str(torch.ones(1).dtype)})


def drawn(task: Task) -> JobOutcome:
    """What torch draws from a seed, with a pause in which another thread could draw, too."""
    torch.manual_seed(task.number)
    time.sleep(task.seconds)
    return JobOutcome({"drawn": torch.rand(3).tolist(), "usual": str(torch.ones(1).dtype)})


def square(task: Task) -> JobOutcome:
    if task.fails:
        raise LabError("number", task.number, "is one that fails")
    if task.dies_once and not Path(task.dies_once).exists():
        Path(task.dies_once).touch()
        os._exit(9)
    time.sleep(task.seconds)
    rng = np.random.default_rng(task.number)
    return JobOutcome({"square": task.number**2, "process": os.getpid()}, {"noise": rng.normal(size=5)})


def within(folder: Path) -> JobOutcome:
    """A job that has jobs of its own."""
    return JobOutcome(
        {"squares": [one.metrics["square"] for one in Runner(ResultStore(folder)).run(jobs(3))]}
    )


def jobs(count: int = 8, **changes) -> list[Job]:
    return [
        Job(key(role="square", number=i), square, Task(i, **changes), f"number {i}") for i in range(count)
    ]


if __name__ == "__main__":
    runner = Runner(
        ResultStore(sys.argv[1]), int(sys.argv[2]), lambda what, how: print(what, how, flush=True)
    )
    print("begun", flush=True)
    runner.run(jobs(seconds=float(sys.argv[3])))
