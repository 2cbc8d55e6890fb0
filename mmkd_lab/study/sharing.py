"""What two modalities of real data share, by every estimator: the modality Venn diagram as a study.

Estimators answer different questions, so that a share without its method means little: every number of the
table has one. Source: Xue et al. 2023 (MFH), section 3, for the diagram.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import get_args

import numpy as np
import pandas as pd
import torch

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.data.paired import PairedData
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
from mmkd_lab.shares.question import Layer, Question, pair_of, split_of
from mmkd_lab.shares.shares import ModalityShares
from mmkd_lab.shares.sides import FOLDS, Floats
from mmkd_lab.study.sharing_verdict import ORDER, Notes, noted, sentence, title
from mmkd_lab.training.device import resolve
from mmkd_lab.training.sources import source_of

NAME = "modality_shares"
_RESAMPLES = 100


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
    names = pair_of(data, modalities)
    where, said = split_of(data, split, layer)
    trained = 2 * len(numbers) if layer == "features" else 0
    rows: list[tuple[object, ...]] = []
    counted, notes = 0, Notes()
    with session(trained, store=store, jobs=jobs, progress=trained > 0) as runner:
        asked = Question(
            data,
            names,
            layer,
            folds,
            least_shared,
            features=lambda which, seed: _trained_features(data, names, which, seed, profile, runner),
        )
        several = [asked.sides(where, seed) for seed in numbers]
    for seed, sides in zip(numbers, several, strict=True):
        counted = len(sides.y)
        for name in chosen:
            found = ESTIMATORS[name](sides, seed, _RESAMPLES)
            if found.notes:
                notes.setdefault(name, {})[str(seed)] = list(found.notes)
            rows += _rows(found, (NAME, data.name, name, "shares", seed, where))
    said = (*sides.notes, *said, *asked.disagreements(where, estimator, numbers[0], _RESAMPLES))
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
