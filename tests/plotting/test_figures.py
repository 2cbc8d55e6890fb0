"""Figures by name: the lab's own, and a user's through the same door."""

from __future__ import annotations

import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import Study
from mmkd_lab.plotting import FIGURES, LabFigure, register_figure
from tests.plotting.tables import arms_table


def test_the_kinds_of_the_studies_are_registered():
    assert set(FIGURES) >= {"arms", "sweep", "controls", "repair", "rivals", "msd", "sharing", "recovery"}


def test_a_figure_of_ones_own_is_drawn_by_a_study_of_its_kind():
    def mine(table, *, title, size):
        figure = LabFigure((size, size))
        figure.headline(f"{title}: {len(table)} rows")
        return figure

    register_figure("mine")(mine)
    register_figure("mine")(mine)  # a notebook cell run twice
    try:
        study = Study("s", "my title", arms_table(), "It is so.", kind="mine", options={"size": 3.0})
        assert study.plot().get_suptitle() == "my title: 45 rows"
        with pytest.raises(LabError, match="figure = 'arms': is a name of the lab's own"):
            register_figure("arms")(mine)
    finally:
        FIGURES.forget("mine")
    with pytest.raises(LabError, match="kind = 'mine'"):
        Study("s", "t", arms_table(), "It is so.", kind="mine")
