"""Figures: a tidy table in, a `LabFigure` out. One figure a file, one palette for all."""

from mmkd_lab.plot.arms import arms_figure
from mmkd_lab.plot.canvas import LabFigure
from mmkd_lab.plot.density import density_figure
from mmkd_lab.plot.maps import maps_figure
from mmkd_lab.plot.msd import msd_figure
from mmkd_lab.plot.pairs import pairs_figure
from mmkd_lab.plot.sweep import sweep_figure
from mmkd_lab.plot.venn import venn_figure
from mmkd_lab.plot.weights import sample_weights_figure, weights_figure

__all__ = [
    "LabFigure",
    "arms_figure",
    "density_figure",
    "maps_figure",
    "msd_figure",
    "pairs_figure",
    "sample_weights_figure",
    "sweep_figure",
    "venn_figure",
    "weights_figure",
]
