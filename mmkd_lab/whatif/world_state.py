"""A Gaussian world by its shares, as sliders move it: three that sum to 1, each of which can be locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Count, Flag, Fraction, NonNegative, Positive, config
from mmkd_lab.data.datasets.gaussian import World

SHARES = ("alpha", "beta", "gamma")


@config
class WorldState:
    """A world and how its students are taught.

    Args:
        alpha, beta, gamma: what only a, only b and both modalities know, as shares that sum to 1. The teacher
            sees a, the student b.
        locked: shares that stay when another is moved.
        unobserved: share of what decides the label that neither modality sees.
        latents: how many independent numbers decide the label; shares are rounded to whole numbers of them.
        samples: for training.
        width_a, width_b: columns of the modalities; what is not decisive is noise.
        teacher: what the teacher sees: the other modality, both, or of a only what b shares.
        kd, temperature: weight of the divergence from the teacher, and what its logits are divided by.
        labels: whether taught students learn from the labels, too.
        seeds: paired seeds.
        map_x, map_y: the axes of the map of gains.

    Raises `LabError` for shares that do not sum to 1, modalities too narrow, or a map with one axis twice.
    """

    alpha: Fraction = 0.4
    beta: Fraction = 0.4
    gamma: Fraction = 0.2
    locked: tuple[Literal["alpha", "beta", "gamma"], ...] = ()
    unobserved: Fraction = 0.2
    latents: Count = 25
    samples: Count = 200
    width_a: Count = 25
    width_b: Count = 50
    teacher: Literal["other", "both", "shared"] = "other"
    kd: NonNegative = 2.0
    temperature: Positive = 1.0
    labels: Flag = True
    seeds: Count = 32
    map_x: Literal["gamma", "alpha", "beta", "unobserved", "samples", "kd", "temperature"] = "gamma"
    map_y: Literal["gamma", "alpha", "beta", "unobserved", "samples", "kd", "temperature"] = "samples"

    def __post_init__(self) -> None:
        total = self.alpha + self.beta + self.gamma
        require(abs(total - 1.0) < 1e-6, "alpha + beta + gamma", total, "must be 1")
        require(self.map_x != self.map_y, "map_y", self.map_y, "must differ from map_x")
        require(self.unobserved <= 0.9, "unobserved", self.unobserved, "must be at most 0.9")
        rule = "must leave something to be taught: labels, or a KD weight above 0"
        require(self.labels or self.kd > 0, "kd", self.kd, rule)
        for side, own in (("a", self.alpha), ("b", self.beta)):
            width = self.width_a if side == "a" else self.width_b
            needed = round((own + self.gamma) * self.latents)
            require(
                width >= needed, f"width_{side}", width, f"must be at least {needed}, its decisive columns"
            )

    def world(self) -> World:
        """The world, shares rounded to whole latents (largest remainder)."""
        seen = max(1, self.latents - round(self.unobserved * self.latents))
        a, b, shared = rounded((self.alpha, self.beta, self.gamma), seen)
        return World(
            shared=shared,
            specific_a=a,
            specific_b=b,
            hidden=self.latents - seen,
            width_a=self.width_a,
            width_b=self.width_b,
            n_train=self.samples,
            n_test=1000,
            stream="independent",
        )


def rounded(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to shares that sum to 1: rounded down, the largest remainders up."""
    exact = np.asarray(shares) * total
    found = np.floor(exact + 1e-9).astype(int)
    for i in np.argsort(found - exact, kind="stable")[: total - int(found.sum())]:
        found[i] += 1
    return [int(one) for one in found]


def with_share(state: WorldState, name: str, value: float) -> WorldState:
    """The state after a share was moved: those not locked give way in proportion, in equal parts from 0."""
    others = [one for one in SHARES if one != name]
    fixed = sum(getattr(state, one) for one in others if one in state.locked)
    free = [one for one in others if one not in state.locked]
    value = min(max(value, 0.0), 1.0 - fixed) if free else 1.0 - fixed
    rest, now = 1.0 - fixed - value, {one: getattr(state, one) for one in free}
    total = sum(now.values())
    moved = {one: rest * (now[one] / total if total > 1e-9 else 1 / len(free)) for one in free}
    shares = {name: value, **moved}
    return replace(state, **{one: min(max(round(share, 9), 0.0), 1.0) for one, share in shares.items()})


def world_state(**given: Any) -> WorldState:  # noqa: ANN401 - the fields of WorldState
    """A state from some of its fields; shares that are not given fill up in proportion."""
    shares = {name: given.pop(name) for name in SHARES if name in given}
    if len(shares) == len(SHARES):
        return WorldState(**shares, **given)
    state = WorldState()
    held: tuple[Any, ...] = ()
    for name, value in shares.items():
        state = with_share(replace(state, locked=held), name, value)
        held = (*held, name)
    kept = {name: getattr(state, name) for name in SHARES}
    for name, value in shares.items():
        require(kept[name] == value, name, value, "must leave alpha + beta + gamma at 1, each from 0 to 1")
    return WorldState(**kept, **given)


def moved(state: WorldState, axis: str, value: Any) -> WorldState:  # noqa: ANN401
    """The state with another value of an axis; a share moves the others."""
    return with_share(state, axis, value) if axis in SHARES else replace(state, **{axis: value})
