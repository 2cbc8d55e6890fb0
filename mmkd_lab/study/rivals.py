"""Rival hypotheses about when crossmodal distillation helps, side by side on the same runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mmkd_lab.core.check import LabError, require
from mmkd_lab.experiments.report import file_name, versions
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.shares.hypotheses import COMPONENTS, RIVALS, TaughtStudent
from mmkd_lab.shares.prediction import Prediction, predictions

_CLAIM = {1: " (+)", -1: " (−)"}


def rival_hypotheses(runs: Sequence[TaughtStudent]) -> Study:
    """The rivals' numbers of every run, beside its gain, and how well each predicts it.

    Args:
        runs: `repair_teachers(...).runs`, of one dataset and student.

    Returns:
        a study of kind 'rivals'. The table has one row per run and rival (role 'teacher', the rival as
        metric) and one for the gain (role 'student', metric 'gain'), with the columns `ratio` (NaN where it
        does not apply), `loss` and `draw`. `provenance['prediction']` holds what
        `shares.prediction.predictions` found, `provenance['left_out']` what could not be computed and why:
        non-target divergence of two classes, and whatever is about features for a teacher whose channels are
        all constant.

    Raises `LabError` for no runs (a loaded study has none), or those of several datasets or students.
    """
    started = time.perf_counter()
    rule, way_out = (
        "must hold at least one run",
        "Run repair_teachers; a study loaded from disk or of a dense task has no runs.",
    )
    require(len(runs) > 0, "runs", list(runs), rule, way_out)
    names = sorted({(run.dataset, run.student) for run in runs})
    require(len(names) == 1, "runs", names, "must be of one dataset and one student")
    dataset, student = names[0]
    rows: list[tuple[object, ...]] = []
    left_out: dict[str, str] = {}
    for run in runs:
        ratio = float("nan") if run.ratio is None else run.ratio
        head, at = ("rivals", run.dataset, run.arm), (ratio, run.loss, run.draw)
        rows.append((*head, "student", run.seed, "test", "gain", run.gain, *at))
        for name, rival in RIVALS.items():
            try:
                rows.append((*head, "teacher", run.seed, run.split, name, rival.number(run), *at))
            except LabError as why:
                left_out[f"{name}, {run.arm}, {run.ratio}, {run.draw}, seed {run.seed}"] = str(why)
    table = pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss", "draw"])
    made = {
        "study": "rivals",
        "dataset": dataset,
        "student": student,
        "left_out": left_out,
        "components": COMPONENTS,
        "seeds": sorted({run.seed for run in runs}),
        "versions": versions(),
        "seconds": round(time.perf_counter() - started, 3),
    }
    return _study(table, made)


def _study(table: pd.DataFrame, made: Mapping[str, Any]) -> Study:
    """One loss is shown: the title, the figure and its note are all about the first."""
    found, loss = predictions(table), str(table["loss"].iloc[0])
    dataset, student = str(made["dataset"]), str(made["student"])
    runs = Counter(str(one) for one in table[table["metric"] == "gain"]["loss"])
    return Study(
        name=file_name("rivals", dataset, student),
        title=_title(found, loss),
        table=table,
        verdict=_verdict(found, f"{dataset} ({student} student)", runs),
        kind="rivals",
        options={"loss": loss},
        provenance={**made, "prediction": [one.as_dict() for one in found]},
    )


def _title(found: Sequence[Prediction], loss: str) -> str:
    """What the figure says, of the one loss it shows; the best of several, so at their joint level."""
    sure = [one for one in found if one.loss == loss and one.is_sure]
    if not sure:
        return f"No rival is shown to order the gains within a seed ({loss})"
    most, named = max(abs(one.within.mean) for one in sure), []
    for one in (one for one in sure if abs(one.within.mean) > most - 1e-9):
        rho = one.within.mean
        claim = ", as claimed" if (one.claims or 0) * rho > 0 else ", against its claim"
        said = "" if one.claims is None else claim
        named.append(f"{'more' if rho > 0 else 'less'} {_words(one.rival)}{said}")
    return f"Within a seed, the gain goes best with {' and '.join(named)} ({loss})"


def _verdict(found: Sequence[Prediction], where: str, runs: Mapping[str, int]) -> str:
    if not found:
        return f"On {where} nothing could be compared: gains or predictors do not vary."
    parts = []
    for loss in dict.fromkeys(one.loss for one in found):
        mine = [one for one in found if one.loss == loss]
        told = {True: list[str](), False: list[str]()}
        for one in sorted(mine, key=lambda one: -abs(one.within.mean) if one.is_sure else 0.0):
            shown = f"{one.within.show(signed=True)}{_CLAIM.get(one.claims or 0, '')}"
            told[one.is_sure].append(f"{_words(one.rival)} {shown}")
        said = [f"{'' if sure else 'not '}shown: {', '.join(some)}" for sure, some in told.items() if some]
        used, every = mine[0].pooled.n, runs[loss]
        which = f"{used} runs" if used == every else f"the {used} of {every} runs that all rivals have"
        counts = [
            one.within.n for one in mine
        ]  # seeds in which gain and rival vary, which may differ by rival
        seeds = f"{max(counts)} seed{'s' if max(counts) > 1 else ''}"
        if min(counts) < max(counts):
            seeds = f"{min(counts)} to {max(counts)} seeds by rival"
        parts.append(f"by {loss} ({which}, {seeds}), {'; '.join(said)}{_signs(mine)}")
    return (
        f"On {where}, Spearman's correlation with the gain within a seed, with its interval over seeds (in "
        f"brackets the sign that each hypothesis claims; what is shown is so at the level of all rivals "
        f"together, the intervals are each for itself): "
        f"{'; '.join(parts)}. The runs of a seed share their control."
    )


def _signs(found: Sequence[Prediction]) -> str:
    """CCH foretells the sign itself: KD helps where its margin is above 0."""
    said = [
        f"; the {_words(one.rival)}'s own sign is that of the gain in {one.hits:.2f} of the runs, and always "
        f"guessing a {'gain' if one.gained >= one.lost else 'loss'} is right in {one.base_rate:.2f}"
        for one in found
        if one.hits is not None
    ]
    return "".join(said)


def _words(rival: str) -> str:
    return RIVALS[rival].words if rival in RIVALS else rival.replace("_", " ")
