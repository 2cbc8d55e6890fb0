"""Jobs: what an experiment consists of. Each is one call, with a key made of all that determines it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab.experiments.store import Key

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class JobOutcome:
    """What a job gives: plain values, and arrays by name."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    tensors: Arrays = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Job:
    """One piece of work that depends on nothing but what it holds, so that any process may do it.

    Args:
        key: everything that determines the outcome; equal keys are one job.
        work: called with `task`; a function of a module, and its outcome the same wherever it runs.
        task: what the work is about; it travels to other processes.
        what: what a progress bar calls it.
    """

    key: Key
    work: Callable[[Any], JobOutcome]
    task: Any
    what: str
