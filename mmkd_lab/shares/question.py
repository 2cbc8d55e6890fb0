"""Which columns of which samples a question about shares is put to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.stats import Interval
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.sides import Floats, Sides, leading

Layer = Literal["input", "predictions", "features", "given"]
#: So many samples make a split large enough to be looked at by itself.
ENOUGH = 500


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

    def sides(self, split: str, seed: int) -> Sides:
        """The columns of the samples of a split, with the predictions of probes."""
        data, layer = self.data, self.layer
        where = np.arange(len(data)) if split == "all" else data.positions(split).cpu().numpy()
        if layer == "features":
            columns = self.features(split, seed)
        else:
            columns = [x[where] for x in _inputs(data, self.names, layer)]
        y = data.target.cpu().numpy()[where]
        subjects = None if data.group is None else data.group.cpu().numpy()[where]
        titles = f"modality {self.names[0]!r}", f"modality {self.names[1]!r}"
        a, b = columns
        if layer != "given":
            a, b = (leading(x, name=name) for x, name in zip(columns, titles, strict=True))
        sides = Sides.of(
            a, b, y, subjects=subjects, seed=seed, names=titles, folds=self.folds, given=layer == "given"
        )
        sides = replace(sides, least_shared=self.least_shared)
        if layer != "predictions":
            return sides
        return replace(sides, a=np.exp(sides.said_a)[:, :-1], b=np.exp(sides.said_b)[:, :-1])

    def disagreements(self, split: str, estimator: str, seed: int, resamples: int) -> list[str]:
        """A sentence for every other large split whose interval of gamma does not meet this one's."""
        if split == "all" or self.layer == "features":
            return []
        found, here = [], self._gamma(split, estimator, seed, resamples)
        for name in (one for one in self.data.splits if one != split):
            if here is None or len(self.data.positions(name)) < ENOUGH:
                continue
            there = self._gamma(name, estimator, seed, resamples)
            if there is not None and (there.low > here.high or there.high < here.low):
                said = f"The splits disagree: gamma is {there.show()} on {name}, outside that on {split}."
                found.append(said)
        return found

    def _gamma(self, split: str, estimator: str, seed: int, resamples: int) -> Interval | None:
        return ESTIMATORS[estimator](self.sides(split, seed), seed, resamples).intervals.get("gamma_union")


def pair_of(data: PairedData, modalities: Sequence[str] | None) -> tuple[str, str]:
    """The names of two modalities of single-label data, or a `LabError`."""
    single = data.task is Task.SINGLE_LABEL
    require(single, "dataset", data.task.value, "must have one label a sample: shares are those of a class")
    known = list(data.modalities)
    rule = "must be named unless there are exactly two"
    require(modalities is not None or len(known) == 2, "modalities", known, rule, 'For example ["a", "b"].')
    named = check.flat("modalities", known if modalities is None else modalities, "two names of modalities")
    require(len(set(named)) == len(named) == 2, "modalities", named, "must be two different names")
    for name in named:
        one_of("modality", name, known)
    return str(named[0]), str(named[1])


def split_of(data: PairedData, split: str | None, layer: Layer) -> tuple[str, tuple[str, ...]]:
    """Whose samples are looked at, and what must be said of them."""
    held = [name for name in ("test", "val") if name in data.splits]
    if layer == "features":
        require("test" in held, "layer", layer, f"needs a test split, and {data.name} has none")
    if split is not None:
        one_of("split", split, held if layer == "features" else [*data.splits, "all"])
        return split, ()
    if layer == "features":
        return "test", ()
    for name in (name for name in held if len(data.positions(name)) >= ENOUGH):
        return name, ()
    return "all", (f"All samples are looked at, since no split that nothing is fitted on has {ENOUGH}.",)


def _inputs(data: PairedData, names: tuple[str, str], layer: Layer) -> list[Floats]:
    """(n, d) columns of all samples, in units of the training split's deviation."""
    found = []
    for values, name in ((data.modalities[name].cpu(), name) for name in names):
        rule = "must be floating: token numbers are no quantities"
        require(values.is_floating_point(), f"modality {name!r}", values.dtype, rule, "Use layer='features'.")
        x = np.asarray(values.flatten(1).numpy(), dtype=float)
        if layer != "given":
            train = x[data.positions("train").cpu().numpy()]
            scale = train.std(0) if values.ndim == 2 else np.asarray(train.std())
            x = x / np.where(scale > 0, scale, 1.0)
        found.append(x)
    return found
