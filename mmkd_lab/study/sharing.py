"""What two modalities of real data share, by every estimator: the modality Venn diagram as a study.

Estimators answer different questions, so that a share without its method means little: every number of the
table has one. Source: Xue et al. 2023 (MFH), section 3, for the diagram.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.experiments.config import Config
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.profiles import PROFILES
from mmkd_lab.experiments.report import file_name, load_data, versions
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.shares.decisive import LEAST_SHARED
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.shares import ModalityShares
from mmkd_lab.shares.sides import FOLDS, Floats, Sides, leading
from mmkd_lab.study.sharing_verdict import ORDER, Notes, noted, sentence, title
from mmkd_lab.training.device import resolve
from mmkd_lab.training.sources import source_of

Layer = Literal["input", "predictions", "features", "given"]
NAME = "modality_shares"
_RESAMPLES = 100
#: So many samples make a split large enough to be looked at by itself.
ENOUGH = 500


def modality_shares(
    dataset: str | PairedData,
    *,
    modalities: Sequence[str] | None = None,
    estimator: str = "canonical",
    methods: Sequence[str] = ("canonical", "commonality", "count", "performance", "information"),
    layer: Layer = "input",
    split: str | None = None,
    seeds: Iterable[int] = (0,),
    least_shared: float = LEAST_SHARED,
    folds: int = FOLDS,
    profile: str = "quick",
    store: ResultStore | None = None,
    jobs: int | None = None,
) -> Study:
    """alpha, beta, gamma, synergy and the unobserved share of two modalities, by every method.

    Args:
        dataset: a name for `data.load`, with the profile's parameters, or your own paired data.
        modalities: a, the teacher's, and b, the student's; may be left out when there are only two.
        estimator: whose shares the diagram shows, one of `methods`.
        methods: names from `shares.ESTIMATORS`, where `shares.register_estimator` puts yours.
        layer: what is looked at. 'input': the columns of the inputs, standardised as networks are given them
            (vectors entry by entry, maps as a whole), or their first principal components when there are
            more than 50 or more than a quarter of the samples; units do not matter. 'predictions': class
            probabilities of linear probes of these, each from a probe that has not seen the sample's fold
            (nor its group). 'features': what the head of a trained network reads, one network a modality
            and seed, or its principal components likewise. 'given': the modalities are class probabilities
            already (votes).
        split: whose samples, or 'all'. None takes the test split, or the validation split, if it has 500
            samples, and else all, which the verdict says; for 'features', which may be those of 'test' or
            'val' only, the test split. Where another split of 500 samples gives a gamma by `estimator` whose
            interval does not meet that of this one, the verdict says so.
        seeds: of probes, permutations and resamples, and of the networks of 'features'. The share is the mean
            over seeds, its interval reaches from the lowest end to the highest.
        least_shared: the R^2 from which 'canonical' and 'count' call a channel shared: a threshold, see
            `shares.decisive_channels`. They note where gamma hangs on it.
        folds: of the probes' cross-fitting; fewer, with a note, where the rarest class has fewer samples or
            there are fewer groups.
        profile: 'quick' or 'full', see `experiments.profiles`; the size of the networks of 'features'.
        store, jobs: for the networks of 'features', as in `failure_cases`.

    Intervals are each estimator's own; where the data have groups (actors), the samples of a group are
    resampled together. None of them covers what another method says.

    Returns:
        a study of kind 'sharing'. The table has a row per method (as arm), seed and quantity, and rows
        '<quantity> low' and '<quantity> high' where there is an interval; shares between 0 and 1. Undefined
        quantities have no row; the verdict says in how many seeds. It ends with the methods' notes on their
        numbers (too few samples, nothing shown to exceed chance), which `provenance['notes']` has by seed.

    Raises:
        LabError: an unknown modality, method, layer or profile; more than two modalities and none named; a
            target that is not a single label; 'given' columns that are no class probabilities; a modality
            that does not vary; a class with one sample; too few samples for a method.
        DamagedFile: a file of the dataset is missing or damaged.
    """
    started = time.perf_counter()
    one_of("layer", layer, get_args(Layer))
    chosen = [str(name) for name in check.flat("methods", methods, "a list of methods")]
    for name in (*chosen, estimator):
        one_of("method", name, list(ESTIMATORS))
    one_of("estimator", estimator, chosen)
    numbers = check.seeds("seeds", seeds)
    one_of("profile", profile, list(PROFILES))
    check.real("least_shared", least_shared, at_least=0.0, at_most=1.0)
    check.whole("folds", folds, at_least=2)
    data = load_data(dataset, PROFILES[profile])
    names = _pair(data, modalities)
    where, said = _split(data, split, layer)
    trained = 2 * len(numbers) if layer == "features" else 0
    rows: list[tuple[object, ...]] = []
    counted, notes = 0, Notes()
    with session(trained, store=store, jobs=jobs, progress=trained > 0) as runner:
        asked = _Asked(data, names, layer, folds, least_shared, profile, runner)
        several = [asked.sides(where, seed) for seed in numbers]
    for seed, sides in zip(numbers, several, strict=True):
        counted = len(sides.y)
        for name in chosen:
            found = ESTIMATORS[name](sides, seed, _RESAMPLES)
            if found.notes:
                notes.setdefault(name, {})[str(seed)] = list(found.notes)
            rows += _rows(found, (NAME, data.name, name, "shares", seed, where))
    said = (*sides.notes, *said, *_disagreement(asked, where, estimator, numbers[0], rows))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Study(
        name=file_name(NAME, data.name, *names, layer),
        title=title(table, estimator, names),
        table=table,
        verdict=" ".join((sentence(table, estimator, names, counted, layer), *said))
        + noted(notes, len(numbers)),
        kind="sharing",
        options={"method": estimator, "names": list(names), "n": counted, "layer": layer},
        provenance={
            "study": NAME,
            "dataset": data.name,
            "fingerprint": data.fingerprint,
            "modalities": list(names),
            "layer": layer,
            "split": where,
            "methods": chosen,
            "least_shared": least_shared,
            "folds": folds,
            "seeds": list(numbers),
            "samples": counted,
            "subjects": None if data.group is None else len(torch.unique(data.group)),
            "notes": notes,
            "versions": versions(),
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def _pair(data: PairedData, modalities: Sequence[str] | None) -> tuple[str, str]:
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


def _split(data: PairedData, split: str | None, layer: Layer) -> tuple[str, tuple[str, ...]]:
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


@dataclass(frozen=True)
class _Asked:
    """Where the two sides come from."""

    data: PairedData
    names: tuple[str, str]
    layer: Layer
    folds: int
    least_shared: float
    profile: str
    runner: Runner

    def sides(self, split: str, seed: int) -> Sides:
        """The columns of the samples of a split, with the predictions of probes."""
        data, layer = self.data, self.layer
        where = np.arange(len(data)) if split == "all" else data.positions(split).cpu().numpy()
        if layer == "features":
            columns = _trained_features(data, self.names, split, seed, self.profile, self.runner)
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


def _disagreement(
    asked: _Asked, split: str, estimator: str, seed: int, rows: Sequence[tuple[object, ...]]
) -> list[str]:
    """A sentence for every other large split whose gamma lies outside, interval against interval."""
    mine = {str(row[6]): float(str(row[7])) for row in rows if row[2] == estimator and row[4] == seed}
    low, high = (mine.get(f"gamma_union {end}", np.nan) for end in ("low", "high"))
    found: list[str] = []
    if split == "all" or asked.layer == "features":
        return found
    for name in (one for one in asked.data.splits if one != split):
        if len(asked.data.positions(name)) < ENOUGH:
            continue
        shares = ESTIMATORS[estimator](asked.sides(name, seed), seed, _RESAMPLES)
        there = shares.intervals.get("gamma_union")
        if there is not None and (there.low > high or there.high < low):
            found.append(f"The splits disagree: gamma is {there.show()} on {name}, outside that on {split}.")
    return found


def _trained_features(
    data: PairedData, names: tuple[str, str], split: str, seed: int, profile: str, runner: Runner
) -> list[Floats]:
    """[(n, F), (n, F)] features of two trained networks on a split."""
    size = PROFILES[profile]
    spec = size.network("teacher", data)
    made = {name: source_of(spec, argument="network", data=data, modalities=(name,)) for name in names}
    experiment = Experiment(
        study=NAME,
        data=data,
        arms=(),
        seeds=(seed,),
        config=Config(),
        modalities={name: (name,) for name in names},
        student=made[names[1]],
        teachers=made,
        student_recipe=size.recipe,
        teacher_recipe=size.recipe,
        device=resolve("auto"),
        probe=split,
    )
    found = Plan(experiment, runner).features(names, seed)
    return [np.asarray(one.tensors[f"probe/{split}"], dtype=float) for one in found]


def _rows(found: ModalityShares, head: tuple[object, ...]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name in ORDER:
        if np.isfinite(found.value(name)):
            rows.append((*head, name, found.value(name)))
        if name in found.intervals and np.isfinite(found.intervals[name].low):
            rows.append((*head, f"{name} low", found.intervals[name].low))
            rows.append((*head, f"{name} high", found.intervals[name].high))
    return rows
