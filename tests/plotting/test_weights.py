"""Densities of outputs, and the weights of MSD's terms over time and samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting.density import GRID, density, density_figure
from mmkd_lab.plotting.weights import sample_weights_figure, weights_figure
from tests.plotting.geometry import faults

VIEWS = ["a+b", "a", "b"]


@pytest.mark.parametrize(
    "values", [[0.0], [1.0], [0.5], [0.0, 0.01, 0.99], list(np.linspace(0, 1, 50))], ids=str
)
def test_a_density_has_the_integral_one_also_at_the_ends(values):
    assert np.trapezoid(density(np.array(values)), GRID) == pytest.approx(1.0, abs=2e-3)


def test_a_density_peaks_where_the_numbers_are_and_mirrors():
    found = density(np.array([0.30025] * 9))
    assert GRID[found.argmax()] == pytest.approx(0.3, abs=0.006)
    np.testing.assert_allclose(density(np.array([0.69975] * 9)), found[::-1], atol=1e-9)


def test_what_is_no_probability_is_refused():
    for bad in ([], [1.2], [-0.1], [np.nan]):
        with pytest.raises(LabError, match="values"):
            density(np.array(bad))


def scores():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [(arm, view, x) for arm in ("teacher", "kd") for view in VIEWS for x in rng.random(30)],
        columns=["arm", "view", "score"],
    )


def test_one_panel_per_network_with_a_named_curve_per_view():
    figure = density_figure(scores(), arms=["kd", "teacher"])
    assert faults(figure) == []
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["KD", "teacher"]
    for ax in figure.axes:
        assert [text.get_text() for text in ax.texts] == ["full input", "a only", "b only"]
        assert [text.get_color() for text in ax.texts] == [line.get_color() for line in ax.lines]
        assert len({line.get_color() for line in ax.lines}) == 3
    curve = figure.axes[0].lines[1].get_ydata()
    mine = scores().query("arm == 'kd' and view == 'a'")["score"].to_numpy()
    np.testing.assert_allclose(curve, density(mine))
    with pytest.raises(LabError, match="arm = 'sp'"):
        density_figure(scores(), arms=["sp"])
    with pytest.raises(LabError, match="lacks the columns 'score'"):
        density_figure(scores().drop(columns="score"))


def test_learned_weights_are_drawn_with_their_mean_and_named_at_the_end():
    rows = [
        ("msd_global", seed, step, view, 1 + sign * (0.1 * step + 0.01 * seed))
        for seed in range(3)
        for step in range(4)
        for view, sign in (("a", 1), ("b", -1))
    ]
    (ax,) = weights_figure(pd.DataFrame(rows, columns=["arm", "seed", "step", "view", "value"])).axes
    bold = [line for line in ax.lines if line.get_linewidth() > 2]
    np.testing.assert_allclose(bold[0].get_ydata(), [1.01, 1.11, 1.21, 1.31])
    np.testing.assert_allclose(bold[1].get_ydata(), [0.99, 0.89, 0.79, 0.69])
    assert [text.get_text() for text in ax.texts] == ["a only", "b only"]
    with pytest.raises(LabError, match="no rows"):
        weights_figure(pd.DataFrame(columns=["arm", "seed", "step", "view", "value"]))


def test_weights_of_samples_are_spread_by_a_fact_and_the_bars_of_a_row_are_its_shares():
    kinds = np.repeat([0, 1], 50)
    found = pd.DataFrame(
        {"arm": "msd_instance", "view": "a", "value": np.where(kinds == 0, 0.5, 1.5), "evidence": kinds}
    )
    figure = sample_weights_figure(found, view="a", by="evidence", names=["image", "text"])
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["image", "text"]
    assert [text.get_text() for text in ax.texts] == ["mean 0.50", "mean 1.50"]
    tall = [bar for bar in ax.patches if abs(bar.get_height()) > 0]
    assert len(tall) == 2
    assert all(
        bar.get_x() <= mean <= bar.get_x() + bar.get_width()
        for bar, mean in zip(tall, (0.5, 1.5), strict=True)
    )
    with pytest.raises(LabError, match="view = 'c'"):
        sample_weights_figure(found, view="c")
    with pytest.raises(LabError, match="lacks the columns 'kind'"):
        sample_weights_figure(found, view="a", by="kind")
    with pytest.raises(LabError, match="lacks the columns 'arm'"):
        sample_weights_figure(found.drop(columns="arm"), view="a")


def test_weights_of_samples_are_drawn_of_one_arm_by_default_of_msd_instance():
    def of(arm, value):
        return pd.DataFrame({"arm": arm, "view": ["a", "b"] * 20, "value": value})

    both = pd.concat([of("msd_instance", 0.5), of("msd_learned", 1.5)])
    alone = sample_weights_figure(of("msd_instance", 0.5), view="a")
    assert sample_weights_figure(both, view="a").png(dpi=30) == alone.png(dpi=30)
    learned = sample_weights_figure(both, view="a", arm="msd_learned")
    assert [text.get_text() for text in learned.axes[0].texts] == ["mean 1.50"]
    assert "MSD learned by instance" in learned.get_suptitle().replace("\n", " ")
    with pytest.raises(LabError, match="arm = 'msd_instance': must be one of 'msd_learned'"):
        sample_weights_figure(of("msd_learned", 1.5), view="a")
