"""The same 330 networks by each path, and the arithmetic they need."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, Worlds, worlds
from mmkd_lab.distill import Objective, TeacherCache
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from mmkd_lab.training.worlds import WorldsFit, WorldsRecipe, fit_worlds, starts_of
from mmkd_lab.training.worlds_loop import train_one
from mmkd_lab.training.worlds_runs import Lesson

SEEDS, STEPS, LR = 10, 1000, 0.1

Curve = npt.NDArray[np.float64]


def draw(seeds: int = SEEDS) -> list[Worlds]:
    """Figure 2's 60 worlds and figure 3's 50."""
    return [worlds(specs, range(seeds)) for specs in (FIGURE2, FIGURE3)]


def size(drawn: Sequence[Worlds]) -> float:
    """MB of all samples and labels."""
    return sum(each.a.nbytes + each.b.nbytes + each.target.nbytes for each in drawn) / 2**20


def train(
    drawn: Sequence[Worlds], *, path: str = "kernel", device: str = "cpu", steps: int = STEPS
) -> list[WorldsFit]:
    """Teachers, no-KD and KD students of all worlds, and their test accuracies."""
    recipe = WorldsRecipe(steps=steps)
    fits = [fit_worlds(each, recipe=recipe, path=path, device=device) for each in drawn]
    for one in fits:
        for arm, role in (("no_kd", "student"), ("cm_kd", "student"), ("cm_kd", "teacher")):
            one.accuracy(arm, role=role)
    return fits


def plain_loop(seeds: int) -> Curve:
    """The published protocol, one network after the other; figure 2's KD test accuracies, (6,)."""
    reached = []
    for each in draw(seeds):
        train_rows, test = each.rows("train"), each.rows("test")
        starts = starts_of(each, "a", role="teacher"), starts_of(each, "b", role="student")
        for w in range(len(each)):
            y, a, b = each.target[w, train_rows], each.a[w, train_rows], each.b[w, train_rows]
            watch = (each.a[w, test], each.target[w, test])
            teacher, _ = train_one(Lesson(a, y, starts[0][w]), steps=STEPS, lr=LR, watch=watch)
            with torch.no_grad():
                logits = teacher(torch.from_numpy(a))
            watch = (each.b[w, test], each.target[w, test])
            alone = Lesson(b, y, starts[1][w])
            train_one(alone, steps=STEPS, lr=LR, watch=watch)
            soft = (logits[:, 1] - logits[:, 0]).numpy()
            taught = Lesson(b, y, starts[1][w], teacher=soft, convention="released")
            reached.append(train_one(taught, steps=STEPS, lr=LR, watch=watch)[1][-1, 1])
    return np.array(reached[: 6 * seeds], dtype=float).reshape(6, seeds).mean(axis=1)


def replicas(drawn: Sequence[Worlds]) -> Curve:
    """Through the loop for deep networks, stacked, one dataset a replica; figure 2's KD accuracies, (6,)."""
    students, _ = (_students(each) for each in drawn)
    data = [drawn[0][w] for w in range(len(drawn[0]))]
    kd = [evaluate(students[len(data) + w], data[w], split="test")["accuracy"][0] for w in range(len(data))]
    return np.array(kd, dtype=float).reshape(6, SEEDS).mean(axis=1)


def _students(each: Worlds) -> Replicas:
    """The no-KD students of all worlds, then the KD students."""
    recipe = Recipe(
        steps=STEPS,
        batch_size=None,
        optimiser="sgd",
        lr=LR,
        momentum=0.0,
        schedule="constant",
        select="last",
        validate_every=STEPS,
    )
    data = [each[w] for w in range(len(each))]
    a, b = (NetSpec(encoder="linear", standardise=False, modalities=(name,)) for name in ("a", "b"))
    teachers = Replicas.build(a, data[0], seeds=each.seeds, device="cpu")
    teachers = fit(teachers, data, Objective(), recipe, mode="stacked", progress=False).replicas
    logits = torch.cat([teachers[w].predict(data[w]) for w in range(len(data))])
    weight = torch.cat([torch.zeros(len(data)), torch.ones(len(data))])
    return fit(
        Replicas.build(b, data[0], seeds=each.seeds * 2, device="cpu"),
        data * 2,
        Objective(ce=torch.ones(2 * len(data)), kd=weight, convention="released"),
        recipe,
        teacher=TeacherCache(data[0].sample_index, torch.cat([logits, logits])),
        mode="stacked",
        progress=False,
    ).replicas


def cuda(drawn: Sequence[Worlds], repeats: int) -> object:
    """Wall seconds of the batched path on a GPU, copying there and back included."""
    if not torch.cuda.is_available():
        return "awaits a GPU"
    train(drawn, path="bmm", device="cuda")
    seconds = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        train(drawn, path="bmm", device="cuda")
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {"device": torch.cuda.get_device_name(), "wall seconds": min(seconds)}


def arithmetic(fits: Sequence[WorldsFit]) -> dict[str, float]:
    """GFLOP of the two passes over the inputs; an addition and a multiplication count one each.

    One step of one run with one logit is 2 N (d + 1) forward and as many backward. Looking at train and test
    is a forward pass of two logits over both. Sigmoids are not counted.
    """
    one_logit = looking = kernel = 0.0
    for one in fits:
        n_train, n_test = one.worlds.specs[0].n_train, one.worlds.specs[0].n_test
        wide_a, wide_b = one.worlds.a.shape[2] + 1, one.worlds.b.shape[2] + 1
        teachers, students = len(one.worlds), one.trained - len(one.worlds)
        columns = len(one.worlds) * (wide_a + 2 * wide_b)
        one_logit += 4e-9 * STEPS * n_train * columns
        looking += 4e-9 * STEPS * (n_train + n_test) * columns
        kernel += 4e-9 * STEPS * n_train * (teachers * wide_a + students * wide_b)
    return {
        "networks asked for": sum(one.asked for one in fits),
        "networks trained by the kernel": sum(one.trained for one in fits),
        "GFLOP, training with two logits": 2 * one_logit,
        "GFLOP, looking at train and test after every step": looking,
        "GFLOP, training with one logit": one_logit,
        "GFLOP, kernel": kernel,
    }
