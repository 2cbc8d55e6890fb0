"""What rival hypotheses say about crossmodal distillation, one number for each run.

A run is one taught student. What predicts its gain must be known before it is trained: every number here is
about its teacher and the student of the same seed that had none, on a split that gains are not counted on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.core.check import require
from mmkd_lab.core.registry import Registry
from mmkd_lab.data.task import Task
from mmkd_lab.shares.samples import Floats
from mmkd_lab.training.metrics import first_of, score

Numbers = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]

#: Principal components of a representation in the Gaussian estimate of information.
COMPONENTS = 8


@dataclass(frozen=True, eq=False)
class TaughtStudent:
    """One taught student, its teacher, and the untaught student of its seed.

    Args:
        dataset, student: the data, and the modality that the student sees.
        arm, loss, ratio, draw, seed: which run; ratio is None where it does not apply.
        split: the split of the arrays, N samples.
        gain: test accuracy minus that of the untaught student, in points.
        teacher_features: (N, d) what the teacher's head reads, removed channels constant.
        teacher_logits: (N, K).
        student_features: (N, e) of the untaught student.
        student_logits: (N, K).
        target: (N,) classes; (N, K) several labels or numbers.
        task: what the target is.
    """

    dataset: str
    student: str
    arm: str
    loss: str
    ratio: float | None
    draw: int
    seed: int
    split: str
    gain: float
    teacher_features: Numbers
    teacher_logits: Numbers
    student_features: Numbers
    student_logits: Numbers
    target: Labels
    task: Task = Task.SINGLE_LABEL

    def __repr__(self) -> str:
        at = "" if self.ratio is None else f", {self.ratio:.0%} removed, draw {self.draw}"
        return f"{self.arm}{at}, {self.loss}, seed {self.seed}: gain {self.gain:+.2f} points"


def gamma(teacher: Numbers, student: Numbers) -> float:
    """MFH's gamma of a teacher: the share of its logits' variance that is linear in the student's features.

    What the student's modality does not show is noise to the student, and no linear read-out predicts it:
    where a teacher is a sum of independent shared and specific parts, this is the share of the shared ones,
    and with equal weights gamma_a, the share of the decisive channels that are shared. All classes together;
    adjusted for the number of features, so that unrelated ones give 0 on average and it may be slightly
    negative. The paper has no such number for real data and only ranks channels. Source: Xue et al. 2023
    (MFH), definition of gamma.

    Chosen after gains had been seen. The first definition, the modality-general share of the teacher's
    saliency mass, gave modality-specific teachers more than modality-general ones, and 0.58 to 0.95 where the
    declared truth is 1; this one gives 1.00 there and about 0 for specific teachers. That was the reason, but
    the change also turned gamma's correlation with the gains of students without labels: from -0.67 to +0.64
    on mfeat, from -0.66 to +0.07 for the video student of RAVDESS. What gamma predicts on these data is
    therefore no test that was fixed in advance.

    Args:
        teacher: (N, K) its logits.
        student: (N, e) features of a student that this teacher did not teach.

    Raises `LabError` for sides that are constant, or no more samples than features.
    """
    z, q = _centred("teacher", teacher), _orthonormal("student", student)
    n, p = q.shape
    require(n > p + 1, "student", f"{n} samples", f"must be more than {p + 1}, the features and one")
    left = 1.0 - float(np.square(q.T @ z).sum() / np.square(z).sum())
    return float(1.0 - left * (n - 1) / (n - p - 1))


def non_target_divergence(teacher: Numbers, student: Numbers, target: Labels) -> float:
    """NTDH's number: mean KL(teacher || student) over the classes that are not the target, in nats.

    Both softmaxes of logits (N, K) are renormalised without the class of `target` (N,). The hypothesis: the
    smaller, the better the student. Source: Chen et al. 2024, arXiv 2409.02438 (NTDH).

    Raises `LabError` for several labels or numbers, and for two classes, where one is left and the divergence
    always 0.
    """
    n, k = teacher.shape
    require(
        target.ndim == 1, "target", target.shape, "must be one class a sample, to leave out of the others"
    )
    require(k >= 3, "teacher", (n, k), "must have at least three classes, or no two of them are non-target")
    others = np.arange(k) != target[:, None]
    p, q = (_log_softmax(x[others].reshape(n, k - 1)) for x in (teacher, student))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def gaussian_information(a: Numbers, b: Numbers, *, components: int = COMPONENTS) -> float:
    """I(A; B) in nats by the Gaussian estimator: -1/2 sum of log(1 - rho²) over the canonical correlations.

    Taken between the first principal components (at most `components`) of a (N, d) and b (N, e), less the p q
    / 2N that independent samples give on average to first order; it may therefore be slightly negative. Exact
    for joint Gaussians only.

    Raises `LabError` when a side is constant, one determines a part of the other exactly, or there are no
    more samples than components.
    """
    qa, qb = (_orthonormal(name, x, components) for name, x in (("a", a), ("b", b)))
    (n, p), q = qa.shape, qb.shape[1]
    require(n > p + q + 1, "a", f"{n} samples", f"must be more than {p + q + 1}, the components and one")
    rho = np.linalg.svd(qa.T @ qb, compute_uv=False)
    require(bool(rho.max() < 1 - 1e-9), "b", "a function of a", "must not be determined by the other side")
    return float(-0.5 * np.log1p(-np.square(rho)).sum() - p * q / (2 * n))


def representation_margin(teacher: Numbers, student: Numbers, target: Labels, *, classes: int) -> float:
    """CCH's number: I(H1; H2) - I(H2; Y) in nats, H1 (N, d) the teacher's features, H2 (N, e) the student's.

    The hypothesis: distillation helps where it is above 0. Both by `gaussian_information`, with the labels
    (N,) one-hot (several labels or numbers as they are), so that the two are estimated alike; the second is
    no bound on the true I(H2; Y), which cannot exceed the labels' entropy. The theory is for jointly Gaussian
    regression. Source: Xie, Xu and Sanguinetti 2025, arXiv 2510.13182 (CCH).
    """
    y = np.asarray(np.eye(classes)[target] if target.ndim == 1 else target, dtype=np.float64)
    return gaussian_information(teacher, student) - gaussian_information(student, y)


def accuracy(logits: Numbers, target: Labels, task: Task = Task.SINGLE_LABEL) -> float:
    """The teacher's accuracy in percent: the plain belief that a better teacher makes a better student. Of
    other tasks their first metric, macro F1 or R2."""
    named = score(torch.from_numpy(np.array(logits))[None], torch.from_numpy(np.array(target)), task=task)
    return float(named[first_of(task)][0])


def entropy(logits: Numbers, task: Task = Task.SINGLE_LABEL) -> float:
    """Mean entropy of the softmax in nats: softer targets say more (Hinton et al. 2015, section 2). Of
    several labels the sum of theirs. Raises `LabError` for a regression."""
    require(task is not Task.REGRESSION, "task", task.value, "has no classes whose law could be soft")
    if task is Task.MULTI_LABEL:
        z = np.asarray(logits, dtype=np.float64)
        return float((np.logaddexp(0, z) - z / (1 + np.exp(-z))).sum(axis=1).mean())
    log_p = _log_softmax(logits)
    return float(-(np.exp(log_p) * log_p).sum(axis=1).mean())


def linear_cka(a: Numbers, b: Numbers) -> float:
    """Linear centred kernel alignment of two representations, in [0, 1]: |A'B|² / (|A'A| |B'B|), centred.

    Source: Kornblith et al. 2019, section 3. Raises `LabError` when a side is constant.
    """
    x, y = _centred("a", a), _centred("b", b)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


@dataclass(frozen=True)
class Rival:
    """A hypothesis that says of each run, by one number, what it is worth.

    Args:
        number: of a run; it raises `LabError` where there is none.
        words: what sentences call it.
        claims: 1 where the hypothesis says that a larger number means a larger gain, -1 for a smaller one.
        foretells_sign: whether the number's own sign is claimed to be that of the gain.
    """

    number: Callable[[TaughtStudent], float]
    words: str
    claims: Literal[1, -1] = 1
    foretells_sign: bool = False

    @property
    def origin(self) -> str:
        """The module of the function, for the registry."""
        return self.number.__module__


RIVALS: Registry[Rival] = Registry("rival")


def register_rival(
    name: str, *, words: str = "", claims: Literal[1, -1] = 1, foretells_sign: bool = False
) -> Callable[[Callable[[TaughtStudent], float]], Callable[[TaughtStudent], float]]:
    """A decorator that makes a function from a `Run` to a number one of the rivals; see `Rival`."""

    def known(number: Callable[[TaughtStudent], float]) -> Callable[[TaughtStudent], float]:
        RIVALS.register(name, Rival(number, words or name.replace("_", " "), claims, foretells_sign))
        return number

    return known


register_rival("gamma")(lambda run: gamma(run.teacher_logits, run.student_features))
register_rival("non_target_divergence", words="non-target divergence", claims=-1)(
    lambda run: non_target_divergence(run.teacher_logits, run.student_logits, run.target)
)
register_rival("information_margin", foretells_sign=True)(
    lambda run: representation_margin(
        run.teacher_features, run.student_features, run.target, classes=run.teacher_logits.shape[1]
    )
)
register_rival("teacher_accuracy")(lambda run: accuracy(run.teacher_logits, run.target, run.task))
register_rival("teacher_entropy")(lambda run: entropy(run.teacher_logits, run.task))
register_rival("cka", words="CKA")(lambda run: linear_cka(run.teacher_features, run.student_features))


def _log_softmax(logits: Numbers) -> Floats:
    z = np.asarray(logits, dtype=np.float64)
    top = z - z.max(axis=1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=1, keepdims=True)))


def _centred(name: str, values: Numbers) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    require(bool((np.ptp(x, axis=0) > 0).any()), name, "constant", "must vary over the samples")
    return np.asarray(x - x.mean(axis=0))


def _orthonormal(name: str, values: Numbers, components: int | None = None) -> Floats:
    """(N, p) orthonormal columns that span the first principal components; all of them when None."""
    u, size, _ = np.linalg.svd(_centred(name, values), full_matrices=False)
    return np.asarray(u[:, : int((size > 1e-9 * size[0]).sum())][:, :components])
