"""Figures: a tidy table in, a `LabFigure` out. One figure a file, one palette for all."""

from mmkd_lab.plot.arms import arms_figure
from mmkd_lab.plot.canvas import LabFigure
from mmkd_lab.plot.captions import captions_figure
from mmkd_lab.plot.density import density_figure
from mmkd_lab.plot.maps import maps_figure
from mmkd_lab.plot.msd import msd_figure
from mmkd_lab.plot.pairs import pairs_figure
from mmkd_lab.plot.recovery import recovery_figure
from mmkd_lab.plot.repair import repair_figure
from mmkd_lab.plot.saliency import saliency_figure
from mmkd_lab.plot.sharing import sharing_figure
from mmkd_lab.plot.sweep import sweep_figure
from mmkd_lab.plot.venn import venn_figure
from mmkd_lab.plot.weights import sample_weights_figure, weights_figure

__all__ = [
    "LabFigure",
    "arms_figure",
    "captions_figure",
    "density_figure",
    "maps_figure",
    "msd_figure",
    "pairs_figure",
    "recovery_figure",
    "repair_figure",
    "saliency_figure",
    "sample_weights_figure",
    "sharing_figure",
    "sweep_figure",
    "venn_figure",
    "weights_figure",
]
