"""The baseline of every student: plain logistic regression on the same input, as scikit-learn has it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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

#: scikit-learn's C, the strongest penalty first.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
#: Numbers that the training inputs may have: half a gigabyte in double precision.
MOST = 2**26

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearTask:
    """Fit a logistic regression: of what, on which modalities."""

    data: PairedData
    modalities: tuple[str, ...]


def linear(plan: Plan) -> dict[str, Tensor] | None:
    """{split: (N, K) logits} of logistic regression on all that the student reads.

    None where it cannot be had: a dense task, several labels that are not 0 or 1, or one that is never or
    always there in training, more than `MOST` numbers.
    """
    data, names = plan.experiment.data, plan.experiment.modalities["student"]
    if not _serves(data, names):
        return None
    made = key(role="linear", data=data.fingerprint, modalities=list(names), strengths=STRENGTHS)
    job = Job(made, fit_linear, LinearTask(data, names), "logistic regression")
    (found,) = plan.runner.run([job])
    return {split: torch.from_numpy(np.array(found.tensors[split])) for split in data.splits}


def fit_linear(task: LinearTask) -> JobOutcome:
    """Its logits, at the strength with the best validation score: ties go to the lower nll, then to the
    stronger penalty. Without a validation split the penalty is scikit-learn's own, 1."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # on busy cores the threads of so small a problem mostly wait for each other
        return _fitted(task)


def _fitted(task: LinearTask) -> JobOutcome:
    data, found = task.data, list[tuple[tuple[float, float], float, dict[str, Floats]]]()
    where = {split: one.cpu().numpy() for split, one in data.splits.items()}
    inputs = np.concatenate([_columns(data, name) for name in task.modalities], axis=1)
    x, target = _standardised(inputs, where), data.target.cpu().numpy()
    for strength in STRENGTHS if "val" in where else (1.0,):
        said = _logits(x, target[where["train"]], strength)
        order = (0.0, 0.0)
        if "val" in where:
            val = torch.from_numpy(said["val"])[None]
            named = score(val, data.target[data.positions("val")].cpu(), task=data.task)
            order = (-float(next(iter(named.values()))), float(named["nll"]))
        found.append((order, strength, said))
    _, strength, said = min(found, key=lambda one: one[0])
    return JobOutcome({"strength": strength}, said)


def _serves(data: PairedData, names: tuple[str, ...]) -> bool:
    sizes, target = vocabulary(data), data.target[data.positions("train")]
    width = sum(sizes.get(name) or data.modalities[name][0].numel() for name in names)
    fits = data.task is Task.SINGLE_LABEL
    if data.task is Task.MULTI_LABEL:
        there = target.double().mean(0)
        fits = bool(((target == 0) | (target == 1)).all() and ((there > 0) & (there < 1)).all())
    return fits and len(target) * width <= MOST


def _columns(data: PairedData, name: str) -> Floats:
    """A modality as a matrix: values flattened, texts as how often each word occurs."""
    values = data.modalities[name].cpu()
    if (size := vocabulary(data).get(name)) is None:
        found: Floats = values.double().flatten(1).numpy()
        return found
    ids, counts = values.flatten(1), torch.zeros(len(values), size, dtype=torch.float64)
    counted: Floats = counts.scatter_add_(1, ids, (ids != PAD).double()).numpy()
    return counted


def _standardised(inputs: Floats, where: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Floats]:
    """The splits, each column with the mean and deviation of the training split; where there are more columns
    than training samples, in the space that these span, outside which no weight is learned."""
    train = inputs[where["train"]]
    deviation = train.std(axis=0)
    x = (inputs - train.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    if x.shape[1] > len(train):
        x = x @ np.linalg.qr(x[where["train"]].T)[0]
    return {split: x[rows] for split, rows in where.items()}


def _logits(x: Mapping[str, Floats], target: npt.NDArray[Any], strength: float) -> dict[str, Floats]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    several = target.ndim > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fits = [
            LogisticRegression(C=strength, tol=1e-7, max_iter=1000).fit(x["train"], one)
            for one in (target.T if several else [target])
        ]
    found = {}
    for split, values in x.items():
        said = np.stack([one.decision_function(values) for one in fits], axis=1)
        if not several:
            said = said[:, 0]
            said = said if said.ndim > 1 else np.stack([np.zeros_like(said), said], axis=1)
        found[split] = np.ascontiguousarray(said)
    return found
