"""What networks are held against: plain classifiers of scikit-learn on what the student reads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.text import PAD
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.store import key
from mmkd_lab.training.inputs import vocabulary
from mmkd_lab.training.metrics import score

#: The classifiers.
LINEAR, KERNEL = "logistic regression", "an RBF SVM"
#: scikit-learn's C of each, the strongest penalty first.
STRENGTHS = {LINEAR: (1e-4, 1e-3, 1e-2, 1e-1), KERNEL: (1e-1, 1.0, 1e1, 1e2)}
#: Numbers that the training inputs, or a kernel, may have: half a gigabyte in double precision.
MOST = 2**26

Floats = npt.NDArray[np.float64]
#: {split: (N, K) logits}
Said = dict[str, Floats]


@dataclass(frozen=True)
class PlainTask:
    """Fit classifiers: which, of what, on which modalities."""

    classifiers: tuple[str, ...]
    data: PairedData
    modalities: tuple[str, ...]


def plain(plan: Plan) -> dict[str, dict[str, Tensor]]:
    """{classifier: {split: (N, K) logits}} on all that the student reads; those of support vectors are 1 for
    the class they name and 0 for the others.

    Those alone that can be had: none for a dense task, several labels that are not 0 or 1, or one that is
    never or always there in training, more than `MOST` numbers; no support vectors for several labels, or
    more than `MOST` pairs of a training sample and any other.
    """
    data, names = plan.experiment.data, plan.experiment.modalities["student"]
    chosen = tuple(one for one, serves in ((LINEAR, _serves), (KERNEL, _pairs)) if serves(data, names))
    if not chosen:
        return {}
    told = {"classifiers": list(chosen), "data": data.fingerprint, "modalities": list(names)}
    made = key(role="plain", strengths=STRENGTHS, **told)
    (found,) = plan.runner.run([Job(made, fit_plain, PlainTask(chosen, data, names), "plain classifiers")])
    return {
        one: {split: torch.from_numpy(np.array(found.tensors[f"{one}/{split}"])) for split in data.splits}
        for one in chosen
    }


def fit_plain(task: PlainTask) -> JobOutcome:
    """{'classifier/split': logits}, and the 'strength' of each: that with the best validation score. Ties go
    to the lower nll, then to the stronger penalty. Without a validation split it is scikit-learn's own, 1."""
    from threadpoolctl import threadpool_limits

    data, strength, said = task.data, dict[str, float](), Said()
    where = {split: one.cpu().numpy() for split, one in data.splits.items()}
    inputs = np.concatenate([_columns(data, name) for name in task.modalities], axis=1)
    x, target = _standardised(inputs, where), data.target.cpu().numpy()
    with threadpool_limits(1):  # on busy cores the threads of so small a problem mostly wait for each other
        for one in task.classifiers:
            fitted = (_linear if one == LINEAR else _kernel)(x, where, target)
            strength[one], found = _best(fitted, STRENGTHS[one], data)
            said |= {f"{one}/{split}": logits for split, logits in found.items()}
    return JobOutcome({"strength": strength}, said)


def _best(
    fitted: Callable[[float], Said], strengths: Sequence[float], data: PairedData
) -> tuple[float, Said]:
    if "val" not in data.splits:
        return 1.0, fitted(1.0)
    found, target = list[tuple[tuple[float, float], float, Said]](), data.target[data.positions("val")].cpu()
    for strength in strengths:
        said = fitted(strength)
        named = score(torch.from_numpy(said["val"])[None], target, task=data.task)
        found.append(((-float(next(iter(named.values()))), float(named["nll"])), strength, said))
    return min(found, key=lambda one: one[0])[1:]


def _serves(data: PairedData, names: tuple[str, ...]) -> bool:
    sizes, target = vocabulary(data), data.target[data.positions("train")]
    width = sum(sizes.get(name) or data.modalities[name][0].numel() for name in names)
    fits = data.task is Task.SINGLE_LABEL
    if data.task is Task.MULTI_LABEL:
        there = target.double().mean(0)
        fits = bool(((target == 0) | (target == 1)).all() and ((there > 0) & (there < 1)).all())
    return fits and len(target) * width <= MOST


def _pairs(data: PairedData, names: tuple[str, ...]) -> bool:
    fits = data.task is Task.SINGLE_LABEL and _serves(data, names)
    return fits and len(data.positions("train")) * len(data.target) <= MOST


def _columns(data: PairedData, name: str) -> Floats:
    """A modality as a matrix: values flattened, texts as how often each word occurs."""
    values = data.modalities[name].cpu()
    if (size := vocabulary(data).get(name)) is None:
        found: Floats = values.double().flatten(1).numpy()
        return found
    ids, counts = values.flatten(1), torch.zeros(len(values), size, dtype=torch.float64)
    counted: Floats = counts.scatter_add_(1, ids, (ids != PAD).double()).numpy()
    return counted


def _standardised(inputs: Floats, where: Mapping[str, npt.NDArray[np.int64]]) -> Floats:
    """Each column with the mean and deviation of the training split."""
    train = inputs[where["train"]]
    deviation = train.std(axis=0)
    found: Floats = (inputs - train.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return found


def _linear(
    x: Floats, where: Mapping[str, npt.NDArray[np.int64]], target: npt.NDArray[Any]
) -> Callable[[float], Said]:
    """Logistic regression by its strength: where there are more columns than training samples, in the space
    that these span, outside which no weight is learned."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if x.shape[1] > len(where["train"]):
        x = x @ np.linalg.qr(x[where["train"]].T)[0]
    labels, several = target[where["train"]], target.ndim > 1

    def fitted(strength: float) -> Said:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits = [
                LogisticRegression(C=strength, tol=1e-7, max_iter=1000).fit(x[where["train"]], one)
                for one in (labels.T if several else [labels])
            ]
        said = np.stack([one.decision_function(x) for one in fits], axis=1)
        if not several:
            said = said[:, 0]
            said = said if said.ndim > 1 else np.stack([np.zeros_like(said), said], axis=1)
        return {split: np.ascontiguousarray(said[at]) for split, at in where.items()}

    return fitted


def _kernel(
    x: Floats, where: Mapping[str, npt.NDArray[np.int64]], target: npt.NDArray[Any]
) -> Callable[[float], Said]:
    """Support vectors by their strength, at scikit-learn's own width of the kernel, which is made once."""
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    train = where["train"]
    near = rbf_kernel(x, x[train], gamma=1 / (x.shape[1] * x[train].var() or 1.0))

    def fitted(strength: float) -> Said:
        fit = SVC(C=strength, kernel="precomputed").fit(near[train], target[train])
        return {split: np.eye(target.max() + 1)[fit.predict(near[at])] for split, at in where.items()}

    return fitted
