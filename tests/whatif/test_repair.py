"""The repair laboratory: the engine's own numbers, at once from kept activations, students where trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmkd_lab import whatif
from mmkd_lab.attribution import Joint
from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import paired_interval
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import repair_teachers
from mmkd_lab.whatif.panel import LivePanel
from mmkd_lab.whatif.repair_bench import ARM, Line, between
from mmkd_lab.whatif.scene import Area, Path
from tests.study.tiny import RECIPE, SPEC, TEACHER, paired

#: Of `study.repair_teachers` and of `whatif.repair` alike.
OPTIONS = {
    "student_model": SPEC,
    "teacher_model": TEACHER,
    "recipe": RECIPE,
    "joint": Joint(epochs=3, batch_size=16),
    "device": "cpu",
    "draws": 2,
}
CHANNELS = 8


def laboratory(store, data=None, **given):
    state = {"student": "b", "seeds": 2, **OPTIONS, **given}
    return whatif.repair(data or paired(), store=ResultStore(store), **state)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A finished study, and its store."""
    root = tmp_path_factory.mktemp("repair")
    ratios = {"ratios": (0.25, 0.5), "losses": ["ce + kd"], "progress": False}
    arms = ["no_kd", "aligned_kd", *ARM.values()]
    study = repair_teachers(
        paired(), student="b", seeds=range(2), arms=arms, store=ResultStore(root), **ratios, **OPTIONS
    )
    return root, study


def of(study, arm, role, ratio):
    table = study.table.query("metric == 'accuracy' and split == 'test' and arm == @arm and role == @role")
    return table.query("ratio == @ratio").sort_values("seed")["value"].to_numpy()


@pytest.mark.parametrize("ranking", ARM)
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_teachers_and_students_are_those_of_the_study(studied, ranking, ratio):
    root, study = studied
    before = len(ResultStore(root))
    view = laboratory(root, ranking=ranking, ratio=ratio).answer()
    np.testing.assert_array_equal(view.numbers["teacher (%)"], of(study, ARM[ranking], "teacher", ratio))
    np.testing.assert_array_equal(view.numbers["student (%)"], of(study, ARM[ranking], "student", ratio))
    np.testing.assert_array_equal(
        view.numbers["student without a teacher (%)"], of(study, "no_kd", "student", ratio)
    )
    assert len(ResultStore(root)) == before  # nothing was trained


@pytest.mark.parametrize("layer", ["fusion.encoders.0", "fusion.encoders.0.hidden"])
def test_any_layer_gives_the_engine_s_teacher(tmp_path, layer):
    data = {
        "ranking": "general",
        "ratio": 0.5,
        "layer": layer,
    }
    found = laboratory(tmp_path, **data).answer().numbers["teacher (%)"]
    study = repair_teachers(
        paired(), student="b", seeds=range(2), arms=["no_kd", "mg_kd"], store=ResultStore(tmp_path),
        ratios=(0.5,), losses=["ce + kd"], layer=layer, progress=False, **OPTIONS,
    )  # fmt: skip
    np.testing.assert_array_equal(found, of(study, "mg_kd", "teacher", 0.5))


def test_a_study_opens_as_it_was_run(studied):
    root, study = studied
    found = whatif.repair(study, store=ResultStore(root), ratio=0.25)
    before = len(ResultStore(root))
    np.testing.assert_array_equal(found.answer().numbers["student (%)"], of(study, "mg_kd", "student", 0.25))
    assert len(ResultStore(root)) == before


def test_with_nothing_removed_all_rankings_are_the_whole_teacher(studied):
    root, study = studied
    whole = of(study, "aligned_kd", "teacher", 0.25)
    for ranking in ARM:
        view = laboratory(root, ranking=ranking, ratio=0.0).answer()
        np.testing.assert_array_equal(view.numbers["teacher (%)"], whole)
        np.testing.assert_array_equal(view.numbers["student (%)"], of(study, "aligned_kd", "student", 0.25))
        assert f"None of the {CHANNELS} channels is removed" in view.sentence


def test_between_trained_ratios_is_a_straight_line_and_beyond_them_nothing(studied):
    root, study = studied
    low, high = (of(study, "mg_kd", "student", ratio).mean() for ratio in (0.25, 0.5))
    view = laboratory(root, ratio=0.4).answer()
    assert "student (%)" not in view.numbers
    expected = low + (high - low) * (0.4 - 0.25) / 0.25
    assert f"the straight line between 25% and 50% is at {expected:.1f} %" in view.sentence
    beyond = laboratory(root, ratio=0.75).answer()
    assert "nothing is guessed" in beyond.sentence


def test_a_line_needs_every_seed_on_both_sides():
    points = {0.0: {0: 10.0, 1: 30.0}, 0.5: {0: 40.0, 1: 40.0}, 0.75: {0: 99.0}}
    assert between(points, 0.25, seeds=2) == Line(30.0, 0.0, 0.5)
    assert between(points, 0.6, seeds=2) is None
    assert between(points, 0.5, seeds=2) == Line(40.0, 0.5, 0.5)
    assert between({}, 0.5, seeds=2) is None


def test_bars_are_filled_where_channels_stay_and_hollow_where_they_go(studied):
    root, _ = studied
    for ratio, gone in ((0.0, 0), (0.25, 2), (0.5, 4), (0.95, 7)):
        marks = laboratory(root, ratio=ratio).answer().scenes["channels"].marks
        areas = [mark for mark in marks if isinstance(mark, Area)]
        hollow = [mark for mark in marks if isinstance(mark, Path) and len(mark.points) == 5]
        assert len(areas) == 2 * (CHANNELS - gone)  # a bar and a lamp each
        assert len(hollow) == 2 * gone
        # The least general ones went: all that is filled stands left of all that is hollow.
        ends = [max(x for x, _ in mark.points) for mark in areas]
        assert not hollow or max(ends) < min(x for mark in hollow for x, _ in mark.points)


def test_training_adds_the_point_keeps_it_and_is_what_the_study_trains(tmp_path):
    found = laboratory(tmp_path, ratio=0.25, ranking="specific")
    first = found.answer()
    assert "student (%)" not in first.numbers
    views = list(found.act("train", found.state, lambda: False))
    assert [view.doing.done for view in views if view.doing is not None] == [0, 1]
    assert views[-1].doing is None
    again = laboratory(tmp_path, ratio=0.25, ranking="specific").answer()
    np.testing.assert_array_equal(again.numbers["student (%)"], views[-1].numbers["student (%)"])
    before = len(ResultStore(tmp_path))
    study = repair_teachers(
        paired(), student="b", seeds=range(2), arms=["no_kd", "aligned_kd", "ms_kd"], ratios=(0.25,),
        losses=["ce + kd"], store=ResultStore(tmp_path), progress=False, **OPTIONS,
    )  # fmt: skip
    np.testing.assert_array_equal(views[-1].numbers["student (%)"], of(study, "ms_kd", "student", 0.25))
    # The students of the whole teacher, and logistic regression, are all that the study had to add.
    assert len(ResultStore(tmp_path)) == before + 2 + 1


def test_a_stop_ends_training_and_what_was_done_is_kept(tmp_path):
    found, store = laboratory(tmp_path, ratio=0.25), ResultStore(tmp_path)
    found.answer()
    before = len(store)
    views = list(found.act("train", found.state, lambda: len(store) >= before + 2))
    assert all(view.doing is not None for view in views)
    assert len(store) - before == 2
    assert "student (%)" in list(found.act("train", found.state, lambda: False))[-1].numbers


def test_stop_ends_a_training_under_way(tmp_path):
    endless = {**OPTIONS, "joint": Joint(epochs=10**5, batch_size=16)}
    panel = LivePanel(laboratory(tmp_path, **endless))
    assert not panel.wait(1.0)
    panel.buttons["stop"].click()
    assert panel.wait(30.0)
    assert "Stopped" in panel.message.value
    endless = {**OPTIONS, "recipe": replace(RECIPE, epochs=10**5)}
    panel = LivePanel(laboratory(tmp_path, **endless))
    assert panel.wait()
    panel.actions["train"].click()
    assert not panel.wait(1.0)
    panel.controls["ratio"].value = 0.25
    assert panel.wait(30.0)
    assert "2 of 8 channels" in panel.sentence.value


def test_the_panel_trains_and_follows_its_controls(tmp_path):
    panel = LivePanel(laboratory(tmp_path, ratio=0.5))
    assert panel.wait()
    assert panel.message.value == ""
    assert "4 of 8 channels are removed" in panel.sentence.value
    layers = [value for _, value in panel.controls["layer"].options]
    assert {"", "fusion.encoders.0", "fusion.encoders.0.hidden"} <= set(layers)
    panel.controls["ratio"].value = 0.25
    panel.controls["ranking"].value = "specific"
    assert panel.wait()
    assert "2 of 8 channels are removed, the most modality-general" in panel.sentence.value
    panel.actions["train"].click()
    assert panel.wait()
    assert "trained here" in panel.sentence.value
    assert "trained here" in panel.now.children[2].value
    panel.buttons["pin"].click()
    panel.buttons["undo"].click()
    assert panel.wait()
    assert "teacher (%)" in panel.compared.value


def test_a_layer_that_no_head_reads_has_no_weights_to_rank_by(tmp_path):
    panel = LivePanel(laboratory(tmp_path, ranking="weight"))
    assert panel.wait()
    assert "weight" in [value for _, value in panel.controls["ranking"].options]
    panel.controls["layer"].value = "fusion.encoders.0.hidden"
    assert panel.wait()
    assert "no linear head reads" in panel.message.value


def test_links_and_calls_restore_lab_data_and_name_your_own(tmp_path):
    own = laboratory(tmp_path, ratio=0.25)
    assert own.restore(own.link()) == own.state
    assert own.python().startswith("whatif.repair(data, student='b', ratio=0.25, seeds=2, student_model=")
    assert "papermill" not in own.command().split(":")[0].replace("No papermill", "")
    with pytest.raises(LabError, match=r"data = 'tiny_vectors'.*whatif\.repair\(data\)"):
        whatif.open(own.link())
    lab = whatif.open("repair?data=gaussian&ratio=0.25&ranking=random")
    assert lab.state == replace(type(lab.state)(), data="gaussian", ratio=0.25, ranking="random")
    assert lab.python() == "whatif.open('repair?data=gaussian&ranking=random&ratio=0.25').show()"


def test_other_data_and_fewer_seeds_drop_what_they_do_not_have():
    lab = whatif.repair(student="image", layer="fusion", shown=4)
    other = lab.change(lab.state, "data", "gaussian")
    assert (other.student, other.layer) == ("", "")
    assert lab.change(lab.state, "seeds", 3).shown == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": "av_digit"}, ["data = 'av_digit'", "'av_digits'"]),
        ({"data": 3}, ["data", "PairedData"]),
        ({"ratio": 0.97}, ["ratio = 0.97", "at most 0.95"]),
        ({"ranking": "oracle"}, ["ranking = 'oracle'", "'general'"]),
        ({"rank": "general"}, ["rank", "'ranking'"]),
        ({"seeds": 3, "shown": 3}, ["shown = 3", "below 3"]),
    ],
)
def test_what_cannot_be_is_refused_in_words(given, words):
    with pytest.raises(LabError) as raised:
        whatif.repair(**{"data": "av_digits", **given})
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"student": "c"}, ["student = 'c'", "'a'"]),
        ({"layer": "fusion.encoder"}, ["layer = 'fusion.encoder'", "'fusion.encoders.0'"]),
        ({"replace": "retrain"}, ["replace = 'retrain'", "'mean'"]),
    ],
)
def test_what_the_data_does_not_have_is_told_in_the_panel(tmp_path, given, words):
    panel = LivePanel(laboratory(tmp_path, **given))
    assert panel.wait()
    for word in words:
        assert word in panel.message.value.replace("&#x27;", "'")
    assert len(ResultStore(tmp_path)) == 0


def test_the_twin_is_four_pictures_with_a_sentence_each(studied):
    root, _ = studied
    scene, told = laboratory(root).twin(ratio=(0.0, 0.25, 0.5, 0.75))
    assert [one.partition(":")[0] for one in told] == [f"removed {at}" for at in ("0", "0.25", "0.5", "0.75")]
    assert "2 of 8 channels are removed" in told[1]
    assert scene.svg().count(">Teacher ") == 4
    assert len(laboratory(root).twin(ranking=tuple(ARM))[1]) == 4


def test_a_sweep_over_ratios_is_a_study(studied):
    root, study = studied
    found = laboratory(root).sweep(ratio=(0.0, 0.5))
    values = [of(study, arm, "teacher", 0.5) for arm in ("aligned_kd", "mg_kd")]
    assert f"teacher (%) {paired_interval(values[1], values[0]).show(signed=True)}" in found.verdict


def test_a_state_set_twice_gives_the_same_view(studied):
    root, _ = studied
    first, second = (laboratory(root, ratio=0.4, ranking="random").answer() for _ in range(2))
    assert first.scene().svg() == second.scene().svg()
    assert first.table.equals(second.table)
    assert set(first.table["ratio"]) == {0.4}
