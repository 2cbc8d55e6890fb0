"""What is said of a comparison, from tables whose differences are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.base.check import LabError
from mmkd_lab.study.msd_verdict import headline, paired, regions, sentence, title
from mmkd_lab.study.summary import COLUMNS

VIEWS = ["a+b", "a", "b"]
NOISE = np.array([-0.1, 0.0, 0.1])


def table(full, missing, *, seeds=3):
    """Accuracies {arm: mean} with the full input and with one missing; KD is 70 and 50."""
    rows = []
    for view in VIEWS:
        for arm, gain in {"kd": 0.0, **(full if view == "a+b" else missing)}.items():
            for seed in range(seeds):
                jitter = 0.0 if arm == "kd" else NOISE[seed] * (1 + len(arm) % 3)
                base = (70.0 if view == "a+b" else 50.0) + 3 * seed
                rows.append(("s", "d", arm, "student", seed, "test", "accuracy", base + gain + jitter, view))
    return pd.DataFrame(rows, columns=[*COLUMNS, "view"])


def both(**gains):
    return table(gains, gains)


@pytest.mark.parametrize(
    ("gains", "terms", "weights"),
    [
        ({"msd_uniform": 5, "kd_drop": 2}, "more", ""),
        ({"msd_uniform": 5, "kd_drop": 5}, "augmentation", ""),
        ({"msd_uniform": 5, "kd_drop": 9}, "augmentation", ""),
        ({"msd_uniform": 5}, "better", ""),
        ({"msd_uniform": 0, "kd_drop": -5}, "none", ""),
        ({"msd_uniform": -5, "kd_drop": -9}, "worse", ""),
        ({"msd_uniform": 5, "kd_drop": 2, "msd_instance": 8}, "more", "help"),
        (
            {"msd_uniform": 5, "kd_drop": 2, "msd_instance": 8, "msd_shuffled": 5, "msd_wrong": 1},
            "more",
            "help",
        ),
        ({"msd_uniform": 5, "kd_drop": 2, "msd_instance": 8, "msd_shuffled": 8}, "more", "explained"),
        ({"msd_uniform": 5, "kd_drop": 2, "msd_instance": 5, "msd_shuffled": 1}, "more", "none"),
        ({"msd_uniform": 5, "kd_drop": 2, "msd_instance": 1, "msd_shuffled": 0}, "more", "hurt"),
    ],
    ids=str,
)
def test_the_controls_decide_what_is_to_be_thought(gains, terms, weights):
    for region in regions(both(**gains), views=VIEWS):
        assert (region.terms, region.weights) == (terms, weights)


def test_full_and_missing_are_told_apart_and_missing_is_the_mean_over_views():
    found = table({"msd_uniform": 0.0, "kd_drop": -2.0}, {"msd_uniform": 6.0, "kd_drop": 6.0})
    full, missing = regions(found, views=VIEWS)
    assert (full.name, missing.name) == ("with the full input", "with a modality missing")
    assert (full.terms, missing.terms) == ("none", "augmentation")
    assert missing.over_kd.mean == pytest.approx(6.0)
    uneven = found.copy()
    uneven.loc[(uneven["view"] == "a") & (uneven["arm"] == "msd_uniform"), "value"] += 4.0
    assert regions(uneven, views=VIEWS)[1].over_kd.mean == pytest.approx(8.0)
    assert title(found, views=VIEWS) == (
        "d: MSD is not shown to differ from KD with the full input, beats KD with a modality missing; "
        "with a modality missing no more than modality drop is shown"
    )


def test_the_sentence_has_every_number_and_its_words_follow_them():
    said = sentence(
        both(msd_uniform=5, kd_drop=2, msd_instance=8, msd_shuffled=8, msd_wrong=2),
        views=VIEWS,
        removal="zeros",
    )
    assert said.startswith(
        "On d (3 seeds, test accuracy, removal by zeros), with the full input MSD uniform is better"
    )
    assert "is better than KD (+5.00 [" in said
    assert "is better than KD + modality drop (+3.00 [" in said
    assert "MSD by instance is better than MSD uniform (+3.00 [" in said
    assert "is not shown to differ from MSD shuffled weights (+0.00 [" in said
    assert said.count("weights help, but so do those of another sample or modality") == 2
    assert said.endswith(".")


def test_one_seed_concludes_nothing():
    one = table({"msd_uniform": 5}, {"msd_uniform": 5}, seeds=1)
    assert "no conclusion, since one seed has no interval" in sentence(one, views=VIEWS, removal="mean")
    assert title(one, views=VIEWS) == "d: arms compared"


def test_without_msd_nothing_is_said_of_it():
    found = both(no_kd=-1)
    assert headline(found) is None
    assert regions(found, views=VIEWS) == []
    assert "no MSD arm was trained" in sentence(found, views=VIEWS, removal="zeros")


def test_the_weighing_arm_is_not_the_plain_one():
    assert headline(both(msd_instance=1)) == ("msd_instance", None)
    assert headline(both(msd_instance=1, msd_uniform=1)) == ("msd_uniform", "msd_instance")
    assert headline(both(msd_global=1, msd_uniform=1)) == ("msd_uniform", "msd_global")


def test_differences_need_the_same_seeds_known_arms_and_known_views():
    found = both(msd_uniform=1)
    lacking = found[~((found["arm"] == "kd") & (found["seed"] == 2))]
    with pytest.raises(LabError, match=r"seeds = \[0, 1, 2\].*\[0, 1\]"):
        paired(lacking, "msd_uniform", "kd", views=VIEWS[:1])
    with pytest.raises(LabError, match="arm = 'sp'"):
        paired(found, "sp", "kd", views=VIEWS)
    with pytest.raises(LabError, match="view = 'c'"):
        paired(found, "msd_uniform", "kd", views=["c"])
