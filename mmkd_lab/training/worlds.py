"""Train the teachers and students of many Gaussian worlds at once.

Linear networks with two logits and a bias, torch's default initialisation, full-batch SGD: the protocol of
Xue et al. 2023 (MFH), Gaussian worlds. On a CPU they are trained by a compiled loop, on CUDA by batched
products in double precision.

A two-class softmax with logits h0, h1 is one logit w . x + b with w = w1 - w0 and p1 = sigmoid(w . x + b);
plain gradient descent on the two logits moves it by twice the step. With p the student and q the teacher,
the slope of ce * CE + kd * KL in that logit is (ce + kd) p - (ce y + kd q): labels and teacher merge into
one fixed target. At a temperature T the slope is ce p + kd T p_T - (ce y + kd T q_T), with p_T and q_T the
probabilities of the logits over T: the target is as fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.datasets.gaussian import Worlds
from mmkd_lab.distill.arms import ARMS, Arm, check_arms
from mmkd_lab.training.descent import WorldsRecipe, batched, compiled
from mmkd_lab.training.device import resolve

Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating]

_DIVERGED = 1e18  # no network that learnt anything has such a weight; logits would soon overflow
_TEACHER_VIEW = {"other": "a", "student": "b", "all": "ab"}  # what an arm's teacher sees of a world
_ARMS = ("no_kd", "um_kd", "cm_kd", "mm_kd", "kl_only")


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
    teachers: Mapping[str, Doubles]
    students: Mapping[str, Doubles]
    asked: int
    trained: int

    def accuracy(self, arm: str, *, role: str = "student", split: str = "test") -> Doubles:
        """(W,) percent. Role 'teacher' is the teacher of that arm.

        Raises `LabError` for an arm that was not trained or that has no teacher, or for an unknown role or
        split.
        """
        one_of("arm", arm, list(self.students))
        one_of("role", role, ("student", "teacher"))
        if role == "student":
            return student_accuracy(self.worlds, self.students[arm], split=split)
        view = _TEACHER_VIEW.get(ARMS[arm].sees, "")
        require(view != "", "arm", arm, "has no teacher", "Ask for role='student'.")
        return _accuracy(self.worlds, view, self.teachers[view], split)


def fit_worlds(
    worlds: Worlds,
    *,
    arms: Sequence[str] = ("no_kd", "cm_kd"),
    recipe: WorldsRecipe | None = None,
    device: torch.device | str = "cpu",
    threads: int = 1,
) -> WorldsFit:
    """Train the teachers that the arms need, then the students of all arms, in every world.

    All students of a seed start from the same weights, so arms differ in their teacher alone; equal runs
    (no_kd of one seed at every point of a sweep) are trained once.

    Args:
        worlds: W worlds of one shape.
        arms: the student's arms; its modality is b, the other one a.
        recipe: how to train; MFH's when None.
        device: where to train, the CPU or a CUDA device.
        threads: on the CPU, inputs that are trained on side by side. The networks are the same.

    Raises:
        LabError: an unknown arm, one whose weights are all 0, a step size at which training diverges.
    """
    check.of_type("worlds", worlds, Worlds, "Worlds", "Draw them with data.gaussian.worlds().")
    work = _Work(worlds, recipe, device, threads)
    chosen = check_arms(arms, available=_ARMS)
    kinds = dict.fromkeys(_TEACHER_VIEW[arm.sees] for arm in chosen if arm.sees in _TEACHER_VIEW)
    teachers = {view: work.teachers(view) for view in kinds}
    lessons = [work.lesson(arm, teachers) for arm in chosen]
    target, scale = (np.concatenate(parts) for parts in zip(*lessons, strict=True))
    students = np.split(work.train(worlds.b[:, work.rows], target, scale, work.starts("b")), len(chosen))
    by_arm = dict(zip((arm.name for arm in chosen), students, strict=True))
    return WorldsFit(worlds, teachers, by_arm, work.asked, work.trained)


def teach_worlds(
    worlds: Worlds,
    *,
    inputs: Numbers,
    teacher: Numbers,
    recipe: WorldsRecipe | None = None,
    device: torch.device | str = "cpu",
) -> Doubles:
    """(W, d + 1) students of teachers whose outputs are given, on any training inputs.

    `fit_worlds` gives every network its own inputs; here a control may not.

    Args:
        worlds: W worlds, for their labels and for where the students start.
        inputs: (W, n_train, width_b) what the students learn from.
        teacher: (W, n_train) the teachers' logit differences.
        recipe: how to train; MFH's when None.
        device: where to train, the CPU or a CUDA device.

    Raises:
        LabError: inputs or a teacher of another shape, and what training refuses.
    """
    work = _Work(worlds, recipe, device, 1)
    w, n = work.labels.shape
    for name, given, shape in (("inputs", inputs, (w, n, worlds.b.shape[2])), ("teacher", teacher, (w, n))):
        require(given.shape == shape, name, given.shape, f"must be {shape}")
    return work.train(inputs, *work.taught(ARMS["cm_kd"], teacher), work.starts("b"))


def recipe_of(given: WorldsRecipe | None) -> WorldsRecipe:
    """MFH's recipe when None. Raises `LabError` for anything else that is no recipe."""
    if given is None:
        return WorldsRecipe()
    return check.of_type("recipe", given, WorldsRecipe, "a WorldsRecipe or None")


def student_accuracy(worlds: Worlds, weights: Numbers, *, split: str = "test") -> Doubles:
    """(W,) percent of (W, width_b + 1) students on their own modality."""
    return _accuracy(worlds, "b", weights, split)


def logits(x: Numbers, weights: Numbers) -> Doubles:
    """(W, N) logit differences of (W, N, d) inputs under (W, d + 1) weights."""
    return np.asarray(np.einsum("wnd,wd->wn", x, weights[:, :-1], dtype=float) + weights[:, -1:])


class _Work:
    """Turns worlds and arms into what the trainers take, and counts."""

    def __init__(
        self, worlds: Worlds, recipe: WorldsRecipe | None, device: torch.device | str, threads: int
    ) -> None:
        self.worlds, self.rows = worlds, worlds.rows("train")
        self.recipe = recipe_of(recipe)
        self.device = resolve(check.of_type("device", device, (str, torch.device), "a torch device"))
        require(self.device.type in ("cpu", "cuda"), "device", str(device), "must be the CPU or CUDA")
        self.threads = check.whole("threads", threads)
        self.labels = worlds.target[:, self.rows].astype(float)
        self.asked = self.trained = 0

    def teachers(self, view: str) -> Doubles:
        """(W, d + 1) teachers of a view, from the labels alone."""
        x = self.worlds.modality(view)[:, self.rows]
        return self.train(x, self.labels, _weights(len(x), 1.0, 0.0), self.starts(view, role="teacher"))

    def lesson(self, arm: Arm, teachers: Mapping[str, Doubles]) -> tuple[Doubles, Doubles]:
        """What the students of an arm are pulled to (W, N), and the weights of their own probability (W, 2):
        at temperature 1, and at the recipe's."""
        view = _TEACHER_VIEW.get(arm.sees)
        if view is None:
            return self.labels, _weights(len(self.labels), 1.0, 0.0)
        return self.taught(arm, logits(self.worlds.modality(view)[:, self.rows], teachers[view]))

    def taught(self, arm: Arm, teacher: Numbers) -> tuple[Doubles, Doubles]:
        """The same from a teacher's logit differences (W, N)."""
        ce, pull = self.recipe.ce if arm.labels else 0.0, self.recipe.pull
        rule = f"leaves the arm {arm.name!r} nothing to learn from"
        require(ce + pull > 0, "kd", self.recipe.kd, rule)
        temperature = self.recipe.temperature
        soft = 0.5 + 0.5 * np.tanh(0.5 / temperature * teacher.astype(float))
        merged = temperature == 1.0
        weights = _weights(len(soft), ce + pull if merged else ce, 0.0 if merged else pull)
        return ce * self.labels + pull * soft, weights

    def starts(self, view: str, *, role: str = "student") -> Doubles:
        """(W, width + 1) where the one logit starts."""
        return np.stack([start[1] - start[0] for start in starts_of(self.worlds, view, role=role)])

    def train(self, x: Numbers, target: Doubles, scale: Doubles, start: Doubles) -> Doubles:
        """(L, d + 1) networks of L lessons, lesson l on input and from start l modulo W; equal ones once."""
        inputs: dict[bytes, int] = {}
        runs: dict[tuple[object, ...], int] = {}
        groups = [inputs.setdefault(each.tobytes(), len(inputs)) for each in x]
        begin = [each.tobytes() for each in start]
        answer = []
        for one, (pulled, weight) in enumerate(zip(target, scale, strict=True)):
            w = one % len(x)
            made = groups[w], begin[w], weight.tobytes(), pulled.tobytes()
            answer.append(runs.setdefault(made, len(runs)))
        _, first = np.unique(answer, return_index=True)
        group = np.array(groups)[first % len(x)]
        members = [np.flatnonzero(group == g) for g in range(len(inputs))]
        distinct = x[np.unique(groups, return_index=True)[1]]
        values = target[first], scale[first], start[first % len(x)]
        if self.device.type == "cpu":
            weights = compiled(distinct, members, values, self.recipe, self.threads)
        else:
            weights = batched(distinct, members, values, self.recipe, self.device)
        self.asked, self.trained = self.asked + len(answer), self.trained + len(runs)
        sane = bool((np.abs(weights) < _DIVERGED).all())
        require(sane, "lr", self.recipe.lr, "must be small enough for training to converge", "Lower it.")
        return weights[answer]


def _weights(count: int, plain: float, soft: float) -> Doubles:
    return np.tile([plain, soft], (count, 1))


def starts_of(worlds: Worlds, view: str, *, role: str) -> list[Doubles]:
    """For each world (2, width + 1): torch's default for a linear layer, uniform within 1/sqrt(width).

    The teacher of view 'a' and then the student are the first layers made after seeding with seed + 1: with
    these numbers the published teachers come out to the last digit. Teachers of other views have streams of
    their own.
    """
    a, b = worlds.a.shape[2], worlds.b.shape[2]
    widths = {"a": a, "b": b, "ab": a + b}
    known: dict[int, Doubles] = {}
    for seed in dict.fromkeys(worlds.seeds):
        own = role == "teacher" and view != "a"
        stream = torch.Generator().manual_seed(derive(seed, "worlds", role, view) if own else seed + 1)
        if role == "student":
            _layer(a, stream)
        known[seed] = _layer(widths[view], stream)
    return [known[seed] for seed in worlds.seeds]


def _layer(width: int, stream: torch.Generator) -> Doubles:
    bound = 1.0 / np.sqrt(width)
    # Another thread may change the default type, as Lightning Fabric does for steps in double precision.
    both = (torch.empty(2, n, dtype=torch.float32) for n in (width, 1))
    weight, bias = (one.uniform_(-bound, bound, generator=stream) for one in both)
    return torch.cat([weight, bias], dim=1).double().numpy()


def _accuracy(worlds: Worlds, view: str, weights: Numbers, split: str) -> Doubles:
    rows = worlds.rows(split)
    right = (logits(worlds.modality(view)[:, rows], weights) > 0) == worlds.target[:, rows]
    return np.asarray(100.0 * right.mean(axis=1))
