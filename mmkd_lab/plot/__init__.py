"""Figures: a tidy table in, a `LabFigure` out. One figure a file, one palette for all."""

from mmkd_lab.plot.arms import arms_figure
from mmkd_lab.plot.canvas import LabFigure
from mmkd_lab.plot.maps import maps_figure
from mmkd_lab.plot.pairs import pairs_figure
from mmkd_lab.plot.recovery import recovery_figure
from mmkd_lab.plot.repair import repair_figure
from mmkd_lab.plot.saliency import saliency_figure
from mmkd_lab.plot.sharing import sharing_figure
from mmkd_lab.plot.sweep import sweep_figure
from mmkd_lab.plot.venn import venn_figure

__all__ = [
    "LabFigure",
    "arms_figure",
    "maps_figure",
    "pairs_figure",
    "recovery_figure",
    "repair_figure",
    "saliency_figure",
    "sharing_figure",
    "sweep_figure",
    "venn_figure",
]
