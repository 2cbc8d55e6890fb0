"""What a step of training costs: the toys and the clock of replicas.py, msd.py and gpu.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch

from mmkd_lab.data import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill import KD, CrossEntropy, Distillation

TASK = Task.SINGLE_LABEL
CLASSES = 10
#: How a fit of so many steps is called.
Fit = Callable[[int], object]


def kd(temperature: float = 4.0) -> Distillation:
    """Half cross-entropy, half the divergence from the teacher."""
    return Distillation(((0.5, CrossEntropy(TASK)), (0.5, KD(temperature, "kl", TASK))))


def toy(
    shapes: Mapping[str, tuple[int, ...]], *, samples: int = 640, words: int = 0, text: Sequence[str] = ()
) -> PairedData:
    """Ten classes, each a random direction in every modality, plus noise.

    `text` names the modalities that are word ids below `words`: the first word tells the class.
    """
    stream = torch.Generator().manual_seed(0)
    n = samples + 128
    target, where = torch.arange(n) % CLASSES, torch.arange(n)
    x = {}
    for name, shape in shapes.items():
        if name in text:
            x[name] = torch.randint(11, words, (n, *shape), generator=stream)
            x[name][:, 0] = 1 + target
        else:
            x[name] = torch.randn(CLASSES, *shape, generator=stream)[target]
            x[name] += torch.randn(n, *shape, generator=stream)
    splits = {"train": where[:samples], "meta": where[samples:-64], "val": where[-64:]}
    return PairedData("toy", x, target, splits, tuple("0123456789"))


def per_step(
    fits: Mapping[str, Fit], *, device: torch.device, steps: tuple[int, int] = (10, 40), turns: int = 3
) -> dict[str, float]:
    """Seconds of a step by name: the difference of a long and a short fit, so that set-up cancels.

    The fits take turns and the quickest of several turns counts, since the machine may have other work. CPU
    time on a CPU, the wall clock on a GPU. A turn more than asked for warms up; with none it counts itself.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in fits}
    for _ in range(turns + 1):
        for name, fit in fits.items():
            times[name].append((spent(fit, steps[0], device), spent(fit, steps[1], device)))
    return {name: _step(found[1:] or found, *steps) for name, found in times.items()}


def _step(found: Sequence[tuple[float, float]], few: int, many: int) -> float:
    """The least difference; of fits so short that other work hides it, the long one's mean."""
    apart = [(long - short) / (many - few) for short, long in found if long > short]
    return min(apart or [long / many for _, long in found])


def spent(fit: Fit, steps: int, device: torch.device) -> float:
    """Seconds of one fit."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    fit(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start
