"""Figures 2 and 3 as studies: the tidy table, the sentence, the figure, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import paired_interval
from mmkd_lab.data.datasets.gaussian import FIGURE2, World
from mmkd_lab.study.worlds import figure2, figure3, sweep
from mmkd_lab.training.descent import WorldsRecipe

COLUMNS = ["study", "dataset", "arm", "role", "seed", "split", "metric", "value", "gamma", "alpha"]


@pytest.fixture(scope="module")
def second():
    return figure2()


@pytest.fixture(scope="module")
def third():
    return figure3()


def values(study, arm, role, at, x="gamma"):
    table = study.table
    here = (table.arm == arm) & (table.role == role) & (table.split == "test") & np.isclose(table[x], at)
    return table[here].sort_values("seed")["value"].to_numpy()


def test_the_table_has_one_row_per_network_and_split(second):
    assert list(second.table.columns) == COLUMNS
    assert len(second.table) == 6 * 10 * 3 * 2
    assert set(second.table["metric"]) == {"accuracy"}
    assert second.table["value"].between(0, 100).all()
    assert second.provenance["networks"] == {"asked": 180, "trained": 130}


def test_the_verdict_holds_the_numbers_of_the_table(second):
    low, high = (
        values(second, "cm_kd", "student", g) - values(second, "no_kd", "student", g) for g in (0, 1)
    )
    assert paired_interval(high, low).show(signed=True) in second.verdict
    for gain in (low, high):
        assert f"{gain.mean():+.2f}".replace("-", "−") in second.verdict
    assert "10 paired seeds" in second.verdict
    assert "70.38 to 73.38 %" in second.verdict
    assert "changes by +3.2" in second.verdict
    assert second.title == "Crossmodal KD is worth more as gamma rises"


def test_figure_3_says_the_opposite_of_its_teacher(third):
    assert "58.45 to 90.53 %" in third.verdict
    assert "changes by −1.2" in third.verdict
    assert third.title == "Crossmodal KD is worth less as alpha rises"
    assert third.plot().get_size_inches()[0] > 0


def test_published_curves_are_drawn_only_beside_published_settings(second):
    assert set(second.options["published"]) == {"teacher", "no_kd", "cm_kd"}
    assert "published" not in figure2(range(2), convention="kl").options
    assert "published" not in figure2(range(2), n_train=100).options
    assert "published" not in figure3(range(2), recipe=WorldsRecipe(steps=10)).options


def test_nothing_is_claimed_when_the_interval_contains_zero():
    study = sweep([World(6, 4, 4), World(7, 3, 3, hidden=7)], range(3), recipe=WorldsRecipe(steps=20))
    assert "is not shown to change" in study.verdict
    assert "not shown" in study.title


def test_the_arm_whose_worth_changes_most_comes_first():
    study = figure2(range(4), arms=("no_kd", "cm_kd", "kl_only"))
    assert study.title == "Crossmodal KL only is worth more as gamma rises"
    assert "and the teacher of crossmodal KD from" in study.verdict
    changes = re.findall(r"changes by ([+−][\d.]+)", study.verdict)
    assert len(changes) == 2
    assert float(changes[0]) > float(changes[1]) > 0


def test_one_seed_has_no_interval():
    study = figure2([0])
    assert "(n = 1)" in study.verdict
    assert "1 paired seed," in study.verdict


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: figure2(seeds=[]), "seeds = []: must name at least one seed"),
        (lambda: figure2(seeds="0"), "seeds = '0': must be a sequence"),
        (lambda: figure2([0], convention="mean"), "convention = 'mean': must be one of"),
        (lambda: figure2([0], arms=("cm_kd",)), "arms = ['cm_kd']: must hold 'no_kd'"),
        (
            lambda: figure2([0], arms=("no_kd",)),
            "arms = ['no_kd']: must hold 'no_kd' and an arm with a teacher",
        ),
        (lambda: figure2([0], n_train=0), "n_train = 0: must be at least 1"),
        (lambda: figure3([0], device="cuda:99"), "device = 'cuda:99': "),
        (lambda: sweep(None, [0]), "specs = None"),
        (lambda: sweep(FIGURE2, [0], recipe=0), "recipe = 0"),  # nothing false stands for the default
        (lambda: sweep(FIGURE2, [0], published=[1.0]), "published = [1.0]"),
        (lambda: sweep(FIGURE2, [0], published={"no_kd": [1.0]}), "published['no_kd'] = [1.0]"),
        (lambda: figure2(range(10**5), n_train=10**6), "specs and seeds = '6 and 100000'"),
        (lambda: sweep(FIGURE2, [0], x="beta"), "x = 'beta': must be one of 'gamma' or 'alpha'"),
        (lambda: sweep([FIGURE2[0]], [0]), "specs = [0.0]: must hold at least two worlds"),
        (lambda: sweep([FIGURE2[0], FIGURE2[0]], [0]), "specs = [0.0, 0.0]: must hold at least two worlds"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(LabError, match=re.escape(message)):
        build()
