"""Two modalities side by side, as estimators want them: columns, labels, and what probes predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.shares.decisive import LEAST_SHARED
from mmkd_lab.shares.discrete import drop_constant, labels, paired

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Inverse weight of the ridge penalty of every probe.
STRENGTH = 0.1
#: Folds of the cross-fitting of every probe, unless the data allow fewer.
FOLDS = 5
_RANK = 1e-12  # components with less than this share of the first one's variance are rounding


@dataclass(frozen=True, eq=False)
class Sides:
    """What the estimators are asked about: two modalities of n paired samples.

    Args:
        a: (n, d_a) columns of modality a.
        b: (n, d_b) columns of modality b.
        y: (n,) class numbers from 0.
        said_a: (n, K) log-probabilities of the classes by a alone, for samples that nothing was fitted on.
        said_b: the same by b.
        said_both: the same by both.
        subjects: (n,) numbers of what samples belong to (an actor), or None when samples are independent.
        least_shared: the R^2 from which a channel counts as shared, see `decisive.decisive_channels`.
        notes: what must be said of the predictions.
    """

    a: Floats
    b: Floats
    y: Codes
    said_a: Floats
    said_b: Floats
    said_both: Floats
    subjects: Codes | None = None
    least_shared: float = LEAST_SHARED
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        a: Floats,
        b: Floats,
        y: Codes,
        *,
        subjects: Codes | None = None,
        seed: int = 0,
        names: tuple[str, str] = ("a", "b"),
        folds: int = FOLDS,
        given: bool = False,
    ) -> Sides:
        """Columns with the predictions of cross-fitted linear probes; no subject is on both sides of a fold.

        A column that is the same for nearly all samples is left out: in a part of them it would be constant.
        With `given`, the columns of each modality are class probabilities and what it says (votes); a probe
        puts the pair together, and the last class, which the others determine, is no column.

        Raises `LabError` as `cross_fitted` and `possible_folds` do, for a modality (called by `names`) of
        which no column is left, and for given columns that are no probabilities.
        """
        used, notes = possible_folds(y, subjects, folds)
        classes = int(y.max()) + 1
        if given:
            for name, x in zip(names, (a, b), strict=True):
                fine = x.shape[1] >= classes and (x >= 0).all() and np.allclose(x.sum(1), 1.0, atol=1e-4)
                rule = f"must be probabilities of the {classes} classes for layer='given'"
                require(bool(fine), name, x.shape, rule, "Use layer='input'.")
            said = [np.log(np.maximum(x, 1e-9)) for x in (a, b)]  # nobody's vote is never certain
            both = cross_fitted(np.column_stack([a, b]), y, folds=used, groups=subjects, seed=seed)
            a, b = lively(names[0], a[:, :-1]), lively(names[1], b[:, :-1])
            return cls(a, b, y, said[0], said[1], both, subjects, notes=notes)
        a, b = lively(names[0], a), lively(names[1], b)
        views = (a, b, np.column_stack([a, b]))
        one, two, both = (cross_fitted(x, y, folds=used, groups=subjects, seed=seed) for x in views)
        return cls(a, b, y, one, two, both, subjects, notes=notes)


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

    Raises:
        LabError: unpaired sets, a constant label, more folds than the rarest class has samples or than there
            are groups, a class that a fold's fitting part lacks.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    paired(x=x, y=y)
    target, (columns, _) = labels(y), drop_constant(x)
    require(bool(np.isfinite(columns).all()), "x", "NaN or infinite values", "must be finite")
    names = None if groups is None else np.asarray(groups)
    most, notes = possible_folds(target, names, whole("folds", folds, at_least=2))
    require(most == folds, "folds", folds, f"must be at most {most}", " ".join(notes))
    state = derive(seed, "venn", "folds") % 2**32
    kind = StratifiedKFold if names is None else StratifiedGroupKFold
    found = np.empty((len(target), int(target.max()) + 1))
    for fitted, held in kind(folds, shuffle=True, random_state=state).split(columns, target, names):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        probe.fit(columns[fitted], target[fitted])
        rule = "is missing from a fold's fitting part"
        require(len(probe.classes_) == found.shape[1], "groups", "a class", rule, "Use fewer folds.")
        found[held] = probe.predict_log_proba(columns[held])
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


def lively(name: str, x: Floats) -> Floats:
    """The columns of which no one value is that of 98 % of the samples. Raises `LabError` for none."""
    commonest = np.array([np.unique(column, return_counts=True)[1].max() for column in x.T])
    kept = commonest < 0.98 * len(x)
    require(bool(kept.any()), name, x.shape, "must hold a column that varies")
    return x[:, kept]


def leading(x: npt.ArrayLike, *, components: int = 50, name: str = "values") -> Floats:
    """(n, at most `components`) columns: as they are, or their first principal components when wider.

    Of fewer than four times as many samples, there are no more columns than a quarter of the samples: the
    estimators need samples beyond the columns of both modalities. The components are those of all samples
    given; no label is looked at. A column given twice counts once. Raises `LabError`, by that name, when no
    column varies.
    """
    columns, _ = drop_constant(x, name=name)
    columns = columns[:, np.sort(np.unique(columns, axis=1, return_index=True)[1])]
    most = min(components, max(len(columns) // 4, 1))
    if columns.shape[1] <= most:
        return columns
    centred = columns - columns.mean(0)
    squares, directions = np.linalg.eigh(centred.T @ centred)
    most = min(most, int((squares > _RANK * squares[-1]).sum()))
    directions = directions[:, : -most - 1 : -1]
    largest = np.abs(directions).argmax(0)  # a direction has no sign of its own
    signs = np.sign(directions[largest, np.arange(most)])
    return np.asarray(centred @ (directions * signs))
