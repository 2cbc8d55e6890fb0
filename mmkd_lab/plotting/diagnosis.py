"""A diagnosis at a glance: what each modality tells, who is right where, what pilots gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import require
from mmkd_lab.plotting import tables
from mmkd_lab.plotting.canvas import AXIS_SIZE, NOTE_SIZE, LabFigure, fit, style
from mmkd_lab.plotting.figures import register_figure
from mmkd_lab.plotting.intervals import Panel, Row, Values, draw_panel
from mmkd_lab.plotting.palette import ALL, INK, NEUTRAL, QUIET, SHARED, STUDENT, TEACHER

#: Of a section: the panel's title, its axis, the metric (None: the study's), and what is left out.
_PANELS = (
    ("tells", "What each tells", "%", None),
    ("agree", "Who is right", "% of samples", "share"),
    ("curve", "What pilots gain", "points", "gain"),
    ("fit", "What networks reach", "%", None),
)
_COLOURS = {
    "both right": SHARED,
    "teacher alone right": TEACHER,
    "student alone right": STUDENT,
    "neither right": QUIET,
    "this teacher": TEACHER,
    "a teacher of all modalities": ALL,
    "twice the samples": INK,
}
_HIDDEN = ("network of all, one left", "RBF SVM", "an RBF SVM")
_SHORT = {"logistic regression": "linear", "network of all": "network"}


@register_figure("diagnosis")
def diagnosis_figure(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    metric: str = "accuracy",
    names: Sequence[str] = ("a", "b"),
) -> LabFigure:
    """Up to three panels, of the sections that the table has.

    Args:
        table: of a diagnosis; a row a seed, or one with `low` and `high`.
        title: the finding.
        metric: what 'tells' is measured in.
        names: the teacher's modality and the student's.

    Raises `LabError`: columns that the table lacks, or none of the sections.
    """
    tables.has_columns(table, ("section", "arm", "role", "metric", "value", "low", "high"))
    colours = {**_COLOURS, names[0]: TEACHER, names[1]: STUDENT, "teacher": TEACHER}
    found = [one for one in _PANELS if len(_part(table, one[0], one[3] or metric))][:3]
    require(len(found) > 0, "table", sorted(set(table["section"])), "must have a section that is drawn")
    panels = [_entries(_part(table, section, what or metric)) for section, _, _, what in found]
    most = max(len(entries) for entries in panels)
    figure = LabFigure((max(5.0, 4.1 * len(found)), 1.7 + 0.42 * most))
    with style():
        axes = figure.subplots(1, len(found), squeeze=False)[0]
        for ax, (_, head, axis, what), entries in zip(axes, found, panels, strict=True):
            rows = [Row(key, key, colours.get(key.split("\n")[0], NEUTRAL)) for key in entries]
            look: Any = {"line": 0.0, "signed": True, "least": 1.0} if what == "gain" else {}
            labels = [fit(row.label, 1.5, AXIS_SIZE - 0.5) for row in rows]
            draw_panel(ax, rows, Panel("", axis, entries, digits=1, **look), names=labels, inches=1.6)
            ax.set_title(head)
            ax.set_xlabel(axis, fontsize=NOTE_SIZE)
        figure.headline(title or f"{table['dataset'].iloc[0]}: a diagnosis")
        split = " and ".join(dict.fromkeys(table["split"]))
        figure.note(
            f"{split} samples. Lines: 95 % intervals, over seeds where there are dots beside the mark."
        )
    return figure


def _part(table: pd.DataFrame, section: str, metric: str) -> pd.DataFrame:
    part = table[(table["section"] == section) & (table["metric"] == metric)]
    hidden = part["role"].isin(_HIDDEN) | part["arm"].str.contains(" minus ")
    part = part[~hidden]
    if section == "curve":  # on all training samples
        part = part[part["role"] == part.iloc[-1]["role"]] if len(part) else part
    return part


def _entries(part: pd.DataFrame) -> dict[str, Values | str]:
    found: dict[str, Values | str] = {}
    for (arm, role), rows in part.groupby(["arm", "role"], sort=False):
        values, first = rows["value"].to_numpy(dtype=float), rows.iloc[0]
        several = len(set(part.loc[part["arm"] == arm, "role"])) > 1
        key = f"{arm}\n{_SHORT.get(str(role), role)}" if several else str(arm)
        own = len(rows) == 1 and not np.isnan(first["low"])
        ends = (float(first["low"]), float(first["high"])) if own else None
        found[key] = Values(values, ends=ends, hollow=role == "teacher")
    return found
