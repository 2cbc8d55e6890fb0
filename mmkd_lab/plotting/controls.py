"""What a teacher was worth by what it could see: one line per kind of teacher over gamma.

Colour says what decides its prediction, the dash whether it also sees noise, so that two lines of one colour
that lie together say that the noise does not matter.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmkd_lab.core.check import one_of, require
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style, zero_line
from mmkd_lab.plotting.tables import Measure

#: teacher_sees -> colour and dash.
LOOKS = {
    "shared": (palette.SHARED, "-"),
    "shared + noise": (palette.SHARED, (0, (4, 2))),
    "shared + specific": (palette.ARMS["mm_kd"].colour, "-"),
    "specific": (palette.TEACHER, "-"),
    "specific + noise": (palette.TEACHER, (0, (4, 2))),
    "everything": (palette.INK, "-"),
    "everything, swapped": (palette.QUIET, (0, (1, 1.5))),
}


def controls_figure(
    table: pd.DataFrame, *, title: str | None = None, baseline: str = "everything", arm: str = "cm_kd"
) -> LabFigure:
    """Paired differences of the student from the one whose teacher sees `baseline`, with 95 % intervals.

    Args:
        table: tidy, with the columns `gamma` and `teacher_sees`.
        title: the finding.
        baseline: the teacher the others are compared with.
        arm: whose students.

    Raises:
        LabError: columns missing, a kind of teacher that is not known, an absent baseline, seeds that do not
            pair up.
    """
    measure = Measure("accuracy", "test")
    rule = "lacks the column 'teacher_sees'"
    require("teacher_sees" in table.columns, "table", list(table.columns), rule)
    part = table[(table["arm"] == arm) & (table["role"] == "student")]
    kinds = list(dict.fromkeys(part["teacher_sees"]))
    for kind in kinds:
        one_of("teacher_sees", kind, list(LOOKS))
    one_of("baseline", baseline, kinds)
    by = {}
    for kind in kinds:
        rows = tables.select(part[part["teacher_sees"] == kind], measure, sweep="gamma")
        by[kind] = rows.set_index(["gamma", "seed"])["value"].astype(float).sort_index()
    figure = LabFigure((8.4, 4.2))
    with style():
        ax = figure.subplots()
        for kind in (name for name in kinds if name != baseline):
            same = by[kind].index.equals(by[baseline].index)
            require(same, "seeds", kind, f"must have the seeds that {baseline!r} has")
            points = [
                (at, tables.interval(values)) for at, values in (by[kind] - by[baseline]).groupby("gamma")
            ]
            x, colour, dash = np.array([float(str(at)) for at, _ in points]), *LOOKS[kind]
            ax.plot(
                x, [seen.mean for _, seen in points], color=colour, linestyle=dash, label=kind, linewidth=1.8
            )
            if points[0][1].n > 1:
                ax.vlines(
                    x, [s.low for _, s in points], [s.high for _, s in points], color=colour, linewidth=2.4
                )
        zero_line(ax, vertical=False)
        ax.set_xlabel("γ, what both see")
        ax.set_ylabel(measure.difference)
        ax.set_title(f"Student minus the one whose teacher sees {baseline}")
        ax.legend(
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            title="the teacher sees",
            fontsize=NOTE_SIZE,
        )
        figure.headline(title or "What the teacher sees, and what it is worth")
        figure.note(f"Bars: 95 % intervals of the mean paired difference, {part['seed'].nunique()} seeds.")
    return figure
