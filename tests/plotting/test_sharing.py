"""What is drawn of shares by method."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting.palette import QUIET, SHARED
from mmkd_lab.plotting.sharing import shares_by_quantity, sharing_figure
from mmkd_lab.plotting.studies import METHODS
from tests.plotting.geometry import faults


def table(**methods):
    """{method: (alpha, beta, gamma, synergy)} as a study's table; None for what is undefined."""
    rows = []
    for arm, (alpha, beta, gamma, synergy) in methods.items():
        found = {"gamma_union": gamma, "alpha": alpha, "beta": beta, "synergy": synergy}
        for name, value in found.items():
            if value is None:
                continue
            rows.append((arm, 0, name, value))
            if name != "synergy":
                rows += [(arm, 0, f"{name} low", value - 0.05), (arm, 0, f"{name} high", value + 0.05)]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value"])


USUAL = table(canonical=(0.3, 0.2, 0.5, 0.1), information=(0.1, 0.1, 0.8, 0.0))


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_every_method_has_a_row_at_its_gamma():
    figure = sharing_figure(USUAL, method="canonical", names=("image", "speech"), n=1234)
    methods = figure.axes[2]
    dots = {line.get_color(): line.get_xdata()[0] for line in methods.lines if line.get_marker() == "o"}
    assert dots == {SHARED: 0.5, QUIET: 0.8}
    assert [text.get_text() for text in methods.get_yticklabels()] == [
        METHODS["canonical"],
        METHODS["information"],
    ]
    spans = [line.get_xdata() for line in methods.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(spans, [[0.45, 0.55], [0.75, 0.85]])
    assert any("only image" in text for text in words(figure.axes[0]))
    assert "1,234 samples" in figure._supxlabel.get_text()


def test_the_chosen_method_draws_the_diagram():
    shown = words(sharing_figure(USUAL, method="information").axes[0])
    assert any("80% [75, 85]" in text for text in shown)


def test_seeds_are_meaned_and_the_widest_ends_kept():
    two = pd.concat([USUAL, USUAL.assign(seed=1, value=USUAL["value"] + 0.02)])
    found = shares_by_quantity(two, "canonical")["gamma_union"]
    assert found == pytest.approx({"value": 0.51, "low": 0.45, "high": 0.57})
    assert np.isnan(shares_by_quantity(two, "canonical")["unobserved"]["value"])


def test_undefined_and_xor_say_so():
    nothing = table(canonical=(None, None, None, 1.0), count=(0.2, 0.2, 0.6, 0.9))
    figure = sharing_figure(nothing, method="canonical")
    assert any("undefined" in text for text in words(figure.axes[2]))
    for method in ("canonical", "count"):
        drawn = sharing_figure(nothing, method=method).axes[0]
        assert any("No diagram" in text for text in words(drawn))


def test_no_text_is_cut_off_or_on_top_of_another():
    every = table(**dict.fromkeys(METHODS, (0.2, 0.3, 0.5, 0.02)))
    long = ("facial action units", "audio statistics")
    figure = sharing_figure(every, method="count", names=long, title="t", layer="features")
    assert faults(figure) == []


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (USUAL.drop(columns="arm"), {}, "lacks the columns 'arm'"),
        (USUAL, {"method": "count"}, "method = 'count'"),
    ],
    ids=["column", "method"],
)
def test_wrong_tables_are_refused(given, asked, expected):
    with pytest.raises(LabError, match=expected):
        sharing_figure(given, **asked)
