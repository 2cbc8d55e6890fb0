"""Whether labels may be wrong: what a plain classifier contradicts on samples that it was not fitted on."""

from __future__ import annotations

import warnings

import numpy as np

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.columns import MOST, standardised, width

#: The share of contradicted labels that is passed without a word.
PASSED = 0.05
_FOLDS = 5


def doubted(data: PairedData, strength: float) -> tuple[int, int] | None:
    """(how many training labels are contradicted, of how many) by cross-validated logistic regression of this
    strength on every modality.

    A label is contradicted where another class is at least as probable as it is on average for the samples of
    that name, and the label's own is not: confident learning (Northcutt, Jiang and Chuang 2021, section 3).
    None where it cannot be had: no single label, a class of one sample, more than `MOST` / 16 numbers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

    train = data.positions("train").cpu().numpy()
    if data.task is not Task.SINGLE_LABEL or 16 * width(data, list(data.modalities)) * len(data) > MOST:
        return None
    x = np.concatenate([standardised(data, name) for name in data.modalities], axis=1)[train]
    y = data.target.cpu().numpy()[train]
    groups = None if data.group is None else data.group.cpu().numpy()[train]
    few = min(np.bincount(y).min(), _FOLDS, len(y) if groups is None else len(np.unique(groups)))
    if few < 2:
        return None
    folds = (StratifiedKFold if groups is None else StratifiedGroupKFold)(few, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fold may lack a class of few groups, or not settle
        fit = LogisticRegression(C=strength, max_iter=1000)
        p = cross_val_predict(fit, x, y, groups=groups, cv=folds, method="predict_proba")
    sure = p >= np.array([p[y == k, k].mean() for k in range(data.num_classes)])
    return int((sure.any(axis=1) & ~sure[np.arange(len(y)), y]).sum()), len(y)


def remark(found: tuple[int, int] | None) -> list[str]:
    """A sentence where more than `PASSED` of the labels are contradicted."""
    many, of = found or (0, 1)
    if many <= PASSED * of:
        return []
    share = f"{many:,} of {of:,} training labels ({100 * many / of:.0f} %)"
    how = "are contradicted with confidence by cross-validated logistic regression on all modalities"
    return [
        f"Label noise cannot be ruled out: {share} {how}. Either they are wrong, or these inputs do not tell "
        "the classes apart."
    ]
