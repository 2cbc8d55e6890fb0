"""The world laboratory: shares that give way, the truth it trains, the sentence, and what turns it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.gaussian import worlds
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds
from mmkd_lab.whatif.world_state import WorldState, rounded, with_share, world_state
from mmkd_lab.whatif.world_train import TRAINER, Trainer

SMALL = {"seeds": 8, "samples": 25}


def shares(state):
    return state.alpha, state.beta, state.gamma


def test_shares_give_way_in_proportion():
    state = WorldState(alpha=0.6, beta=0.2, gamma=0.2)
    assert shares(with_share(state, "gamma", 0.6)) == pytest.approx((0.3, 0.1, 0.6))
    assert shares(with_share(state, "gamma", 1.0)) == (0.0, 0.0, 1.0)
    back = with_share(with_share(state, "gamma", 1.0), "gamma", 0.5)
    assert shares(back) == (0.25, 0.25, 0.5)  # nothing is left of the proportion: equal parts


def test_a_locked_share_stays():
    state = replace(WorldState(alpha=0.6, beta=0.2, gamma=0.2), locked=("alpha",))
    assert shares(with_share(state, "gamma", 0.3)) == pytest.approx((0.6, 0.1, 0.3))
    assert shares(with_share(state, "gamma", 0.9)) == pytest.approx((0.6, 0.0, 0.4))  # no further
    both = replace(state, locked=("alpha", "beta"))
    assert shares(with_share(both, "gamma", 0.9)) == shares(state)


def test_any_walk_of_the_sliders_keeps_the_sum():
    random, state = np.random.default_rng(0), WorldState()
    for _ in range(500):
        state = replace(state, locked=tuple(n for n in ("alpha", "beta", "gamma") if random.random() < 0.3))
        state = with_share(state, str(random.choice(["alpha", "beta", "gamma"])), float(random.random()))
        assert sum(shares(state)) == pytest.approx(1.0, abs=1e-8)
        assert whatif.open(whatif.world().link(state)).state == state
        world = state.world()
        assert world.latents == state.latents
        assert world.gamma_union == pytest.approx(state.gamma, abs=1.0 / (world.latents - world.hidden))


def test_rounding_gives_the_largest_remainders_one_more():
    assert rounded((0.5, 0.3, 0.2), 4) == [2, 1, 1]
    assert rounded((1 / 3, 1 / 3, 1 / 3), 10) == [4, 3, 3]
    assert rounded((0.4, 0.4, 0.2), 20) == [8, 8, 4]


@pytest.mark.parametrize(("teacher", "arm"), [("other", "cm_kd"), ("both", "mm_kd"), ("shared", "cm_kd")])
def test_what_is_shown_is_what_the_worlds_study_trains(teacher, arm):
    state = world_state(gamma=0.4, teacher=teacher, temperature=2.0, **SMALL)
    drawn = worlds(state.world(), range(8))
    drawn = drawn.only("a", "shared") if teacher == "shared" else drawn
    recipe = WorldsRecipe(kd=2.0, temperature=2.0, convention="kl")
    fit = fit_worlds(drawn, arms=("no_kd", "um_kd", arm), recipe=recipe)
    found = TRAINER.truth(state, 8)
    assert np.array_equal(found.kd, fit.accuracy(arm))
    assert np.array_equal(found.um_kd, fit.accuracy("um_kd"))
    assert np.array_equal(found.no_kd, fit.accuracy("no_kd"))
    assert np.array_equal(found.teacher, fit.accuracy(arm, role="teacher"))


def test_seeds_do_not_depend_on_how_many_are_asked_at_a_time():
    state = world_state(gamma=0.4, **SMALL)
    few, trainer = Trainer().truth(state, 3), Trainer()
    assert trainer.known(state, 3) is None
    assert np.array_equal(trainer.truth(state, 8).kd[:3], few.kd)
    assert trainer.known(state, 3) is not None


def test_a_slider_changes_nothing_but_the_world():
    """No KD sees b alone: what a knows does not move it, so that its seeds are the very same numbers."""
    one, other = (world_state(alpha=a, beta=0.5, unobserved=u, **SMALL) for a, u in ((0.5, 0.2), (0.5, 0.2)))
    assert np.array_equal(TRAINER.truth(one, 8).no_kd, TRAINER.truth(replace(other, kd=8.0), 8).no_kd)


def test_no_labels_is_learning_from_the_teacher_alone():
    state = world_state(gamma=0.4, labels=False, **SMALL)
    fit = fit_worlds(
        worlds(state.world(), range(8)), arms=("kl_only",), recipe=WorldsRecipe(kd=2.0, convention="kl")
    )
    assert np.array_equal(TRAINER.truth(state, 8).kd, fit.accuracy("kl_only"))


def test_views_come_one_better_than_the_other_and_the_last_is_final():
    lab = whatif.world(gamma=0.4, samples=25, seeds=20)
    views = list(lab.answers(lab.state, lambda: False))
    assert "Training" in views[0].sentence
    seeds = [len(view.numbers["KD (%)"]) for view in views[1:]]
    assert seeds == sorted(seeds)
    assert seeds[0] == 8
    assert seeds[-1] == 20
    assert views[-1].doing is None
    assert all(view.doing is not None for view in views[:-1])
    again = lab.answer()
    assert again.scene().svg() == views[-1].scene().svg()
    assert again.sentence == views[-1].sentence


def test_the_sentence_has_the_numbers_of_the_table():
    view = whatif.world(gamma=0.9, kd=4.0, alpha=0.05, samples=50, seeds=8).answer()
    mean = view.table.groupby("arm")["value"].mean()
    students = view.table[view.table["role"] == "student"].pivot(index="seed", columns="arm", values="value")
    gain = (students["cm_kd"] - students["no_kd"]).mean()
    assert f"{gain:+.2f}".replace("-", "−") in view.sentence
    assert f"student {students['cm_kd'].mean():.1f} %" in view.sentence
    assert mean["no_kd"] == pytest.approx(view.numbers["no KD (%)"].mean())


def test_what_turns_the_verdict_is_trained_and_turns_it():
    lab = whatif.world(gamma=1.0, samples=100, seeds=16, kd=4.0)
    view, side = lab.answer(), TRAINER.truth(lab.state, 16).gain.side
    assert side == 1
    words = view.sentence.split("With γ = ")[1]
    there = with_share(lab.state, "gamma", float(words[:4]))
    assert TRAINER.truth(there, 16).gain.side != side
    between = [
        with_share(lab.state, "gamma", round(g, 2)) for g in np.arange(float(words[:4]) + 0.05, 1.0, 0.05)
    ]
    assert all(TRAINER.truth(state, 16).gain.side == side for state in between)


def test_a_state_that_moved_on_is_dropped():
    lab = whatif.world(gamma=0.3, samples=25)
    assert len(list(lab.answers(lab.state, lambda: True))) == 1


def test_a_map_keeps_its_cells_when_its_own_axes_move():
    lab = whatif.world(gamma=0.3, samples=25, seeds=8, map_x="kd", map_y="temperature")
    before = lab.answer().scenes["map"]
    after = lab.answer(replace(lab.state, kd=0.5)).scenes["map"]
    said = [mark.text for mark in before.marks if hasattr(mark, "text")]
    assert said == [mark.text for mark in after.marks if hasattr(mark, "text")]
    assert before.svg() != after.svg()  # the dot moved


def test_an_axis_of_the_map_that_is_taken_is_swapped():
    lab = whatif.world()
    swapped = lab.change(lab.state, "map_x", "samples")
    assert (swapped.map_x, swapped.map_y) == ("samples", "gamma")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"gamma": 1.5}, "gamma = 1.5"),
        ({"alpha": 0.8, "gamma": 0.4}, "alpha + beta + gamma"),
        ({"alpha": 0.5, "beta": 0.5, "gamma": 0.5}, "alpha + beta + gamma = 1.5"),
        ({"width_b": 5}, "width_b = 5"),
        ({"kd": 0.0, "labels": False}, "kd = 0.0"),
        ({"unobserved": 1.0}, "unobserved = 1.0"),
        ({"map_x": "samples"}, "map_y = 'samples'"),
        ({"gama": 0.4}, "gama"),
        ({"teacher": "nobody"}, "teacher = 'nobody'"),
    ],
)
def test_refusals(given, told):
    with pytest.raises(LabError) as error:
        whatif.world(**given)
    assert told in str(error.value)


def test_sliders_of_shares_stand_at_stops_that_sum_to_1():
    laboratory, random = whatif.world(), np.random.default_rng(0)
    for gamma in random.integers(0, 21, size=20) / 20:
        state = laboratory.change(
            whatif.world(alpha=round(float(random.random()), 6)).state, "gamma", float(gamma)
        )
        stops = [20 * laboratory.value(state, name) for name in ("alpha", "beta", "gamma")]
        assert stops == pytest.approx(np.round(stops))
        assert sum(stops) == pytest.approx(20)
        assert laboratory.value(state, "gamma") == gamma, "where it was put"
