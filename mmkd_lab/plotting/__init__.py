"""Figures: a tidy table in, a `LabFigure` out. One figure a file, one palette for all."""

from mmkd_lab.plotting.arms import arms_figure
from mmkd_lab.plotting.canvas import LabFigure
from mmkd_lab.plotting.captions import captions_figure
from mmkd_lab.plotting.density import density_figure
from mmkd_lab.plotting.maps import maps_figure
from mmkd_lab.plotting.msd import msd_figure
from mmkd_lab.plotting.pairs import pairs_figure
from mmkd_lab.plotting.recovery import recovery_figure
from mmkd_lab.plotting.repair import repair_figure
from mmkd_lab.plotting.saliency import saliency_figure
from mmkd_lab.plotting.sharing import sharing_figure
from mmkd_lab.plotting.sweep import sweep_figure
from mmkd_lab.plotting.venn import venn_figure
from mmkd_lab.plotting.weights import sample_weights_figure, weights_figure

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
