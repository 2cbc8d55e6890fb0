"""What one linear two-class network is to learn, and many of them as one stack: nothing held or trained
twice.

A two-class softmax with logits h0, h1 is one logit w . x + b with w = w1 - w0 and p1 = sigmoid(w . x + b);
plain gradient descent on the two logits moves it by twice the step. With p the student and q the teacher,
the gradient of ce * CE + kd * KL in that logit is (ce + kd) p - (ce y + kd q): labels and teacher merge
into one fixed target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lesson:
    """One teacher or student to train by full-batch gradient descent.

    Args:
        x: (N, d) inputs.
        y: (N,) labels, 0 or 1.
        start: (2, d + 1) initial weights and, last, bias of the two logits.
        teacher: (N,) the teacher's logit difference h1 - h0, or None to learn from the labels alone.
        ce: weight of the cross-entropy.
        kd: weight of the divergence from the teacher.
        convention: 'kl' is the true divergence, 'released' half of it (divided by the number of classes too).
    """

    x: Floats
    y: npt.NDArray[np.int64]
    start: Floats
    teacher: Floats | None = None
    ce: float = 1.0
    kd: float = 1.0
    convention: str = "kl"

    @property
    def pull(self) -> float:
        """The weight of the teacher in the gradient of the one logit."""
        return 0.0 if self.teacher is None else self.kd / (2.0 if self.convention == "released" else 1.0)

    @property
    def scale(self) -> float:
        """The weight of the student's own probability in that gradient."""
        return self.ce + self.pull

    @property
    def target(self) -> Floats:
        """(N,) what `scale * p` is pulled to."""
        target = self.ce * self.y.astype(np.float64)
        if self.teacher is not None:
            target += self.pull * 0.5 * (1.0 + np.tanh(0.5 * self.teacher.astype(np.float64)))
        return target.astype(np.float32)

    @property
    def start_of_one(self) -> Floats:
        """(d + 1,) where the one logit starts."""
        return np.asarray(self.start[1] - self.start[0], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LinearRuns:
    """R distinct runs on G distinct inputs, all of one shape.

    Args:
        x: (G, N, d) the inputs.
        group: (R,) the input of each run.
        target: (R, N) as in `Lesson`.
        scale: (R,) as in `Lesson`.
        start: (R, d + 1) initial weights and, last, bias of the one logit.
    """

    x: Floats
    group: npt.NDArray[np.int64]
    target: Floats
    scale: Floats
    start: Floats

    def __len__(self) -> int:
        return len(self.group)

    def members(self) -> list[npt.NDArray[np.int64]]:
        """For each input, the runs on it."""
        order = np.argsort(self.group, kind="stable")
        return np.split(order, np.searchsorted(self.group[order], np.arange(1, len(self.x))))


def merge(lessons: Sequence[Lesson]) -> tuple[LinearRuns, npt.NDArray[np.int64]]:
    """Stack lessons of one shape, holding equal inputs once and training equal runs once.

    Equal means equal in every bit. Returns the runs and, for each lesson, the run that answers it.
    """
    inputs: dict[bytes, int] = {}
    first: list[Lesson] = []
    runs: dict[tuple[object, ...], int] = {}
    rows: list[tuple[int, Floats, float, Floats]] = []
    answer: list[int] = []
    for lesson in lessons:
        group = inputs.setdefault(lesson.x.tobytes(), len(inputs))
        if group == len(first):
            first.append(lesson)
        target, scale, start = lesson.target, lesson.scale, lesson.start_of_one
        run = runs.setdefault((group, scale, target.tobytes(), start.tobytes()), len(runs))
        if run == len(rows):
            rows.append((group, target, scale, start))
        answer.append(run)
    groups, targets, scales, starts = zip(*rows, strict=True)
    stacked = LinearRuns(
        x=np.stack([lesson.x for lesson in first]),
        group=np.array(groups),
        target=np.stack(targets),
        scale=np.array(scales, dtype=np.float32),
        start=np.stack(starts),
    )
    return stacked, np.array(answer)
