"""What pilot students are given: columns, samples, and labels with what a teacher says."""

from __future__ import annotations

import numpy as np
import torch

from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.shares.samples import Codes, Floats

#: Columns and training samples that pilots look at, at most; more columns are projected at random.
WIDEST, MOST = 1024, 8000


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
