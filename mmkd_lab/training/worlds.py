"""Train the teachers and students of many Gaussian worlds at once.

Linear networks with two logits and a bias, torch's default initialisation, full-batch SGD: the protocol of
Xue et al. 2023 (MFH), Gaussian worlds, in three paths that give the same weights:

    kernel   compiled, one input after the other inside the cache (the fastest on a CPU)
    bmm      batched torch, CPU or CUDA
    loop     one network after the other, plain autograd
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.datasets.gaussian import Worlds
from mmkd_lab.distill.arms import ARMS, Arm
from mmkd_lab.distill.arms import arms as named_arms
from mmkd_lab.training import worlds_bmm, worlds_loop
from mmkd_lab.training.device import resolve
from mmkd_lab.training.worlds_runs import Lesson, LinearRuns, merge

Floats = npt.NDArray[np.float32]

PATHS = ("kernel", "bmm", "loop")
CONVENTIONS = ("kl", "released")
#: No network that learnt anything has a weight of this size; logits would soon overflow.
_DIVERGED = 1e18
#: What an arm's teacher sees, in the views of a world.
_TEACHER_VIEW = {"other": "a", "student": "b", "all": "ab"}


@dataclass(frozen=True)
class WorldsRecipe:
    """How every network is trained. The defaults are MFH's.

    Args:
        ce: weight of the cross-entropy beside a teacher. Without a teacher it is 1, in the arm kl_only 0.
        kd: weight of the divergence from the teacher.
        convention: 'released' divides the divergence by the two classes, as the released code does; 'kl' does
            not.
        steps: full-batch steps.
        lr: step size of plain SGD.

    Raises:
        LabError: a negative or non-finite weight, an unknown convention, steps below 1, lr not above 0.
    """

    ce: float = 1.0
    kd: float = 1.0
    convention: str = "released"
    steps: int = 1000
    lr: float = 0.1

    def __post_init__(self) -> None:
        check.real("ce", self.ce, at_least=0.0)
        check.real("kd", self.kd, at_least=0.0)
        one_of("convention", self.convention, CONVENTIONS)
        check.whole("steps", self.steps)
        check.real("lr", self.lr, above=0.0)


@dataclass(frozen=True, eq=False)
class WorldsFit:
    """Trained networks of W worlds.

    Args:
        worlds: what they were trained on.
        teachers: view ('a', 'b', 'ab') -> (W, d + 1) weights and bias of the logit difference.
        students: arm -> (W, width_b + 1).
        asked: networks asked for.
        trained: networks trained; fewer, where several would have been the same run.
    """

    worlds: Worlds
    teachers: Mapping[str, Floats]
    students: Mapping[str, Floats]
    asked: int
    trained: int

    def accuracy(self, arm: str, *, role: str = "student", split: str = "test") -> npt.NDArray[np.float64]:
        """(W,) percent. Role 'teacher' is the teacher of that arm.

        Raises `LabError` for an arm that was not trained, a role other than 'student' and 'teacher', an arm
        without a teacher, or a split the worlds do not have.
        """
        one_of("arm", arm, list(self.students))
        one_of("role", role, ("student", "teacher"))
        view = _TEACHER_VIEW.get(ARMS[arm].teacher)
        require(
            role == "student" or view is not None, "arm", arm, "has no teacher", "Ask for role='student'."
        )
        if role == "student" or view is None:
            return student_accuracy(self.worlds, self.students[arm], split=split)
        rows = self.worlds.rows(split)
        weights, x = self.teachers[view], self.worlds.modality(view)[:, rows]
        return np.asarray(100.0 * ((_logits(x, weights) > 0) == self.worlds.target[:, rows]).mean(axis=1))


def fit_worlds(
    worlds: Worlds,
    *,
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    recipe: WorldsRecipe | None = None,
    path: str = "kernel",
    device: torch.device | str = "cpu",
) -> WorldsFit:
    """Train the teachers that the arms need, then the students of all arms, in every world.

    All students of a seed start from the same weights, so arms differ in their teacher alone; equal runs
    (no_kd of one seed at every point of a sweep) are trained once, except by the loop.

    Args:
        worlds: W worlds of one shape.
        arms: the student's arms; its modality is b, the other one a.
        recipe: how to train; MFH's when None.
        path: 'kernel', 'bmm' or 'loop', see the module.
        device: where 'bmm' computes; the other paths are for the CPU.

    Raises:
        LabError: worlds, a recipe or a device of another kind, an unknown arm or path, a device other than
            the CPU for a path that cannot use it, an arm whose weights are all 0, a step size at which
            training diverges.
    """
    check.of_type("worlds", worlds, Worlds, "Worlds", "Draw them with data.gaussian.worlds().")
    recipe = WorldsRecipe() if recipe is None else recipe
    check.of_type("recipe", recipe, WorldsRecipe, "a WorldsRecipe or None")
    check.of_type("device", device, (str, torch.device), "a torch device such as 'cpu'")
    chosen = named_arms(arms)
    where = resolve(device)
    _validate(chosen, recipe, path, where)
    work = _Work(worlds, recipe, path, where)
    views = dict.fromkeys(_TEACHER_VIEW[arm.teacher] for arm in chosen if arm.teacher in _TEACHER_VIEW)
    teachers = {view: work.teachers(view) for view in views}
    students = work.students(chosen, teachers)
    return WorldsFit(worlds, teachers, students, work.asked, work.trained)


def teach_worlds(
    worlds: Worlds,
    *,
    inputs: Floats,
    teacher: Floats,
    recipe: WorldsRecipe | None = None,
    path: str = "kernel",
) -> Floats:
    """(W, d + 1) students of teachers whose outputs are given, on any training inputs.

    `fit_worlds` gives every network its own inputs; here a control may not.

    Args:
        worlds: W worlds, for their labels and for where the students start.
        inputs: (W, n_train, width_b) what the students learn from.
        teacher: (W, n_train) the teachers' logit differences.
        recipe: how to train; MFH's when None.
        path: 'kernel', 'bmm' or 'loop', see the module.

    Raises:
        LabError: inputs or a teacher of another shape, an unknown path, and what training refuses.
    """
    recipe = recipe or WorldsRecipe()
    rows = worlds.rows("train")
    w, n = worlds.target[:, rows].shape
    shape = (w, n, worlds.b.shape[2])
    require(inputs.shape == shape, "inputs", inputs.shape, f"must be {shape}")
    require(teacher.shape == (w, n), "teacher", teacher.shape, f"must be {(w, n)}")
    where = torch.device("cpu")
    _validate(named_arms(["cm_kd"]), recipe, path, where)
    work = _Work(worlds, recipe, path, where)
    starts = starts_of(worlds, "b", role="student")
    lessons = [
        replace(work.lesson(i, np.ascontiguousarray(inputs[i]), starts[i]), teacher=teacher[i], ce=recipe.ce)
        for i in range(w)
    ]
    return work.train(lessons)


def student_accuracy(worlds: Worlds, weights: Floats, *, split: str = "test") -> npt.NDArray[np.float64]:
    """(W,) percent of (W, width_b + 1) students on their own modality."""
    rows = worlds.rows(split)
    right = (_logits(worlds.b[:, rows], weights) > 0) == worlds.target[:, rows]
    return np.asarray(100.0 * right.mean(axis=1))


class _Work:
    """Turns worlds and arms into lessons, trains them on one path, and counts."""

    def __init__(self, worlds: Worlds, recipe: WorldsRecipe, path: str, device: torch.device) -> None:
        self.worlds, self.recipe, self.path, self.device = worlds, recipe, path, device
        self.rows = worlds.rows("train")
        self.asked = self.trained = 0

    def teachers(self, view: str) -> Floats:
        """(W, d + 1) teachers of a view, from the labels alone."""
        x = self.worlds.modality(view)[:, self.rows]
        starts = starts_of(self.worlds, view, role="teacher")
        return self.train([self.lesson(w, x[w], starts[w]) for w in range(len(self.worlds))])

    def students(self, chosen: Sequence[Arm], teachers: Mapping[str, Floats]) -> dict[str, Floats]:
        """Arm -> (W, width_b + 1), all arms in one call so that they share inputs."""
        x = self.worlds.b[:, self.rows]
        starts = starts_of(self.worlds, "b", role="student")
        lessons = []
        for arm in chosen:
            logits = self.teacher_logits(arm, teachers)
            for w in range(len(self.worlds)):
                lesson = self.lesson(w, x[w], starts[w])
                ce = self.recipe.ce if arm.ce else 0.0
                lessons.append(lesson if logits is None else replace(lesson, teacher=logits[w], ce=ce))
        return dict(
            zip((arm.name for arm in chosen), np.split(self.train(lessons), len(chosen)), strict=True)
        )

    def teacher_logits(self, arm: Arm, teachers: Mapping[str, Floats]) -> Floats | None:
        view = _TEACHER_VIEW.get(arm.teacher)
        return None if view is None else _logits(self.worlds.modality(view)[:, self.rows], teachers[view])

    def lesson(self, w: int, x: Floats, start: Floats) -> Lesson:
        """From the labels alone, whose weight is then 1."""
        kd, convention = self.recipe.kd, self.recipe.convention
        return Lesson(x, self.worlds.target[w, self.rows], start, kd=kd, convention=convention)

    def train(self, lessons: Sequence[Lesson]) -> Floats:
        self.asked += len(lessons)
        if self.path == "loop":
            self.trained += len(lessons)
            weights = worlds_loop.train(lessons, steps=self.recipe.steps, lr=self.recipe.lr)
        else:
            runs, answer = merge(lessons)
            self.trained += len(runs)
            weights = self.train_merged(runs)[answer]
        sane = bool((np.abs(weights) < _DIVERGED).all())
        require(sane, "lr", self.recipe.lr, "must be small enough for training to converge", "Lower it.")
        return weights

    def train_merged(self, runs: LinearRuns) -> Floats:
        steps, lr = self.recipe.steps, self.recipe.lr
        if self.path == "bmm":
            return worlds_bmm.train(runs, steps=steps, lr=lr, device=self.device)
        from mmkd_lab.training import worlds_kernel  # numba; the other paths do without

        return worlds_kernel.train(runs, steps=steps, lr=lr)


def _validate(chosen: Sequence[Arm], recipe: WorldsRecipe, path: str, device: torch.device) -> None:
    one_of("path", path, PATHS)
    on_cpu = device.type == "cpu"
    require(
        on_cpu or path == "bmm",
        "device",
        str(device),
        f"path {path!r} computes on the CPU",
        "Use path='bmm'.",
    )
    for arm in chosen:
        weight = recipe.kd + (recipe.ce if arm.ce else 0.0) if arm.teacher != "none" else 1.0
        require(weight > 0, "kd", recipe.kd, f"leaves the arm {arm.name!r} nothing to learn from")


def starts_of(worlds: Worlds, view: str, *, role: str) -> list[Floats]:
    """For each world (2, width + 1): torch's default for a linear layer, uniform within 1/sqrt(width).

    The teacher of view 'a' and then the student are the first layers made after seeding with seed + 1: with
    these numbers the published teachers come out to the last digit. Teachers of other views have streams of
    their own.
    """
    widths = {"a": worlds.a.shape[2], "b": worlds.b.shape[2], "ab": worlds.a.shape[2] + worlds.b.shape[2]}
    known: dict[int, Floats] = {}
    for seed in dict.fromkeys(worlds.seeds):
        if role == "teacher" and view != "a":
            stream = torch.Generator().manual_seed(derive(seed, "worlds", role, view))
        else:
            stream = torch.Generator().manual_seed(seed + 1)
        if role == "student":
            _layer(widths["a"], stream)
        known[seed] = _layer(widths[view], stream)
    return [known[seed] for seed in worlds.seeds]


def _layer(width: int, stream: torch.Generator) -> Floats:
    bound = 1.0 / np.sqrt(width)
    weight, bias = (torch.empty(2, n).uniform_(-bound, bound, generator=stream) for n in (width, 1))
    return torch.cat([weight, bias], dim=1).numpy()


def _logits(x: Floats, weights: Floats) -> Floats:
    """(W, N) logit differences of (W, N, d) inputs under (W, d + 1) weights."""
    return np.asarray((x @ weights[:, :-1, None])[..., 0] + weights[:, -1:])
