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

from mmkd_lab.core.check import flat, one_of, real, whole
from mmkd_lab.core.check import seeds as distinct
from mmkd_lab.core.stats import Interval
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.question import one_label
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
from mmkd_lab.shares.criteria import LEAST_SHARED
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.folds import FOLDS
from mmkd_lab.shares.samples import Floats
from mmkd_lab.shares.shares import QUANTITIES, XOR_FROM, ModalityShares
from mmkd_lab.shares.sides import RESAMPLES, Layer, Question, pair_of
from mmkd_lab.training.device import resolve, threads
from mmkd_lab.training.sources import source_of

NAME = "modality_shares"
#: gamma comes first: it is what a study of shares is about.
_ORDER = ("gamma_union", *(name for name in QUANTITIES if name != "gamma_union"))
#: {method: {seed: what it says about its numbers}}.
_Notes = dict[str, dict[str, list[str]]]


@threads(1)
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
        dataset: a name for `data.load`, with the profile's parameters, or your own paired data. Of several
            labels, or of amounts, shares are those of one question: the one that `data.one_label` takes by
            itself, unless you have asked it for another.
        modalities: a, the teacher's, and b, the student's; may be left out when there are only two.
        estimator: whose shares the diagram shows, one of `methods`.
        methods: names from `shares.ESTIMATORS`, where `shares.register_estimator` puts yours.
        layer: what is looked at. 'input': the columns of the inputs, standardised as networks are given them
            (vectors entry by entry, maps as a whole), or their first principal components when there are
            more than 50 or more than a quarter of the samples; so shares do not move with units, which are
            nothing that a modality tells, but would weigh the components. 'predictions': class
            probabilities of linear probes of these, each from a probe that has not seen the sample's fold
            (nor its group). 'features': what the head of a trained network reads, one network a modality
            and seed, or its principal components likewise. 'given': the modalities are class probabilities
            already (votes).
        split: whose samples, or 'all'. None takes the first of the test split, the validation split and both
            together that has 500 samples, and else all, which the verdict says: columns that were fitted to
            labels (features of somebody's network) tell those of the training split again. For 'features',
            which may be those of 'test' or 'val' only, it is the test split. The verdict also says so where
            by `estimator` another split of at least 100 samples is shown to give another gamma than as many
            samples of this one; of all samples, the training split and the rest are compared.
        seeds: of probes, permutations and resamples, and of the networks of 'features'. The share is the mean
            over seeds, its interval reaches from the lowest end to the highest.
        least_shared: the R^2 from which 'canonical' and 'count' call a channel shared: a threshold, see
            `shares.Criteria`. They note where gamma hangs on it.
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

    Raises `LabError` for an unknown modality, method, layer or profile; more than two modalities and none
    named; dense data; 'given' columns that are no class probabilities; a modality
    that does not vary; a class with one sample; too few samples for a method; a damaged file of the dataset.
    """
    started = time.perf_counter()
    one_of("layer", layer, get_args(Layer))
    chosen = [str(name) for name in flat("methods", methods, "a list of methods")]
    for name in (*chosen, estimator):
        one_of("method", name, list(ESTIMATORS))
    one_of("estimator", estimator, chosen)
    numbers = distinct("seeds", seeds)
    one_of("profile", profile, list(PROFILES))
    real("least_shared", least_shared, at_least=0.0, at_most=1.0)
    whole("folds", folds, at_least=2)
    data = one_label(load_data(dataset, PROFILES[profile]))
    names = pair_of(data, modalities)
    both = data.seen(names, whole=True)
    few = [f"Only the {int(both.sum()):,} of {len(data):,} samples with both modalities are looked at."]
    if bool(both.all()):
        few = []
    else:
        data = data.select(both.nonzero().flatten())
    trained = 2 * len(numbers) if layer == "features" else 0
    with session(trained, store=store, jobs=jobs, progress=trained > 0) as runner:

        def features(which: str, seed: int) -> list[Floats]:
            return _trained_features(data, names, which, seed, profile, runner)

        asked = Question(data, names, layer, folds, least_shared, features)
        where, said = asked.split_of(split)
        several = [asked.sides(where, seed) for seed in numbers]
    rows: list[tuple[object, ...]] = []
    notes: _Notes = {}
    for seed, sides in zip(numbers, several, strict=True):
        for name in chosen:
            found = ESTIMATORS[name](sides, seed, RESAMPLES)
            if found.notes:
                notes.setdefault(name, {})[str(seed)] = list(found.notes)
            rows += _rows(found, (NAME, data.name, name, "shares", seed, where))
    first = numbers[0]
    apart = asked.disagreements(where, lambda sides, of: ESTIMATORS[estimator](sides, first, of), first)
    table, n = pd.DataFrame(rows, columns=list(COLUMNS)), len(several[-1].y)
    told = [_sentence(table, estimator, names, n, layer), *few, *several[-1].notes, *said, *apart]
    return Study(
        name=file_name(NAME, data.name, *names, layer),
        title=_title(table, estimator, names),
        table=table,
        verdict=" ".join([*told, *_noted(notes, len(numbers))]),
        kind="sharing",
        options={"method": estimator, "names": list(names), "n": n, "layer": layer},
        provenance={
            "study": NAME,
            "dataset": data.name,
            "fingerprint": data.fingerprint,
            "modalities": list(names),
            "profile": profile,
            "layer": layer,
            "split": where,
            "methods": chosen,
            "least_shared": least_shared,
            "folds": folds,
            "seeds": list(numbers),
            "samples": n,
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
    for name in _ORDER:
        if np.isfinite(found.value(name)):
            rows.append((*head, name, found.value(name)))
        if name in found.intervals:
            ends = found.intervals[name]
            rows += [(*head, f"{name} low", ends.low), (*head, f"{name} high", ends.high)]
    return rows


def shares_of(table: pd.DataFrame, method: str) -> dict[str, Interval]:
    """{quantity: share and interval} of one method: the mean over seeds, and the ends that hold every seed's.

    A quantity without an interval has NaN ends.
    """
    part = table[table["arm"] == method]
    values = {name: group["value"].to_numpy(dtype=float) for name, group in part.groupby("metric")}
    found = {}
    for name in (name for name in _ORDER if name in values):
        low, high = (values.get(f"{name} {end}", np.array([np.nan])) for end in ("low", "high"))
        n = len(values[name])
        found[name] = Interval(float(values[name].mean()), float(low.min()), float(high.max()), n)
    return found


def _title(table: pd.DataFrame, estimator: str, names: tuple[str, str]) -> str:
    """The finding in a few words."""
    found, (a, b) = shares_of(table, estimator), names
    head = f"{table['dataset'].iloc[0]}, by {ESTIMATORS[estimator].label}"
    synergy = found["synergy"].mean if "synergy" in found else 0.0
    if "gamma_union" not in found:
        what = "XOR-type label" if synergy else "nothing decisive"
        return f"{head}: {what}, {a} and {b} by themselves tell nothing"
    if synergy > XOR_FROM:
        return f"{head}: XOR-type, {synergy:.0%} of what the pair carries is synergy"
    shown = found["gamma_union"]
    ends = "" if np.isnan(shown.low) else f" [{100 * shown.low:.0f}, {100 * shown.high:.0f}]"
    return f"{head}: {shown.mean:.0%}{ends} of what {a} or {b} carries is in both"


def _sentence(table: pd.DataFrame, estimator: str, names: tuple[str, str], n: int, layer: str) -> str:
    """The verdict: one estimator's shares, and gamma by the others."""
    seeds, (a, b) = int(table["seed"].nunique()), names
    by = {str(method): shares_of(table, str(method)) for method in dict.fromkeys(table["arm"])}
    mine = by.pop(estimator)
    called = {"gamma_union": "gamma", "alpha": f"only {a}", "beta": f"only {b}"}
    called |= {"synergy": "synergy", "unobserved": "unobserved"}
    said = [f"{words} {_shown(mine[name], seeds)}" for name, words in called.items() if name in mine]
    if "gamma_union" not in mine:
        said = ["alpha, beta and gamma are undefined", *said]
    others = []
    for method, one in by.items():
        gamma = _shown(one["gamma_union"], seeds) if "gamma_union" in one else "undefined"
        others.append(f"{gamma} by {ESTIMATORS[method].label}")
    more = f"; gamma is {', '.join(others)}" if others else ""
    head = f"On {table['dataset'].iloc[0]} ({a} and {b}, {layer}, {n:,} samples)"
    return f"{head}, by {ESTIMATORS[estimator].label}: {', '.join(said)}{more}."


def _noted(notes: _Notes, seeds: int) -> list[str]:
    """Every note once, with its method, and with its seeds where not all of them have it.

    What the verdict has said already, that shares are undefined, is not said again.
    """
    said = []
    for method, by_seed in notes.items():
        texts = dict.fromkeys(one for each in by_seed.values() for one in each)
        for note in (one for one in texts if not one.startswith("alpha, beta and gamma are undefined")):
            where = [seed for seed, each in by_seed.items() if note in each]
            which = f" (seed{'s' if len(where) > 1 else ''} {', '.join(where)})" if len(where) < seeds else ""
            said.append(f"By {ESTIMATORS[method].label}{which}: {note}")
    return said


def _shown(found: Interval, seeds: int) -> str:
    ends = "" if np.isnan(found.low) else f" [{found.low:.2f}, {found.high:.2f}]"
    part = "" if found.n == seeds else f" (undefined in {seeds - found.n} of {seeds} seeds)"
    return f"{found.mean:.2f}{ends}{part}"
