"""The figures of a comparison: arms by view, densities, weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmkd_lab.core.check import LabError
from mmkd_lab.distill.arms import MSD_ARMS
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.density import GRID, density, density_figure, view_name
from mmkd_lab.plotting.msd import msd_figure
from mmkd_lab.plotting.tables import COLUMNS
from mmkd_lab.plotting.weights import sample_weights_figure, weights_figure

VIEWS = ["a+b", "a", "b"]


def table(arms=("no_kd", "kd", "msd_uniform"), seeds=3, metric="accuracy"):
    """The arm's place times ten, plus its view's place, plus the seed; the teacher is 90."""
    rows = []
    for v, view in enumerate(VIEWS):
        for seed in range(seeds):
            for place, arm in enumerate(arms):
                rows.append(("s", "d", arm, "student", seed, "test", metric, 10.0 * place + v + seed, view))
            rows.append(("s", "d", "teacher", "teacher", seed, "test", metric, 90.0 + 2 * seed, view))
    return pd.DataFrame(rows, columns=[*COLUMNS, "view"])


def marks(ax, kind):
    return [line for line in ax.lines if line.get_marker() == kind]


def test_marks_stand_at_the_paired_difference_from_kd_in_every_view():
    figure = msd_figure(table())
    assert [ax.get_title(loc="left").split("\n")[0] for ax in figure.axes] == [
        "full input",
        "a only",
        "b only",
    ]
    for v, ax in enumerate(figure.axes):
        dots = {float(line.get_ydata()[0]): float(line.get_xdata()[0]) for line in marks(ax, "o")}
        assert dots == pytest.approx({1.0: -10.0, 3.0: 10.0})  # no KD and MSD; row 0 is the teacher, row 2 KD
        (teacher,) = marks(ax, "D")
        assert teacher.get_xdata()[0] == pytest.approx(92 - (11 + v))
        assert f"KD {11.0 + v:.1f} %" in ax.get_title(loc="left")


def test_every_row_is_named_in_its_colour_once():
    figure = msd_figure(table(arms=tuple(MSD_ARMS)))
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["teacher", *(arm.label for arm in MSD_ARMS.values())]
    colours = [to_hex(text.get_color()).upper() for text in figure.axes[0].get_yticklabels()]
    assert colours == [palette.look(arm).colour for arm in ("teacher", *MSD_ARMS)]


def test_every_arm_has_the_label_and_the_order_that_it_has_in_the_registry():
    assert list(palette.MSD) == ["teacher", *MSD_ARMS]
    assert [palette.MSD[name].label for name in MSD_ARMS] == [arm.label for arm in MSD_ARMS.values()]


def test_a_number_is_bold_only_when_its_interval_excludes_zero():
    found = table()
    unsure = (found["arm"] == "no_kd") & (found["view"] == "a+b")
    found.loc[unsure, "value"] = 11.0 + np.array([30.0, -30.0, 0.1])
    sure = (found["arm"] == "msd_uniform") & (found["view"] == "a+b")
    found.loc[sure, "value"] += np.array([0.1, -0.1, 0.0])
    texts = {t.get_text(): t.get_fontweight() for t in msd_figure(found).axes[0].texts}
    assert texts["+10.0"] == "bold"
    assert texts["+0.0"] == "normal"


def test_less_divergence_is_better_and_less_accuracy_is_not():
    for metric, left in (("js", "better"), ("accuracy", "worse"), ("ece", "better"), ("agreement", "worse")):
        words = {
            t.get_text(): t.get_ha() for t in msd_figure(table(metric=metric), metric=metric).axes[0].texts
        }
        assert words[left] == "right"  # it ends at the zero line, and so lies left of it


def test_views_can_be_chosen_and_must_exist():
    assert len(msd_figure(table(), views=["a+b", "b"]).axes) == 2
    with pytest.raises(LabError, match="view = 'c'"):
        msd_figure(table(), views=["c"])
    with pytest.raises(LabError, match="lacks the column 'view'"):
        msd_figure(table().drop(columns="view"))
    with pytest.raises(LabError, match=r"reference = 'dkd'"):
        msd_figure(table(), reference="dkd")
    lacking = table()
    with pytest.raises(LabError, match="same seeds"):
        msd_figure(lacking[~((lacking["arm"] == "kd") & (lacking["seed"] == 1))])


def test_views_that_keep_several_modalities_are_named_by_what_they_lack():
    found = table()
    names = {"a+b": "a+b+c", "a": "a", "b": "b+c"}
    found["view"] = found["view"].map(names)
    figure = msd_figure(found)
    headings = [ax.get_title(loc="left").split("\n")[0] for ax in figure.axes]
    assert headings == ["full input", "a only", "without a"]
    assert view_name("a+b", "a+b+c+d") == "a + b only"
    seen = scores().replace({"view": names})
    assert [text.get_text() for text in density_figure(seen).axes[0].texts] == headings
    rows = [("msd_global", 0, step, view, 1.0) for step in range(3) for view in ("a+b", "a+c", "b+c")]
    (ax,) = weights_figure(pd.DataFrame(rows, columns=["arm", "seed", "step", "view", "value"])).axes
    assert [text.get_text() for text in ax.texts] == ["without c", "without b", "without a"]


def test_the_note_says_how_many_intervals_are_not_corrected():
    assert "the 9 intervals are not corrected" in msd_figure(table()).get_supxlabel().replace("\n", " ")
    assert "corrected" not in msd_figure(table(seeds=1)).get_supxlabel()


# Densities


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
    with pytest.raises(LabError, match="lacks the column 'score'"):
        density_figure(scores().drop(columns="score"))


# Weights


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
    with pytest.raises(LabError, match="lacks the column 'kind'"):
        sample_weights_figure(found, view="a", by="kind")
    with pytest.raises(LabError, match="lacks the column 'arm'"):
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
