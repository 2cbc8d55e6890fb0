"""Figures: a tidy table in, a `LabFigure` out. Yours enter by `register_figure`, as the lab's do."""

from mmkd_lab.plotting.attribution import maps_figure, saliency_figure
from mmkd_lab.plotting.canvas import LabFigure
from mmkd_lab.plotting.diagnosis import diagnosis_figure
from mmkd_lab.plotting.figures import FIGURES, register_figure
from mmkd_lab.plotting.intervals import REFERENCE, Panel, Row, Values, interval_figure
from mmkd_lab.plotting.pairs import pairs_figure
from mmkd_lab.plotting.palette import style_of
from mmkd_lab.plotting.report import ReportSection, write_report
from mmkd_lab.plotting.scenes import scenes_figure
from mmkd_lab.plotting.sharing import sharing_figure
from mmkd_lab.plotting.studies import (
    arms_figure,
    controls_figure,
    msd_figure,
    recovery_figure,
    repair_figure,
    rivals_figure,
)
from mmkd_lab.plotting.sweep import sweep_figure
from mmkd_lab.plotting.venn import venn_figure
from mmkd_lab.plotting.views import density_figure, sample_weights_figure, weights_figure

__all__ = [
    "FIGURES",
    "REFERENCE",
    "LabFigure",
    "Panel",
    "ReportSection",
    "Row",
    "Values",
    "arms_figure",
    "controls_figure",
    "density_figure",
    "diagnosis_figure",
    "interval_figure",
    "maps_figure",
    "msd_figure",
    "pairs_figure",
    "recovery_figure",
    "register_figure",
    "repair_figure",
    "rivals_figure",
    "saliency_figure",
    "sample_weights_figure",
    "scenes_figure",
    "sharing_figure",
    "style_of",
    "sweep_figure",
    "venn_figure",
    "weights_figure",
    "write_report",
]
