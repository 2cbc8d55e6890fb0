"""What is said of a comparison, from tables whose differences are known."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments.claims import claim
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.study.msd import ARMS
from mmkd_lab.study.msd_words import claims, stands_for, title, verdict

VIEWS = ["a+b", "a", "b"]
NOISE = np.array([-0.1, 0.0, 0.1])


def table(full, missing, *, seeds=3):
    """Accuracies {arm: mean} with the full input and with one missing; KD is 70 and 50."""
    rows = []
    for view in VIEWS:
        for arm, gain in {"kd": 0.0, **(full if view == "a+b" else missing)}.items():
            for seed in range(seeds):
                jitter = 0.0 if arm == "kd" else NOISE[seed] * (1 + 0.1 * ARMS.index(arm))
                base = (70.0 if view == "a+b" else 50.0) + 3 * seed
                rows.append(("s", "d", arm, "student", seed, "test", "accuracy", base + gain + jitter, view))
    return pd.DataFrame(rows, columns=[*COLUMNS, "view"])


def both(**gains):
    return table(gains, gains)


def _said(**gains):
    return verdict(both(**gains), views=VIEWS, removal="zeros")


def _bare(said):
    return re.sub(r" \[[^]]*\]", "", said)


@pytest.mark.parametrize(
    ("gains", "unbeaten"),
    [
        ({"msd_uniform": 5, "kd_views": 2, "kd_drop": 1}, []),
        ({"msd_uniform": 5, "kd_views": 5, "kd_drop": 2}, ["kd_views"]),
        ({"msd_uniform": 5, "kd_drop": 9}, ["kd_drop"]),
        ({"msd_uniform": 5, "kd_drop": 5, "kd_views": 9}, ["kd_views", "kd_drop"]),
        ({"msd_uniform": 5}, []),
    ],
    ids=str,
)
def test_a_control_that_does_as_well_is_claimed_as_such(gains, unbeaten):
    found = [one for one in claims(both(**gains), views=VIEWS) if one.control != "kd"]
    assert [one.control for one in found] == [name for name in ("kd_views", "kd_drop") if name in gains]
    assert [one.control for one in found if one.side <= 0] == unbeaten


def test_full_and_missing_are_told_apart_and_missing_is_the_mean_over_views():
    found = table({"msd_uniform": 0.0, "kd_views": -2.0}, {"msd_uniform": 6.0, "kd_views": 6.0})
    full, missing = claims(found, views=VIEWS)[:2]
    assert (full.where, missing.where) == ("on the full input", "with a modality missing")
    assert (full.found.mean, missing.found.mean) == pytest.approx((0.0, 6.0))
    uneven = found.copy()
    uneven.loc[(uneven["view"] == "a") & (uneven["arm"] == "msd_uniform"), "value"] += 4.0
    assert claims(uneven, views=VIEWS)[1].found.mean == pytest.approx(8.0)
    shown = "d: MSD uniform beats KD with a modality missing (+8.0 ["
    assert title(uneven, views=VIEWS).startswith(shown)
    assert title(table({"msd_uniform": -3.0}, {"msd_uniform": 0.0}), views=VIEWS).startswith(
        "d: MSD uniform falls short of KD on the full input (−3.0 ["
    )


def test_the_verdict_is_one_sentence_with_shown_effects_first():
    said = _said(msd_uniform=5, kd_views=2, kd_drop=5, msd_instance=5)
    assert _bare(said) == (
        "On d (3 seeds, test accuracy, removal by zeros), in points: MSD uniform is better than KD (+5.0) on "
        "the full input, is better than KD (+5.0) and KD on all views (+3.0) with a modality missing and is "
        "not shown to differ from KD + modality drop (+0.00) with a modality missing; MSD by instance is not "
        "shown to differ from MSD uniform (+0.00) with a modality missing."
    )
    assert len(re.findall(r"\[[^]]*, [^]]*\]", said)) == 5


def test_a_gain_of_weights_is_held_against_their_controls():
    gain = {"msd_uniform": 5, "msd_instance": 8}
    assert "MSD shuffled weights (+0.0" in _said(**gain, msd_shuffled=8)
    assert "MSD shuffled weights is better than KD (+9.0" in _said(**gain, msd_shuffled=9)
    assert "is better than MSD wrong weights (+7.0" in _said(**gain, msd_shuffled=8, msd_wrong=1)
    assert "shuffled" not in _said(msd_uniform=5, msd_instance=5, msd_shuffled=4)


def test_one_seed_concludes_nothing():
    one = table({"msd_uniform": 5}, {"msd_uniform": 5}, seeds=1)
    said = verdict(one, views=VIEWS, removal="mean")
    assert said.endswith("no conclusion, since one seed has no interval.")
    assert "nan" not in said
    assert title(one, views=VIEWS) == "d: arms compared"


def test_two_seeds_or_equal_differences_show_nothing():
    two = table({"msd_uniform": 50}, {"msd_uniform": 50}, seeds=2)
    assert "better" not in verdict(two, views=VIEWS, removal="mean")
    equal = both(kd_drop=0)
    part = equal[equal["arm"] == "kd"].assign(arm="msd_uniform")
    same = pd.concat([equal, part.assign(value=part["value"] + 1)])
    assert "from KD (+1.0, the same in all 3)" in verdict(same, views=VIEWS, removal="mean")
    assert "from KD (+49.9 [49.0, 50.8], of 2 only)" in verdict(two, views=VIEWS, removal="mean")
    assert "beats" not in title(same, views=VIEWS)


def test_without_msd_nothing_is_said_of_it():
    found = both(no_kd=-1)
    assert stands_for(found) is None
    assert claims(found, views=VIEWS) == []
    assert "no MSD arm was trained" in verdict(found, views=VIEWS, removal="zeros")


def test_the_weighing_arm_is_not_the_plain_one():
    assert stands_for(both(msd_instance=1)) == ("msd_instance", None)
    assert stands_for(both(msd_instance=1, msd_uniform=1)) == ("msd_uniform", "msd_instance")
    assert stands_for(both(msd_global=1, msd_uniform=1)) == ("msd_uniform", "msd_global")


def test_differences_need_the_same_seeds_known_arms_and_known_views():
    found = both(msd_uniform=1)
    lacking = found[~((found["arm"] == "kd") & (found["seed"] == 2))]
    with pytest.raises(LabError, match=r"\[0, 1, 2\] for 'msd_uniform' and \[0, 1\] for 'kd'"):
        claim(lacking, "msd_uniform", "kd", at={"view": VIEWS[:1]})
    with pytest.raises(LabError, match="arm = 'sp'"):
        claim(found, "sp", "kd", at={"view": VIEWS})
    with pytest.raises(LabError, match="view = 'c'"):
        claim(found, "msd_uniform", "kd", at={"view": ["c"]})
