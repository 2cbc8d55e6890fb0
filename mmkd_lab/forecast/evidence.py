"""What can be known of a pair before a student is trained, from training and validation samples alone.

The teacher of every number is logistic regression on the teacher's columns, or what is given in its place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import numpy as np

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.forecast.pair import Columns, SeenPair
from mmkd_lab.forecast.pilots import Codes, Floats, Pilot, Ridge, pilot, random_layer, subsets
from mmkd_lab.shares.components import leading
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.hypotheses import (
    entropy,
    gamma,
    linear_cka,
    non_target_divergence,
    representation_margin,
)
from mmkd_lab.shares.samples import LEAST, generator
from mmkd_lab.shares.sides import Sides

T = TypeVar("T")

#: The estimators of shares.
GAMMAS = ("canonical", "commonality", "count", "performance", "information")
#: Every number, and what tables call it. What a pair does not have is NaN.
EVIDENCE: Mapping[str, str] = {
    "log_samples": "log10 of the training samples",
    "log_width_teacher": "log10 of the teacher's columns",
    "log_width_student": "log10 of the student's columns",
    "log_classes": "log10 of the classes",
    "teacher_accuracy": "the teacher's accuracy, %",
    "student_accuracy": "the student modality's accuracy, %",
    "accuracy_difference": "teacher minus student, points",
    "both_accuracy": "accuracy of both together, %",
    "teacher_entropy": "the teacher's entropy, as a share of log K",
    "label_noise": "training labels that no probe foretells, %",
    "curve": "what the second half of the labels brought, points",
    "pilot": "ridge pilot: gain at T = 1, points",
    "pilot_soft": "ridge pilot: gain at T = 4, points",
    "pilot_error": "ridge pilot: squared error saved at T = 4, %",
    "pilot_layer": "pilot with a random layer: gain at T = 1, points",
    "pilot_layer_soft": "pilot with a random layer: gain at T = 4, points",
    "pilot_half": "ridge pilots on halves: mean gain, points",
    "pilot_half_low": "its 95 % interval from",
    "pilot_half_high": "its 95 % interval to",
    "pilot_quarter": "ridge pilots on quarters: mean gain, points",
    "beyond_label": "teacher's logits the student foretells beyond the label, R²",
    "mfh_gamma": "teacher's logits linear in the student's columns, R² (MFH)",
    "information_margin": "CCH's margin, nats",
    "non_target_divergence": "NTDH's divergence, nats",
    "cka": "CKA of the two modalities",
    **{f"gamma_{name}": f"γ by {ESTIMATORS[name].label}" for name in GAMMAS},
}
#: Resampled subsets behind the interval of a pilot.
SUBSETS = 8
#: Samples at most for the estimators of shares: they resample and permute.
MOST_SHARED = 500
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
_SOFT = 4.0


@dataclass(frozen=True, eq=False)
class SplitLogits:
    """Logits of training and validation samples, (n, K) and (m, K)."""

    train: Floats
    val: Floats


#: What was found of a pair's shares and probes before: both directions and all arms ask the same.
Known = dict[object, object]


def probe(columns: Columns, y: Codes, y_val: Codes, classes: int) -> SplitLogits:
    """Logistic regression of the strength with the best validation accuracy; ties to the stronger penalty."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    best, found = -1.0, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in _STRENGTHS:
            fitted = LogisticRegression(C=strength, tol=1e-3, max_iter=300).fit(columns.train, y)
            said = [fitted.decision_function(x) for x in (columns.train, columns.val)]
            if classes == 2:
                said = [np.stack([-one / 2, one / 2], axis=1) for one in said]
            right = float((said[1].argmax(1) == y_val).mean())
            if right > best:
                best, found = right, SplitLogits(*said)
    assert found is not None
    return found


def evidence(
    pair: SeenPair, *, teacher: SplitLogits | None = None, seed: int = 0, known: Known | None = None
) -> dict[str, float]:
    """Every number of `EVIDENCE`.

    Args:
        pair: the samples, with a teacher that sees what that of the arm does.
        teacher: what the teacher says, where there is one to ask.
        seed: of subsets, random layers and folds.
        known: kept between calls on the same samples by whoever calls.
    """
    kept: Known = {} if known is None else known
    classes = pair.classes

    def asked(name: str, columns: Columns) -> SplitLogits:
        return _once(kept, ("probe", name), lambda: probe(columns, pair.y, pair.y_val, classes))

    own = asked(pair.names[1], pair.student)
    told = asked(pair.names[0], pair.teacher) if teacher is None else teacher
    two = pair if not pair.crossmodal else pair.seen_by("all")
    both = asked(two.names[0], two.teacher)
    right = {name: _accuracy(one.val, pair.y_val) for name, one in (("t", told), ("s", own), ("b", both))}
    found = {
        "log_samples": math.log10(pair.samples),
        "log_width_teacher": math.log10(pair.teacher.width),
        "log_width_student": math.log10(pair.student.width),
        "log_classes": math.log10(classes),
        "teacher_accuracy": right["t"],
        "student_accuracy": right["s"],
        "accuracy_difference": right["t"] - right["s"],
        "both_accuracy": right["b"],
        "teacher_entropy": entropy(told.val) / math.log(classes),
    }
    found |= _pilots(pair, told, seed, kept)
    found |= _rivals(pair, told, own)
    if pair.crossmodal:
        found |= _once(kept, ("shares", frozenset(pair.names)), lambda: _shares(pair, seed))
    return {name: float(found.get(name, math.nan)) for name in EVIDENCE}


def _accuracy(logits: Floats, y: Codes) -> float:
    return 100.0 * float((logits.argmax(1) == y).mean())


def _softmax(logits: Floats, temperature: float) -> Floats:
    z = logits / temperature
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def _pilots(pair: SeenPair, told: SplitLogits, seed: int, kept: Known) -> dict[str, float]:
    x, held, student = pair.student.train, pair.student.val, pair.names[1]
    layer = random_layer(x.shape[1], seed=seed)
    hidden = [np.maximum(one @ layer, 0.0) for one in (x, held)]
    mean, scale = hidden[0].mean(0), np.maximum(hidden[0].std(0), 1e-9)
    sharp, soft = _softmax(told.train, 1.0), _softmax(told.train, _SOFT)
    columns = {"plain": (x, held), "layer": tuple((one - mean) / scale for one in hidden)}

    def on(kind: str, target: Floats, which: str = "all", rows: Codes | slice = slice(None)) -> Pilot:
        train, val = columns[kind]
        ridge = _once(kept, ("ridge", student, kind, which), lambda: Ridge.on(train[rows]))
        return pilot(ridge, pair.y[rows], (val, pair.y_val), target[rows])

    plain, warm = on("plain", sharp), on("plain", soft)
    parts = {
        share: [
            on("plain", sharp, f"{share}, {i}", rows)
            for i, rows in enumerate(subsets(pair.y, len(x) // share, SUBSETS, seed=seed))
        ]
        for share in (2, 4)
    }
    half = mean_interval([one.gain for one in parts[2]])
    return {
        "pilot": plain.gain,
        "pilot_soft": warm.gain,
        "pilot_error": warm.error,
        "pilot_layer": on("layer", sharp).gain,
        "pilot_layer_soft": on("layer", soft).gain,
        "pilot_half": half.mean,
        "pilot_half_low": half.low,
        "pilot_half_high": half.high,
        "pilot_quarter": float(np.mean([one.gain for one in parts[4]])),
        "curve": plain.plain - float(np.mean([one.plain for one in parts[2]])),
    }


def _rivals(pair: SeenPair, told: SplitLogits, own: SplitLogits) -> dict[str, float]:
    """The rivals' numbers on validation; the student's features are the leading columns of its modality."""
    one, two = pair.teacher.val, pair.student.val
    ways: dict[str, Callable[[], float]] = {
        "mfh_gamma": lambda: gamma(told.val, leading(two)),
        "cka": lambda: linear_cka(one, two),
        "information_margin": lambda: representation_margin(one, two, pair.y_val, classes=pair.classes),
        "non_target_divergence": lambda: non_target_divergence(told.val, own.val, pair.y_val),
        "beyond_label": lambda: _beyond(pair, told),
    }
    return {name: _or_nan(way) for name, way in ways.items()}


def _beyond(pair: SeenPair, told: SplitLogits) -> float:
    """The share of the teacher's logits' variance within classes that ridge regression on the student's
    columns foretells on validation samples; below 0 where it does worse than the class means."""
    means = np.stack([told.train[pair.y == k].mean(0) for k in range(pair.classes)])
    seen, held = told.train - means[pair.y], told.val - means[pair.y_val]
    centre = np.stack([pair.student.train[pair.y == k].mean(0) for k in range(pair.classes)])
    x, x_held = pair.student.train - centre[pair.y], pair.student.val - centre[pair.y_val]
    ridge = Ridge.on(x)
    said = ridge.answers(seen, x_held, ridge.best(seen, seen))
    return 1.0 - float(((held - said) ** 2).sum() / max(float((held**2).sum()), 1e-12))


def _shares(pair: SeenPair, seed: int) -> dict[str, float]:
    """gamma by every estimator, and what a probe of both does not foretell; the same both ways round."""
    rows = np.arange(len(pair.y))
    if len(rows) > MOST_SHARED:
        rows = np.sort(generator(seed, "shares").permutation(rows)[:MOST_SHARED])
    subjects = None if pair.subjects is None else pair.subjects[rows]
    if subjects is not None and len(np.unique(subjects)) < LEAST:
        subjects = None
    try:
        one, two = (leading(x.train[rows]) for x in (pair.teacher, pair.student))
        sides = Sides.of(one, two, pair.y[rows], subjects=subjects, seed=seed)
    except LabError:  # too few samples of a class, or a modality that hardly varies
        return {}
    found = {"label_noise": 100.0 - _accuracy(sides.said_both, sides.y)}
    for name in GAMMAS:
        found[f"gamma_{name}"] = _or_nan(partial(_gamma, name, sides, seed))
    return found


def _gamma(name: str, sides: Sides, seed: int) -> float:
    return ESTIMATORS[name](sides, seed).gamma


def _or_nan(way: Callable[[], float]) -> float:
    try:
        return way()
    except LabError:
        return math.nan


def _once(kept: Known, key: object, make: Callable[[], T]) -> T:
    if key not in kept:
        kept[key] = make()
    return cast("T", kept[key])
