"""Two modalities side by side, as estimators want them, and which part of a data set they are taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mmkd_lab.core.check import LabError, flat, one_of, require
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.shares.components import leading
from mmkd_lab.shares.criteria import LEAST_SHARED
from mmkd_lab.shares.folds import FOLDS, cross_fitted, possible_folds
from mmkd_lab.shares.samples import Codes, Floats, generator
from mmkd_lab.shares.shares import ModalityShares
from mmkd_lab.training.inputs import standardised

Layer = Literal["input", "predictions", "features", "given"]
#: So many samples make a split large enough to be looked at by itself.
ENOUGH = 500
RESAMPLES = 100  # behind every interval
#: So many make it large enough to be compared with another: intervals are wide then, but no noise.
COMPARED = 100
HELD_OUT, _AND = ("test", "val"), " + "


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
        least_shared: the R^2 from which a channel counts as shared, see `criteria.Criteria`.
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

        def probed(x: Floats) -> Floats:
            return cross_fitted(x, y, folds=used, groups=subjects, seed=seed)

        if given:
            classes = int(y.max()) + 1
            for name, x in zip(names, (a, b), strict=True):
                fine = x.shape[1] >= classes and (x >= 0).all() and np.allclose(x.sum(1), 1.0, atol=1e-4)
                rule = f"must be probabilities of the {classes} classes for layer='given'"
                require(bool(fine), name, x.shape, rule, "Use layer='input'.")
            one, two = (np.log(np.maximum(x, 1e-9)) for x in (a, b))  # nobody's vote is never certain
            both = probed(np.column_stack([a, b]))
            a, b = lively(names[0], a[:, :-1]), lively(names[1], b[:, :-1])
        else:
            a, b = lively(names[0], a), lively(names[1], b)
            one, two, both = probed(a), probed(b), probed(np.column_stack([a, b]))
        return cls(a, b, y, one, two, both, subjects, notes=notes)


#: Sides and how many resamples stand behind the intervals -> shares.
Estimate = Callable[[Sides, int], ModalityShares]


@dataclass(frozen=True)
class Question:
    """Two modalities of a data set, looked at in one layer.

    Args:
        data: single-label data.
        names: of modalities a and b.
        layer: 'input', 'predictions', 'features' or 'given'.
        folds: of the probes' cross-fitting.
        least_shared: see `Sides`.
        features: from a split and a seed to the (n, F) features of both modalities, for 'features'.
    """

    data: PairedData
    names: tuple[str, str]
    layer: Layer
    folds: int
    least_shared: float
    features: Callable[[str, int], list[Floats]]

    def sides(self, split: str, seed: int, rows: Codes | None = None) -> Sides:
        """The columns of the samples of a split, or of these rows, with the predictions of probes."""
        data, given = self.data, self.layer == "given"
        where, columns = (self._rows(split), 50) if rows is None else (np.sort(rows), len(rows) // 8)
        titles = f"modality {self.names[0]!r}", f"modality {self.names[1]!r}"
        if self.layer == "features":
            a, b = self.features(split, seed)
        else:
            a, b = (self._input(name)[where] for name in self.names)
        if not given:
            a, b = (leading(x, components=columns, name=t) for x, t in zip((a, b), titles, strict=True))
        y = data.target.cpu().numpy()[where]
        subjects = None if data.group is None else data.group.cpu().numpy()[where]
        sides = Sides.of(a, b, y, subjects=subjects, seed=seed, names=titles, folds=self.folds, given=given)
        if self.layer == "predictions":
            sides = replace(sides, a=np.exp(sides.said_a)[:, :-1], b=np.exp(sides.said_b)[:, :-1])
        return replace(sides, least_shared=self.least_shared)

    def disagreements(self, split: str, estimate: Estimate, seed: int) -> list[str]:
        """A sentence for every split whose gamma is shown not to be that of the one looked at.

        Both by as many samples, at least `COMPARED`, and at most an eighth as many columns, since estimates
        move with these. All samples are compared as those that models are fitted on and the others. Of
        'features' only the test split has none that networks were fitted on.
        """
        here, others = split, [name for name in self.data.splits if name not in split.split(_AND)]
        if split == "all":
            here, others = "train", [_AND.join(self._held())]
        said, stream = [], generator(seed, "as many")
        for there in others if self.layer != "features" else []:
            parts = [stream.permutation(self._rows(name)) for name in (there, here)]
            n = min(ENOUGH, *map(len, parts))
            if n < COMPARED:
                continue
            try:
                gammas = self._apart([rows[:n] for rows in parts], estimate, seed, stream)
            except LabError as why:
                said.append(f"{there} and {here} cannot be compared: {why}")
                continue
            for one, two in gammas:
                said.append(f"The splits disagree: gamma is {one} on {there}, {two} on as many of {here}.")
        return said

    def _apart(
        self, parts: list[Codes], estimate: Estimate, seed: int, stream: np.random.Generator
    ) -> list[tuple[str, str]]:
        """gamma in both parts, in words, or nothing if it is not shown to differ.

        Their intervals do not meet and, since these may be too narrow, in none of 19 shuffles of the samples
        between the parts is it as far apart. Undefined in one, the accuracies of both modalities tell.
        """
        both = [self.sides("", seed, rows) for rows in parts]
        one, two = found = [estimate(sides, RESAMPLES) for sides in both]
        ends = [each.intervals.get("gamma_union") for each in found]
        if one.defined != two.defined:
            ends = [mean_interval(np.asarray(x.said_both.argmax(1) == x.y, dtype=float)) for x in both]
        known = [end for end in ends if end is not None]
        if len(known) < 2 or max(end.low for end in known) <= min(end.high for end in known):
            return []
        for _ in range(19 if one.defined and two.defined else 0):
            mixed = np.split(stream.permutation(np.concatenate(parts)), 2)
            x, y = (estimate(self.sides("", seed, rows), 0).gamma for rows in mixed)
            if not abs(x - y) < abs(one.gamma - two.gamma):
                return []
        return [(_shown(one), _shown(two))]

    def split_of(self, split: str | None) -> tuple[str, tuple[str, ...]]:
        """Whose samples are looked at, and what must be said of them."""
        held, trained = self._held(), self.layer == "features"
        rule = f"needs a test split, and {self.data.name} has none"
        require("test" in held or not trained, "layer", self.layer, rule)
        if split is not None:
            one_of("split", split, held if trained else [*self.data.splits, "all"])
            return split, ()
        fit = [name for name in [*held, _AND.join(held)] if trained or len(self._rows(name)) >= ENOUGH]
        if fit:
            return fit[0], ()
        return "all", (f"All samples are looked at: test and validation have fewer than {ENOUGH}.",)

    def _held(self) -> list[str]:
        return [name for name in HELD_OUT if name in self.data.splits]

    def _rows(self, split: str) -> Codes:
        """Positions of the samples of a split, of several ('test + val'), or of 'all'."""
        if split == "all":
            return np.arange(len(self.data))
        parts = [self.data.positions(name).cpu().numpy() for name in split.split(_AND) if name]
        return np.concatenate(parts) if parts else np.arange(0)

    def _input(self, name: str) -> Floats:
        """(n, d) columns of all samples, standardised as networks are given them unless they are given."""
        values = self.data.modalities[name].cpu()
        rule = "must be floating: token numbers are no quantities"
        numbers = values.is_floating_point() or values.dtype.itemsize == 1  # bytes are pictures
        require(numbers, f"modality {name!r}", values.dtype, rule, "Use layer='features'.")
        if self.layer != "given":
            values = standardised(self.data, name)
        return np.asarray(values.flatten(1).numpy(), dtype=float)


def _shown(found: ModalityShares) -> str:
    ends = found.intervals.get("gamma_union")
    return "undefined" if not found.defined else f"{found.gamma:.2f}" if ends is None else ends.show()


def pair_of(data: PairedData, modalities: Sequence[str] | None) -> tuple[str, str]:
    """The names of two modalities of single-label data, or a `LabError`."""
    single = data.task is Task.SINGLE_LABEL
    require(single, "dataset", data.task.value, "must have one label a sample", "See data.one_label.")
    known = list(data.modalities)
    rule = "must be named unless there are exactly two"
    require(modalities is not None or len(known) == 2, "modalities", known, rule, 'For example ["a", "b"].')
    named = flat("modalities", known if modalities is None else modalities, "two names of modalities")
    require(len(set(named)) == len(named) == 2, "modalities", named, "must be two different names")
    for name in named:
        one_of("modality", name, known)
    return str(named[0]), str(named[1])


def lively(name: str, x: Floats) -> Floats:
    """The columns of which no one value is that of 98 % of the samples. Raises `LabError` for none."""
    commonest = np.array([np.unique(column, return_counts=True)[1].max() for column in x.T])
    kept = commonest < 0.98 * len(x)
    require(bool(kept.any()), name, x.shape, "must hold a column that varies")
    return x[:, kept]
