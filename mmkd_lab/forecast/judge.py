"""How good forecasts are: Brier score, area under the curve, calibration; whole data sets are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from mmkd_lab.core.check import require

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: Edges of the bins of a calibration curve.
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def leave_set_out(sets: Sequence[str]) -> Iterator[tuple[Bools, Bools]]:
    """(rows to learn from, rows left out) for each data set. Raises `LabError` for fewer than two sets."""
    names = np.asarray(sets, dtype=object)
    known = list(dict.fromkeys(names.tolist()))
    require(len(known) > 1, "sets", known, "must be at least two data sets, one of which is left out")
    for one in known:
        held = np.asarray(names == one, dtype=bool)
        yield ~held, held


def brier(probability: Floats, truth: Floats, weight: Floats | None = None) -> float:
    """The mean squared difference of a probability and what came of it, 0 or 1 (Brier 1950)."""
    return float(np.average((probability - truth) ** 2, weights=weight))


def area(score: Floats, truth: Bools) -> float:
    """The chance that a true one has the larger score than one that is not, ties counting half; NaN without
    both kinds."""
    gap = score[truth][:, None] - score[~truth][None, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean()) if gap.size else float("nan")


def right(probability: Floats, truth: Bools) -> float:
    """The share of pairs on the right side of one half; exactly one half counts half."""
    side = np.sign(probability - 0.5) * np.where(truth, 1.0, -1.0)
    return float(np.mean((side > 0) + 0.5 * (side == 0))) if len(truth) else float("nan")


def calibration(probability: Floats, truth: Floats, edges: Sequence[float] = EDGES) -> pd.DataFrame:
    """One row a bin that is not empty: from, to, the mean probability, the share that came true, n."""
    place = np.clip(np.digitize(probability, edges[1:-1]), 0, len(edges) - 2)
    rows = [
        {
            "from": edges[k],
            "to": edges[k + 1],
            "probability": float(probability[place == k].mean()),
            "share": float(truth[place == k].mean()),
            "n": int((place == k).sum()),
        }
        for k in range(len(edges) - 1)
        if (place == k).any()
    ]
    return pd.DataFrame(rows, columns=["from", "to", "probability", "share", "n"])


def scores(probability: Floats, gain: pd.DataFrame) -> dict[str, float]:
    """What a forecast is worth on rows with the columns gain, low, high: see the functions of this file.

    The sign of a gain is shown where its interval leaves out zero; only there is a forecast right or wrong.
    """
    up = gain["gain"].to_numpy() > 0
    shown = shown_rows(gain)
    return {
        "brier": brier(probability, up.astype(float)),
        "brier_shown": brier(probability[shown], up[shown].astype(float)) if shown.any() else float("nan"),
        "auc": area(probability[shown], up[shown]),
        "right": right(probability[shown], up[shown]),
        "n": float(len(up)),
        "shown": float(shown.sum()),
    }


def shown_rows(gain: pd.DataFrame) -> Bools:
    """(n,) whether the interval of the gain leaves out zero."""
    low, high = gain["low"].to_numpy(), gain["high"].to_numpy()
    return np.asarray((high - low > 1e-9) & ((low > 0) | (high < 0)), dtype=bool)
