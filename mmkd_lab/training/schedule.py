"""The learning rate at a step, as a share of the recipe's highest rate. Closed forms, no state."""

from __future__ import annotations

from math import cos, pi

from mmkd_lab.training.recipe import Recipe

#: One-cycle: share of the steps that rise, and the rates at both ends (Smith and Topin 2019, torch's
# defaults).
RISE, START, END = 0.3, 1 / 25, 1 / 25e4


def factor(name: str, step: int, *, total: int, warmup: float = 0.0) -> float:
    """The share of the highest rate at `step` of 0 .. total - 1.

    Args:
        name: 'constant', 'cosine', 'step' or 'onecycle'.
        step: the step about to be taken.
        total: steps in all.
        warmup: share of the steps that rise linearly before the schedule proper runs over the rest.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1, total - rising)
    if name == "constant":
        return 1.0
    if name == "cosine":
        return (1 + cos(pi * done)) / 2
    if name == "step":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    return _onecycle(done)


def rates(recipe: Recipe, *, total: int) -> list[float]:
    """The learning rate of every step of a recipe."""
    return [
        recipe.lr * factor(recipe.schedule, step, total=total, warmup=recipe.warmup) for step in range(total)
    ]


def _onecycle(done: float) -> float:
    if done < RISE:
        return _between(START, 1.0, done / RISE)
    return _between(1.0, END, (done - RISE) / (1 - RISE))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2
