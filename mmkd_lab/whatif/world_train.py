"""Trains the networks of worlds, seed by seed, and remembers what came out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from mmkd_lab.core.stats import Interval, paired_interval
from mmkd_lab.data.datasets.gaussian import Pool, World, worlds
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds
from mmkd_lab.whatif.world_state import WorldState

Numbers = npt.NDArray[np.float64]
_KEPT = 20_000  # trained worlds remembered; each is four numbers


@dataclass(frozen=True, eq=False)
class Truth:
    """What trained networks reach on the test split, percent by seed."""

    teacher: Numbers
    no_kd: Numbers
    um_kd: Numbers
    kd: Numbers

    @property
    def gain(self) -> Interval:
        """KD minus no KD, paired."""
        return paired_interval(self.kd, self.no_kd)

    @property
    def beside(self) -> Interval:
        """KD minus KD from a teacher of the student's own modality, paired."""
        return paired_interval(self.kd, self.um_kd)


class Trainer:
    """Trains worlds seed by seed and remembers what came out."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], Numbers] = OrderedDict()
        self._pool: Pool = {}
        self._shape: tuple[object, ...] = ()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Forget what was trained."""
        with self._lock:
            self._known.clear()

    def known(self, state: WorldState, seeds: int) -> Truth | None:
        """What is remembered of a state; None unless of all seeds."""
        key = _key(state)
        rows = [self._known.get((key, seed)) for seed in range(seeds)]
        return None if any(row is None for row in rows) else Truth(*np.array(rows).T)

    def truth(self, state: WorldState, seeds: int) -> Truth:
        """The networks of seeds 0 to `seeds` - 1, trained as far as they are not remembered."""
        key = _key(state)
        with self._lock:
            missing = [seed for seed in range(seeds) if (key, seed) not in self._known]
            if missing:
                for seed, row in zip(missing, self._train(*key, missing).T, strict=True):
                    self._known[key, seed] = row
            while len(self._known) > max(_KEPT, seeds):
                self._known.popitem(last=False)
            return Truth(*np.array([self._known[key, seed] for seed in range(seeds)]).T)

    def _train(self, world: World, recipe: WorldsRecipe, teacher: str, seeds: Sequence[int]) -> Numbers:
        """(4, seeds) accuracies: teacher, no_kd, um_kd, kd."""
        shape = (*world.shape, world.latents)
        if shape != self._shape:
            self._pool, self._shape = {}, shape
        drawn = worlds(world, seeds, pool=self._pool)
        taught = drawn.only("a", "shared") if teacher == "shared" else drawn
        arm = "mm_kd" if teacher == "both" else "cm_kd"
        fit = fit_worlds(taught, arms=("no_kd", "um_kd", arm), recipe=recipe, threads=cpu_count())
        return np.stack(
            [fit.accuracy(arm, role="teacher"), *(fit.accuracy(one) for one in ("no_kd", "um_kd", arm))]
        )


#: What every panel of this process has trained.
TRAINER = Trainer()


def _key(state: WorldState) -> tuple[World, WorldsRecipe, str]:
    """All that determines the networks of a seed."""
    recipe = WorldsRecipe(ce=float(state.labels), kd=state.kd, temperature=state.temperature, convention="kl")
    return state.world(), recipe, state.teacher
