"""How long a diagnosis may take: what is stored costs nothing, what does not fit is left out, and said."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mmkd_lab.core.check import LabError, real, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import labels_only
from mmkd_lab.experiments.jobs import Job
from mmkd_lab.experiments.runner import NotStored, Runner
from mmkd_lab.experiments.store import Result
from mmkd_lab.training import fit
from mmkd_lab.training.device import threads
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.sources import Source

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_RULE = "must be seconds, a time such as '30 s', '5 min' or '1 h', or None for no end"
#: What passes beside the steps of a training, and steps from which their pace is taken.
_BESIDE, _STEPS = 1.3, (2, 12)


def seconds_of(budget: object) -> float | None:
    """A budget in seconds; None is none. Raises `LabError` for anything else."""
    if budget is None:
        return None
    if isinstance(budget, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+?)s?", budget.strip().lower())
        known = found is not None and found[2] in _UNITS
        require(known, "budget", budget, _RULE)
        budget = float(found[1]) * _UNITS[found[2]] if found else 0.0
    try:
        return real("budget", budget, above=0.0)
    except LabError as error:
        raise LabError("budget", budget, _RULE) from error


@dataclass(eq=False)
class Desk(Runner):
    """A runner that can be told to hand out what is stored, and nothing else: `NotStored` then."""

    may_work: bool = True

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        """As `Runner.run`."""
        if not self.may_work and not all(self.store.path(job.key).exists() for job in jobs):
            raise NotStored
        return super().run(jobs)


@dataclass(eq=False)
class Clock:
    """What is left of a budget, in seconds."""

    budget: float | None
    started: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Infinite without a budget."""
        if self.budget is None:
            return float("inf")
        return self.budget - (time.perf_counter() - self.started)


def pace(source: Source, data: PairedData, recipe: Recipe) -> float:
    """Seconds that training one network will take on this machine, from a few steps of it."""
    net = source.replicas([0], recipe=recipe)
    clocked, begun = [], (time.perf_counter(), time.process_time())
    with threads(1):
        for steps in _STEPS:
            short = replace(recipe, epochs=None, min_steps=None, steps=steps, select="last", patience=None)
            before = time.process_time()
            fit(net, data, labels_only(data.task), short, progress=False)
            clocked.append(time.process_time() - before)
    each = max(1e-5, (clocked[1] - clocked[0]) / (_STEPS[1] - _STEPS[0]))
    wall, mine = time.perf_counter() - begun[0], max(1e-3, time.process_time() - begun[1])
    busy = min(8.0, max(1.0, wall / mine))  # others may be at work on this machine
    return _BESIDE * busy * each * recipe.length(len(data.positions("train")))[1]
