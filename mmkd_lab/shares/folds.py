"""Probes that have not seen the samples they are asked about: cross-fitting in folds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.shares.samples import Codes, Floats, drop_constant, labels, paired

#: Inverse weight of the ridge penalty of every probe.
STRENGTH = 0.1
FOLDS = 5  # of the cross-fitting of every probe, unless the data allow fewer


def cross_fitted(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    folds: int = FOLDS,
    strength: float = STRENGTH,
    groups: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Floats:
    """(n, K) log-probabilities of a logistic probe, each row from a probe fitted without its fold.

    Args:
        x: (n, d) columns of one view; those that are constant are left out.
        y: (n,) class numbers.
        folds: of the cross-fitting, stratified by class.
        strength: inverse weight of the ridge penalty on standardised columns.
        groups: (n,) what must not be on both sides of a fold (a speaker).
        seed: of the folds.

    A class that all samples of a fold's fitting part lack, as one group has them all, has the probability
    1 / (n + 1) there, n being the samples of that part.

    Raises `LabError` for unpaired sets, a constant label, more folds than the rarest class has samples or
    than there are groups, a fitting part of one class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    paired(x=x, y=y)
    target, columns = labels(y), drop_constant(x)
    require(bool(np.isfinite(columns).all()), "x", "NaN or infinite values", "must be finite")
    names = None if groups is None else np.asarray(groups)
    most, notes = possible_folds(target, names, whole("folds", folds, at_least=2))
    require(most == folds, "folds", folds, f"must be at most {most}", " ".join(notes))
    state = derive(seed, "venn", "folds") % 2**32
    kind = StratifiedKFold if names is None else StratifiedGroupKFold
    found = np.empty((len(target), int(target.max()) + 1))
    for fitted, held in kind(folds, shuffle=True, random_state=state).split(columns, target, names):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        several = len(np.unique(target[fitted])) > 1
        rule = "must leave two classes to every fold's fitting part"
        require(several, "groups", "one class", rule, "Use fewer folds.")
        probe.fit(columns[fitted], target[fitted])
        rare, absent = 1.0 / (len(fitted) + 1), found.shape[1] - len(probe.classes_)
        found[held] = np.log(rare)
        said = probe.predict_log_proba(columns[held])
        found[np.ix_(held, probe.classes_)] = said + np.log1p(-rare * absent)
    return found


def possible_folds(y: Codes, subjects: Codes | None, folds: int) -> tuple[int, tuple[str, ...]]:
    """So many folds, or as many as the rarest class has samples (or there are subjects), with a note then.

    Raises `LabError` when only one fold is possible.
    """
    rare = int(np.unique(y, return_counts=True)[1].min())
    few = rare if subjects is None else min(rare, len(np.unique(subjects)))
    what = "samples of the rarest class" if few == rare else "subjects"
    require(few > 1, what, few, "must be at least 2 to fit a probe without each", "Leave the class out.")
    if few >= folds:
        return folds, ()
    return few, (f"Probes are fitted in {few} folds, not {folds}: there are {few} {what}.",)
