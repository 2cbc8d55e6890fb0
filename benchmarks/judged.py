"""How well forecasts do on the atlas, data set by data set left out: the tables, and the calibration figure.

    python benchmarks/judged.py        draw benchmarks/results/forecast_calibration.png, and tell what a
                                       choice is worth that may take single numbers

The tables are among those of `tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmkd_lab.forecast import EVIDENCE, atlas
from mmkd_lab.forecast.judge import calibration, leave_set_out, scores, shown_rows
from mmkd_lab.forecast.model import CHOICES, chosen, fitted, left_out
from mmkd_lab.forecast.records import base_rate
from mmkd_lab.plotting import LabFigure
from mmkd_lab.plotting.axes import few_ticks, zero_line
from mmkd_lab.plotting.canvas import NOTE_SIZE, style
from mmkd_lab.plotting.palette import INK, NEUTRAL, QUIET, SHARED

PICTURE = Path(__file__).resolve().parent / "results" / "forecast_calibration.png"
ARMS = {"cm_kd": "crossmodal KD", "um_kd": "unimodal KD", "mm_kd": "multimodal KD"}
#: Evidence that is one half of something else, or tells sizes alone.
NO_RIVALS = ("log_samples", "log_width_teacher", "log_width_student", "log_classes")


@cache
def rows_of(arm: str) -> pd.DataFrame:
    """The atlas of one arm."""
    every = atlas()
    return every[every["arm"] == arm].reset_index(drop=True)


@cache
def single(name: str, arm: str = "cm_kd") -> pd.Series:
    """The probabilities of a logistic regression on one number, sets left out."""
    return pd.Series(left_out(rows_of(arm), (name,), 1.0).probability)


def line(called: str, said: np.ndarray, rows: pd.DataFrame) -> list[str]:
    """One forecast's cells."""
    found = scores(said, rows)
    right = f"{found['right'] * found['shown']:.0f} of {found['shown']:.0f} ({found['right']:.2f})"
    return [called, f"{found['brier']:.3f}", f"{found['brier_shown']:.3f}", f"{found['auc']:.2f}", right]


def nested(rows: pd.DataFrame, choices: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Probabilities of sets left out, each by what is chosen and fitted without its set."""
    said = np.empty(len(rows))
    for known, held in leave_set_out(rows["set"].tolist()):
        choice, strength = chosen(rows[known], choices)
        said[held] = fitted(rows[known], choices[choice], strength).probability(rows[held])
    return said


def with_singles() -> list[list[str]]:
    """Crossmodal KD, where single numbers may be chosen beside the sets of evidence, and they alone."""
    rows = rows_of("cm_kd")
    alone = {name: (name,) for name in EVIDENCE if name not in NO_RIVALS and rows[name].notna().any()}
    ways = {"single numbers, too": {**CHOICES, **alone}, "single numbers alone": alone}
    return [line(called, nested(rows, choices), rows) for called, choices in ways.items()]


HEAD = [
    "forecast",
    "Brier score, all pairs",
    "Brier score, sign shown",
    "AUC of the shown sign",
    "right where shown",
]


def rivals() -> tuple[list[str], list[list[str]]]:
    """Crossmodal KD: the forecast, the base rate, every choice of evidence, every single number."""
    rows = rows_of("cm_kd")
    lines = [line("**the forecast** (chosen within)", rows["foretold"].to_numpy(), rows)]
    lines.append(line("base rate", base_rate(rows), rows))
    for choice, names in CHOICES.items():
        lines.append(line(f"{choice} ({len(names)} numbers)", left_out(rows, names, 0.1).probability, rows))
    found = {
        name: single(name).to_numpy()
        for name in EVIDENCE
        if name not in NO_RIVALS and rows[name].notna().any()
    }
    order = sorted(found, key=lambda name: scores(found[name], rows)["brier_shown"])
    return HEAD, lines + [line(EVIDENCE[name], found[name], rows) for name in order]


def sets() -> tuple[list[str], list[list[str]]]:
    """Where forecasts of crossmodal KD are right: the forecast beside accuracy and pilot alone."""
    rows, lines = rows_of("cm_kd"), []
    shown = shown_rows(rows)
    said = {
        "the forecast": rows["foretold"].to_numpy(),
        "teacher's accuracy": single("teacher_accuracy").to_numpy(),
        "difference of accuracies": single("accuracy_difference").to_numpy(),
        "ridge pilot": single("pilot").to_numpy(),
    }
    groups = {one: (rows["set"] == one).to_numpy() for one in dict.fromkeys(rows["set"])}
    rising = rows["setting"].str.startswith("rising").to_numpy()
    groups["of gaussian: rising alpha"] = rising
    for called, mine in groups.items():
        part, sure = rows[mine], mine & shown
        cells = [called, str(mine.sum()), str(sure.sum()), f"{int((rows['gain'][sure] > 0).sum())}"]
        lines.append(cells + [_share(scores(one[mine], part)) for one in said.values()])
    return ["data set", "pairs", "sign shown", "of them gains", *(f"right: {name}" for name in said)], lines


def _share(found: dict[str, float]) -> str:
    return "–" if not found["shown"] else f"{found['right']:.2f}"


def arms() -> tuple[list[str], list[list[str]]]:
    """The forecast of every arm, beside its base rate."""
    lines = []
    for arm, label in ARMS.items():
        rows = rows_of(arm)
        lines.append(line(label, rows["foretold"].to_numpy(), rows))
        lines.append(line(f"{label}, base rate", base_rate(rows), rows))
    return HEAD, lines


def draw() -> LabFigure:
    """Left: the share of gains above zero over the probability; right: every gain over it."""
    rows = rows_of("cm_kd")
    said, up, gain = rows["foretold"].to_numpy(), rows["gain"].to_numpy() > 0, rows["gain"].to_numpy()
    shown, found = shown_rows(rows), scores(rows["foretold"].to_numpy(), rows)
    figure = LabFigure((8.4, 3.9))
    with style():
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        for part, colour, label, mark in (
            (np.ones(len(up), dtype=bool), NEUTRAL, "all pairs", "o"),
            (shown, SHARED, "sign shown", "s"),
        ):
            curve = calibration(said[part], up[part].astype(float))
            left.plot(curve["probability"], curve["share"], color=colour, marker=mark, label=label)
            for one in curve.itertuples():
                by = {"xytext": (6, -11) if mark == "o" else (-14, 6), "textcoords": "offset points"}
                left.annotate(str(one.n), (one.probability, one.share), fontsize=7.5, color=colour, **by)
        left.set(
            xlabel="probability foretold", ylabel="share above zero", xlim=(-0.03, 1.03), ylim=(-0.05, 1.05)
        )
        left.legend(frameon=False, fontsize=NOTE_SIZE, loc="upper left")
        left.set_title("Calibration")
        faint = {"facecolors": "none", "edgecolors": QUIET, "linewidths": 0.8}
        right.scatter(said[~shown], gain[~shown], s=16, **faint)
        right.scatter(said[shown], gain[shown], s=16, color=INK, linewidths=0)
        zero_line(right, vertical=False)
        right.axvline(0.5, color=QUIET, linewidth=0.8)
        right.set(xlabel="probability foretold", ylabel="gain over no KD (points)", xlim=(-0.03, 1.03))
        right.set_title("Filled: the sign is shown")
        few_ticks(left)
        few_ticks(right)
        hits = f"{found['right'] * found['shown']:.0f} of {found['shown']:.0f}"
        figure.headline(
            f"Forecasts of data sets left out: the sign is right in {hits} pairs where it is shown"
        )
        figure.note(
            f"Crossmodal KD, {len(rows)} pairs of {rows['set'].nunique()} data sets, each foretold by a "
            "model that had not seen its data set. Numbers beside the marks: pairs. A sign is shown where "
            "the 95 % interval over paired seeds leaves out zero."
        )
    return figure


if __name__ == "__main__":
    draw().save(PICTURE)
    print(PICTURE, chosen(rows_of("cm_kd")))
    print(*with_singles(), sep="\n")
