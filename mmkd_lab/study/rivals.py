"""Rival hypotheses about when crossmodal distillation helps, side by side on the same runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mmkd_lab import __version__
from mmkd_lab.base.check import require
from mmkd_lab.study.hypotheses import COMPONENTS, RIVALS, Run, cannot
from mmkd_lab.study.prediction import Prediction, predictions
from mmkd_lab.study.result import Study
from mmkd_lab.study.summary import COLUMNS


def rival_hypotheses(runs: Sequence[Run]) -> Study:
    """The rivals' numbers of every run, beside its gain, and how well each predicts it.

    Args:
        runs: `repair_teachers(...).runs`, of one dataset.

    Returns:
        a study of kind 'rivals'. The table has one row per run and rival (role 'teacher', the rival as
        metric) and one for the gain (role 'student', metric 'gain'), with the columns `ratio` (NaN where it
        does not apply), `loss` and `draw`. `provenance['prediction']` holds what
        `study.prediction.predictions` found, `provenance['left_out']` what could not be computed and why:
        non-target divergence of two classes, and whatever is about features for a teacher whose channels are
        all constant.

    Raises:
        LabError: no runs (a loaded study has none), or those of several datasets.
    """
    started = time.perf_counter()
    rule, way_out = "must hold at least one run", "Run repair_teachers; a study loaded from disk has no runs."
    require(len(runs) > 0, "runs", list(runs), rule, way_out)
    names = sorted({run.dataset for run in runs})
    require(len(names) == 1, "runs", names, "must be of one dataset")
    rows: list[tuple[object, ...]] = []
    left_out: dict[str, str] = {}
    for run in runs:
        ratio = float("nan") if run.ratio is None else run.ratio
        head, at = ("rivals", run.dataset, run.arm), (ratio, run.loss, run.draw)
        rows.append((*head, "student", run.seed, "test", "gain", run.gain, *at))
        for name, number in RIVALS.items():
            why = cannot(name, run)
            if why is None:
                rows.append((*head, "teacher", run.seed, run.split, name, number(run), *at))
            else:
                left_out[f"{name}, {run.arm}, {run.ratio}, {run.draw}, seed {run.seed}"] = why
    table = pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss", "draw"])
    found = predictions(table)
    return Study(
        name=f"rivals_{names[0]}".replace(" ", "_"),
        title=_title(found),
        table=table,
        verdict=_verdict(found, names[0]),
        kind="rivals",
        options={"loss": str(table["loss"].iloc[0])},
        provenance={
            "study": "rivals",
            "dataset": names[0],
            "prediction": [one.as_dict() for one in found],
            "left_out": left_out,
            "components": COMPONENTS,
            "seeds": sorted({run.seed for run in runs}),
            "versions": {"mmkd_lab": __version__, "numpy": np.__version__, "torch": torch.__version__},
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def _title(found: Sequence[Prediction]) -> str:
    sure = [one for one in found if one.within.excludes_zero]
    if not sure:
        return "No rival is shown to order the gains within a seed"
    best = max(sure, key=lambda one: abs(one.within.mean))
    return f"{best.rival.replace('_', ' ').capitalize()} orders the gains best within a seed ({best.loss})"


def _verdict(found: Sequence[Prediction], dataset: str) -> str:
    if not found:
        return f"On {dataset} nothing could be compared: gains or predictors do not vary."
    said = [f"{one.rival} {one.within.show(signed=True)} ({one.loss})" for one in found]
    seeds, runs = found[0].within.n, found[0].pooled.n
    return (
        f"On {dataset}, Spearman's correlation of each number with the gain within a seed, and its interval "
        f"over {seeds} seeds: {'; '.join(said)}. {runs} runs a loss; those of a seed share their control."
    )
