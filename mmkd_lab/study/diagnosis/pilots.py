"""Pilot students: ridge regression in closed form, in milliseconds, on labels and on what a teacher says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.shares.samples import Codes, Floats

#: Columns and training samples that pilots look at, at most; more columns are projected at random.
WIDEST, MOST = 1024, 8000
#: Penalties, in units of the mean eigenvalue.
_PENALTIES = 10.0 ** np.arange(-4.0, 3.01, 0.5)


def narrow(x: Floats) -> Floats:
    """(N, D) with at most `WIDEST` columns."""
    if x.shape[1] <= WIDEST:
        return x
    draw = np.random.default_rng(derive(0, "diagnose", "projection"))
    return np.asarray(x @ draw.normal(size=(x.shape[1], WIDEST)) / np.sqrt(WIDEST))


def one_hot(data: PairedData) -> Floats:
    """(N, K) labels."""
    target = data.target.cpu()
    if data.task is Task.MULTI_LABEL:
        return np.asarray(target.double().numpy())
    return np.asarray(torch.nn.functional.one_hot(target, data.num_classes).double().numpy())


def told(labels: Floats, soft: Floats, weight: float) -> Floats:
    """Labels and a teacher's word in one target: its word has their spread, as T² gives it in KD's loss.

    A sample without an answer, a row of zeros, keeps its label.
    """
    there = np.asarray((soft != 0).any(axis=1))
    if not there.any():
        return labels
    plain, said = labels - labels.mean(0), soft - soft[there].mean(0)
    size = float(np.sqrt(np.square(said[there]).mean()))
    scale = float(np.sqrt(np.square(plain).mean())) / size if size > 0 else 0.0
    mixed = labels.mean(0) + (1 - weight) * plain + weight * scale * said
    return np.asarray(np.where(there[:, None], mixed, labels))


def students(train: Floats, held: Floats, targets: Mapping[str, Floats], truth: Floats) -> dict[str, Floats]:
    """{name: (M, K)} answers on `held` (M, D) of one ridge regression a target (n, K) on `train` (n, D).

    The penalty of each is the one whose answer to every training sample, in a fit without it, is nearest to
    the labels `truth` (n, K): leaving one out has a closed form, and no other split is looked at.
    """
    mean = train.mean(0)
    x, z, n = train - mean, held - mean, len(train)
    wide = x.shape[1] > n
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    alive = values > 1e-9 * max(values[-1], 1e-300)
    values, vectors = values[alive], vectors[:, alive]
    root = np.sqrt(values)
    left = vectors if wide else x @ vectors / root
    project = z @ x.T @ vectors if wide else (z @ vectors) * root
    squared, found = np.square(left), dict[str, Floats]()
    for name, target in targets.items():
        middle = target.mean(0)
        within, best = left.T @ (target - middle), (np.inf, np.zeros((len(held), target.shape[1])))
        for penalty in _PENALTIES * values.mean():
            shrink = values / (values + penalty)
            lever = (squared @ shrink + 1 / n)[:, None]
            fitted = left @ (shrink[:, None] * within) + middle
            alone = (fitted - lever * target) / np.maximum(1 - lever, 1e-9)
            error = float(np.square(truth - alone).mean())
            if error < best[0]:
                best = error, project @ (within / (values + penalty)[:, None]) + middle
        found[name] = best[1]
    return found


def drawn(data: PairedData, positions: Codes, share: float, seed: int) -> Codes:
    """Part of some training samples, class by class where a sample has one; at least two of each."""
    draw = np.random.default_rng(derive(seed, "diagnose", "part"))
    labels = data.target.cpu().numpy()[positions] if data.task is Task.SINGLE_LABEL else np.zeros(1)
    if labels.ndim > 1 or len(labels) != len(positions):
        return positions[draw.permutation(len(positions))[: max(2, round(share * len(positions)))]]
    parts = []
    for label in np.unique(labels):
        rows = draw.permutation(np.flatnonzero(labels == label))
        parts.append(rows[: max(2, round(share * len(rows)))])
    return np.asarray(positions[np.concatenate(parts)])
