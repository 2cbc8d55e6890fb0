"""What networks are held against: plain classifiers of scikit-learn on what the student reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.columns import MOST, Floats, standardised, width
from mmkd_lab.experiments.doubt import doubted
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.logistic import EXACT, ROUGH, Logistic
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import key
from mmkd_lab.training.metrics import cost_of, goodness, score

#: The classifiers, and what is there for a regression.
LINEAR, KERNEL, RIDGE = "logistic regression", "an RBF SVM", "ridge regression"
#: scikit-learn's C of each, the strongest penalty first; of ridge 1 / alpha, per training sample.
STRENGTHS = {
    LINEAR: (1e-4, 1e-3, 1e-2, 1e-1),
    KERNEL: (1e-1, 1.0, 1e1, 1e2),
    RIDGE: (0.1, 1.0, 1e1, 1e2, 1e3),
}

Where = Mapping[str, npt.NDArray[np.int64]]
Weights = Callable[[npt.NDArray[Any]], Floats | None]
#: {split: (N, K) logits}
Said = dict[str, Floats]


@dataclass(frozen=True)
class PlainTask:
    """Fit classifiers: which, of what, on which modalities, with which weights of the classes."""

    classifiers: tuple[str, ...]
    data: PairedData
    modalities: tuple[str, ...]
    weights: tuple[float, ...] | None = None


def plain(plan: Plan) -> dict[str, dict[str, Tensor]]:
    """{classifier: {split: (N, K) logits}} on all that the student reads; those of support vectors are 1 for
    the class they name and 0 for the others.

    Those alone that can be had: in a regression ridge; none for a dense task, several labels that are not 0
    or 1, or one that is never or always there in training, more than `MOST` numbers; no support vectors for
    several labels, or more than `MOST` pairs of a training sample and any other.
    """
    experiment = plan.experiment
    how = {"weights": experiment.class_weights, "plan": plan}
    return classified(plan.runner, experiment.data, experiment.modalities["student"], **how)  # type: ignore[arg-type]


def classified(
    runner: Runner,
    data: PairedData,
    names: tuple[str, ...],
    *,
    weights: tuple[float, ...] | None = None,
    plan: Plan | None = None,
) -> dict[str, dict[str, Tensor]]:
    """The same of any modalities, with weights of the classes; a plan is told what labels are doubted."""
    every = ((LINEAR, _serves), (KERNEL, _pairs), (RIDGE, _numbers))
    chosen = tuple(one for one, serves in every if serves(data, names))
    if not chosen:
        return {}
    told = {"classifiers": list(chosen), "data": data.fingerprint, "modalities": list(names)}
    made = key(role="plain", strengths=STRENGTHS, weights=weights, **told)
    task = PlainTask(chosen, data, names, weights)
    (found,) = runner.run([Job(made, fit_plain, task, "plain classifiers")])
    if plan is not None and found.metrics["doubted"] is not None:
        plan.doubted = tuple(found.metrics["doubted"])
    return {
        one: {split: torch.from_numpy(np.array(found.tensors[f"{one}/{split}"])) for split in data.splits}
        for one in chosen
    }


def line(others: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor] | None:
    """Of what `plain` gave, the classifier that is a line among the students: the linear one."""
    return others.get(LINEAR, others.get(RIDGE))


def too_large(plan: Plan) -> list[str]:
    """A sentence where not even logistic regression is fitted, for what the student reads is too much."""
    data, names = plan.experiment.data, plan.experiment.modalities["student"]
    numbers = len(data.positions("train")) * width(data, names)
    if data.task is Task.DENSE or numbers <= MOST:
        return []
    return [
        f"No plain classifier is fitted beside the networks: the training split has {numbers:,} numbers, and "
        f"{MOST:,} is the most that it is given."
    ]


def fit_plain(task: PlainTask) -> JobOutcome:
    """{'classifier/split': logits}, and the 'strength' of each: that with the best validation score. Ties go
    to the lower nll, then to the stronger penalty. Without a validation split it is scikit-learn's own, 1."""
    data, strength, said = task.data, dict[str, float](), Said()
    where = {split: one.cpu().numpy() for split, one in data.splits.items()}
    train = data.positions("train")
    where["fit"] = train[data.seen(task.modalities)[train]].cpu().numpy()
    x, target = columns(data, task.modalities), data.target.cpu().numpy()
    for one in task.classifiers:
        fitted: Callable[..., Said] = _FITS[one](x, where, target, _weights(task))
        strength[one], found = _best(fitted, STRENGTHS[one], data)
        found = fitted(strength[one], EXACT) if one == LINEAR else found
        said |= {f"{one}/{split}": logits for split, logits in found.items()}
    doubt = doubted(task.data, strength[LINEAR]) if LINEAR in strength else None
    return JobOutcome({"strength": strength, "doubted": doubt}, said)


def _weights(task: PlainTask) -> Weights:
    """From the labels of the training samples to their weights, as networks have them; None for ones."""
    own = task.data.weight
    train = task.data.positions("train")
    counts = None if own is None else own[train[task.data.seen(task.modalities)[train]]].cpu().numpy()

    def of(labels: npt.NDArray[Any]) -> Floats | None:
        if task.weights is None or not np.issubdtype(labels.dtype, np.integer):
            return counts
        mine: Floats = np.array(task.weights)[labels]
        return mine if counts is None else mine * counts

    return of


def _best(
    fitted: Callable[[float], Said], strengths: Sequence[float], data: PairedData
) -> tuple[float, Said]:
    if "val" not in data.splits:
        return 1.0, fitted(1.0)
    found, target = list[tuple[tuple[float, float], float, Said]](), data.target[data.positions("val")].cpu()
    for strength in strengths:
        said = fitted(strength)
        named = score(torch.from_numpy(said["val"])[None], target, task=data.task)
        found.append(((-float(goodness(named)), float(named[cost_of(data.task)])), strength, said))
    return min(found, key=lambda one: one[0])[1:]


def _numbers(data: PairedData, names: tuple[str, ...]) -> bool:
    return data.task is Task.REGRESSION and width(data, names) * len(data.positions("train")) <= MOST


def _serves(data: PairedData, names: tuple[str, ...]) -> bool:
    target = data.target[data.positions("train")]
    fits = data.task is Task.SINGLE_LABEL
    if data.task is Task.MULTI_LABEL:
        there = target.double().mean(0)
        fits = bool(((target == 0) | (target == 1)).all() and ((there > 0) & (there < 1)).all())
    return fits and len(target) * width(data, names) <= MOST


def _pairs(data: PairedData, names: tuple[str, ...]) -> bool:
    fits = data.task is Task.SINGLE_LABEL and _serves(data, names)
    return fits and len(data.positions("train")) * len(data.target) <= MOST


def columns(data: PairedData, names: Sequence[str]) -> Floats:
    """(N, D): modalities as they are given to classifiers, each column standardised on the training split."""
    return np.concatenate([standardised(data, name) for name in names], axis=1)


def _linear(x: Floats, where: Where, target: npt.NDArray[Any], weights: Weights) -> Callable[..., Said]:
    """Logistic regression by its strength, roughly unless it is told how well: where there are more columns
    than training samples, in the space that these span, outside which no weight is learned."""
    train = where["fit"]
    if x.shape[1] > len(train):
        x = x @ np.linalg.qr(x[train].T)[0]
    labels, single = target[train], target.ndim == 1
    truth = labels if not single else np.eye(int(target.max()) + 1)[labels]
    if single and truth.shape[1] == 2:
        truth = truth[:, 1:]
    each = [weights(one) for one in ([labels] if single else labels.T)]
    own = None if each[0] is None else np.stack([one for one in each if one is not None], axis=1)
    several = single and truth.shape[1] > 1
    model = Logistic(x[train], np.asarray(truth, dtype=float), own, one_of=several)
    last = np.zeros((x.shape[1] + 1, truth.shape[1]))

    def fitted(strength: float, level: float = ROUGH) -> Said:
        nonlocal last
        last = model.fit(strength, last, level)
        said = x @ last[:-1] + last[-1]
        said = np.hstack([np.zeros_like(said), said]) if single and truth.shape[1] == 1 else said
        return {split: np.ascontiguousarray(said[at]) for split, at in where.items() if split != "fit"}

    return fitted


def _ridge(x: Floats, where: Where, target: npt.NDArray[Any], weights: Weights) -> Callable[[float], Said]:
    """Ridge regression by its strength, the penalty being n / strength for n training samples."""
    from sklearn.linear_model import Ridge

    train = where["fit"]

    def fitted(strength: float) -> Said:
        fit = Ridge(alpha=len(train) / strength).fit(
            x[train], target[train], sample_weight=weights(target[train])
        )
        return {
            split: fit.predict(x[at]).reshape(len(at), -1) for split, at in where.items() if split != "fit"
        }

    return fitted


def _kernel(x: Floats, where: Where, target: npt.NDArray[Any], weights: Weights) -> Callable[[float], Said]:
    """Support vectors by their strength, at scikit-learn's own width of the kernel, which is made once."""
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    train = where["fit"]
    near = rbf_kernel(x, x[train], gamma=1 / (x.shape[1] * x[train].var() or 1.0))

    def fitted(strength: float) -> Said:
        fit = SVC(C=strength, kernel="precomputed").fit(
            near[train], target[train], sample_weight=weights(target[train])
        )
        return {
            split: np.eye(target.max() + 1)[fit.predict(near[at])]
            for split, at in where.items()
            if split != "fit"
        }

    return fitted


_FITS: Mapping[str, Callable[..., Callable[..., Said]]] = {LINEAR: _linear, KERNEL: _kernel, RIDGE: _ridge}
