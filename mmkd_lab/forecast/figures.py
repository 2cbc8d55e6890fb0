"""The picture of a forecast: what is expected of each arm."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmkd_lab.plotting import LabFigure
from mmkd_lab.plotting.intervals import Panel, Row, Values, interval_figure
from mmkd_lab.plotting.palette import style_of


def forecast_figure(table: pd.DataFrame, title: str) -> LabFigure:
    """Rows are arms; the bar is the interval of the gain."""
    rows, entries = [], {}
    for one in table.to_dict("records"):
        arm, (label, colour) = str(one["arm"]), style_of(str(one["arm"]))
        outside = "\nunlike the atlas" if one["outside"] else ""
        rows.append(Row(arm, f"{label}\np = {one['probability']:.2f}{outside}", colour))
        entries[arm] = Values(np.array([one["gain"]]), ends=(float(one["low"]), float(one["high"])))
    axis, sides = "expected gain over no KD (points)", ("worse", "better")
    panel = Panel("Forecast", axis, entries, line=0.0, sides=sides, digits=1, signed=True, least=2.0)
    note = "p: probability of beating no KD. Bars hold 80 % of the gains of data sets that were left out."
    return interval_figure(rows, [panel], title=title, note=note)
