"""What a linear probe predicts for samples it was not fitted on: the views' predictions when none are at
hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, real, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.shares.discrete import drop_constant, labels, paired

Floats = npt.NDArray[np.float64]


def cross_fitted(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    folds: int = 5,
    strength: float = 0.1,
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

    Raises:
        LabError: unpaired sets, a constant label, fewer samples of a class (or fewer groups) than folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    paired(x=x, y=y)
    whole("folds", folds, at_least=2)
    real("strength", strength, above=0.0)
    target, (columns, _) = labels(y), drop_constant(x)
    require(bool(np.isfinite(columns).all()), "x", "NaN or infinite values", "must be finite")
    rare = int(np.bincount(target).min())
    require(rare >= folds, "folds", folds, f"must not exceed the {rare} samples of the rarest class")
    state = derive(seed, "venn", "folds") % 2**32
    names = None if groups is None else np.asarray(groups)
    if names is not None and len(np.unique(names)) < folds:
        raise LabError("folds", folds, f"must not exceed the {len(np.unique(names))} groups")
    splitter = (StratifiedKFold if names is None else StratifiedGroupKFold)(
        folds, shuffle=True, random_state=state
    )
    found = np.empty((len(target), int(target.max()) + 1))
    for fitted, held in splitter.split(columns, target, names):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        probe.fit(columns[fitted], target[fitted])
        require(
            len(probe.classes_) == found.shape[1],
            "groups",
            "a class",
            "is missing from a fold's fitting part",
            "Use fewer folds.",
        )
        found[held] = probe.predict_log_proba(columns[held])
    return found
