"""The MSD laboratory: orders by hand, a sample that loses modalities, tokens, the training button, links."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import Vocabulary
from mmkd_lab.distill.weights import EPSILON
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import View
from mmkd_lab.plotting.palette import AGAINST, FOR
from mmkd_lab.whatif.model import Laboratory
from mmkd_lab.whatif.msd import MsdLaboratory
from mmkd_lab.whatif.msd_inputs import inputs, pixels
from mmkd_lab.whatif.msd_sample import WHO, measure, order, sample
from mmkd_lab.whatif.msd_state import MsdState
from mmkd_lab.whatif.msd_train import Trained
from mmkd_lab.whatif.panel import LivePanel
from mmkd_lab.whatif.scene import Area, Label, Path, Pixels
from tests.study.tiny import paired

FEW = {"seeds": 2, "steps": 6}
FULL, A, B = View.only("a", "b"), View.only("a"), View.only("b")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ResultStore(tmp_path_factory.mktemp("msd"))


@pytest.fixture(scope="module")
def laboratory(store):
    data = with_text()
    found = MsdLaboratory(MsdState(data=data.name, **FEW), data, store)
    found.answer()
    return found


def with_text():
    """Modality 'b' is two words, the first of them the class's."""
    data, words = paired(), Vocabulary.of(["x", "y", "z", "so", "then"])
    texts = [f"{'xyz'[i % 3]} {('so', 'then')[i % 2]}" for i in range(len(data))]
    said = torch.from_numpy(words.encode(texts))
    return replace(data, modalities={**data.modalities, "b": said}, vocabularies={"b": words})


def trained_of(laboratory, state=None):
    return laboratory.trained(laboratory.state if state is None else state)


def by_hand():
    """What is said of three samples of class 0: (0, z) with these z. A fourth, of class 1, has z = 0."""
    odds = {
        "teacher": {FULL: (0.0, 2.0, 0.0), A: (0.0, 2.0, 0.0), B: (3.0, 2.0, 1.0)},
        "student": {FULL: (0.0, -2.0, 1.0), A: (1.0, -2.0, 1.0), B: (0.0, 2.0, 2.0)},
    }
    said = {
        who: {
            view: torch.tensor([(0.0, z) for z in (*row, 0.0)], dtype=torch.float64)
            for view, row in each.items()
        }
        for who, each in odds.items()
    }
    x = {name: torch.zeros(4, 1) for name in "ab"}
    data = PairedData("four", x, torch.tensor([0, 0, 0, 1]), {"test": torch.arange(4)}, ("no", "yes"))
    return Trained(data, (FULL, A, B), pd.DataFrame(), {}, said, x, x, {})


def test_orders_are_those_of_known_logits():
    known = by_hand()
    # Teacher and student agree on the first, differ by 1 on the third, by 4 on the second.
    assert order(measure(known, "disagreement", "a")).tolist() == [1, 2, 0, 3]
    # Without a the teacher says what it says of b: 3, 0 and 1 away.
    assert order(measure(known, "saliency", "a")).tolist() == [0, 2, 1, 3]
    assert measure(known, "saliency", "b").tolist() == [0.0] * 4
    assert order(measure(known, "saliency", "b")).tolist() == [0, 1, 2, 3]  # equal: as they come
    # The loss of class 0 is log(1 + exp(z)): without b it rises for the first sample alone.
    assert measure(known, "loss", "b") == pytest.approx([np.log1p(np.e) - np.log(2), 0.0, 0.0, 0.0])
    assert order(measure(known, "loss", "a")).tolist() == [1, 2, 0, 3]


def test_a_sample_without_a_modality_is_what_the_networks_say_without_it(laboratory):
    trained, state = trained_of(laboratory), laboratory.state
    whole, left = (sample(trained, replace(state, removed=gone), "a") for gone in ((), ("b",)))
    assert left.row == whole.row == order(measure(trained, "disagreement", "a"))[0]
    x = {"a": trained.inputs["a"][[whole.row]], "b": torch.zeros_like(trained.inputs["b"][[whole.row]])}
    for who in WHO:
        with torch.no_grad():
            said = trained.nets[who](x).softmax(-1)[0].numpy()
        assert left.predictions[who][left.seen] == pytest.approx(said, abs=1e-12)
        assert left.predictions[who][A] == pytest.approx(said, abs=1e-12)
        assert left.predictions[who][FULL] == pytest.approx(whole.predictions[who][whole.seen], abs=0)
        assert left.shapley[who]["b"] == 0.0
        assert list(left.maps[who]) == ["a"]
        nothing = trained.said[who][View.only()][whole.row, whole.label]
        gained = trained.said[who][FULL][whole.row, whole.label] - nothing
        assert sum(whole.shapley[who].values()) == pytest.approx(float(gained), abs=1e-9)
        alone = trained.said[who][A][whole.row, whole.label] - nothing
        assert left.maps[who]["a"].sum() == pytest.approx(float(alone), abs=0.05 * abs(float(alone)) + 1e-3)
    assert left.saliency["b"] == 0.0
    assert left.weights == pytest.approx({"a": 2.0, "b": 0.0})


def test_weights_of_the_whole_sample_follow_its_saliency(laboratory):
    found = sample(trained_of(laboratory), laboratory.state, "a")
    total = sum(found.saliency.values())
    assert total > EPSILON
    assert found.weights == pytest.approx({m: 2 * s / total for m, s in found.saliency.items()}, rel=1e-4)


def test_the_network_that_is_shown_is_the_student_of_the_table(laboratory):
    trained = trained_of(laboratory)
    for who, arm in (("teacher", "teacher"), ("student", "msd_instance")):
        for view in trained.views:
            right = (trained.said[who][view].argmax(-1) == trained.target).double().mean()
            assert trained.accuracies[arm, view.label][0] == pytest.approx(100 * float(right))


def test_a_tick_box_changes_every_picture_but_the_students(laboratory):
    before = laboratory.answer()
    after = laboratory.answer(laboratory.change(laboratory.state, "removed", ("b",)))
    same = {name: scene.svg() == after.scenes[name].svg() for name, scene in before.scenes.items()}
    assert same == {"students": True, "inputs": False, "predictions": False, "modalities": False}
    assert "given everything" in before.sentence
    assert "given a alone" in after.sentence
    back = laboratory.answer(laboratory.state)
    assert [one.svg() for one in back.scenes.values()] == [one.svg() for one in before.scenes.values()]
    nothing = laboratory.answer(replace(laboratory.state, removed=("a", "b")))
    assert "Nothing is left" in nothing.scenes["modalities"].svg()


def test_tokens_are_coloured_underlined_and_numbered_by_what_they_count(laboratory):
    trained, state = trained_of(laboratory), laboratory.state
    chosen = sample(trained, state, "a")
    given = {"teacher": np.array([0.8, -0.4]), "student": np.array([0.0, 0.2])}
    chosen = replace(chosen, maps={who: {**chosen.maps[who], "b": given[who]} for who in WHO})
    marks = inputs(trained, chosen, "zeros").marks
    boxes = [one for one in marks if isinstance(one, Area)]
    assert [(one.fill, one.opacity) for one in boxes] == [
        (FOR, 0.5),
        (AGAINST, 0.25),
        (FOR, 0.0),
        (FOR, 0.125),
    ]
    under = [one for one in marks if isinstance(one, Path)]
    assert [one.dashed for one in under] == [False, True, False, False]
    words = [one.text for one in marks if isinstance(one, Label)]
    assert {"+0.80", "−0.40", "+0.20"} <= set(words)
    said = trained.data.caption("b", int(trained.data.positions("test")[chosen.row])).split()
    assert [word for word in words if word in said] == [*said, *said]


def test_a_removed_text_is_struck_out(laboratory):
    trained, state = trained_of(laboratory), replace(laboratory.state, removed=("b",))
    marks = inputs(trained, sample(trained, state, "a"), "zeros").marks
    assert not [one for one in marks if isinstance(one, Area)]
    assert len([one for one in marks if isinstance(one, Path)]) == 2  # a line a word
    assert "b, removed: padding in its place" in [one.text for one in marks if isinstance(one, Label)]


def test_pictures_of_one_modality_share_a_scale():
    gray = pixels(np.array([[0.0, 1.0], [2.0, 1.0]]), 0.0, 2.0, "gray")
    assert gray[..., 0].tolist() == [[0, 128], [255, 128]]
    assert np.array_equal(pixels(np.array([[0.0, 1.0], [2.0, 1.0]]), 0.0, 2.0, "gray", up=True), gray[::-1])
    assert pixels(np.full((1, 1, 3), 9.0), 0.0, 2.0, "gray").tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("removal", ["zeros", "mean", "permutation"])
def test_a_removed_modality_is_what_the_operator_leaves(store, removal):
    data = paired()
    laboratory = MsdLaboratory(MsdState(data=data.name, removal=removal, **FEW), data, store)
    view = laboratory.answer(replace(laboratory.state, removed=("b",)))
    trained = trained_of(laboratory)
    train, test = (data.modalities["b"][data.positions(split)] for split in ("train", "test"))
    found = trained.instead["b"]
    if removal == "zeros":
        assert not found.any()
    elif removal == "mean":
        kept = trained.data.modalities["b"][trained.data.positions("train")].double().mean(0)
        assert torch.allclose(found, kept.expand_as(found))
        assert len(trained.data.positions("train")) < len(train)  # less what is set aside
    else:
        assert sorted(found[:, 0].tolist()) == sorted(test[:, 0].double().tolist())
        assert not torch.equal(found, test.double())
    pictures = [one for one in view.scenes["inputs"].marks if isinstance(one, Pixels)]
    assert len(pictures) == 4  # a and its two maps, and what stands for b


def test_what_the_store_has_is_not_trained_again(laboratory, store):
    again = MsdLaboratory(replace(laboratory.state, sort="loss"), laboratory.data(laboratory.state), store)
    shown = list(again.answers(laboratory.state, lambda: False))
    assert len(shown) == 1  # no progress
    assert shown[0].sentence == laboratory.answer().sentence


def test_other_networks_wait_for_the_button_and_stop_between_two(laboratory):
    state = laboratory.change(laboratory.state, "scheme", "uniform")
    (waiting,) = laboratory.answers(state, lambda: False)
    assert "press “train”" in waiting.sentence
    assert not waiting.numbers
    seen = []
    for view in laboratory.act("train", state, lambda: len(seen) >= 1):
        seen.append(view)
    assert [view.doing.done for view in seen] == [0]
    *on_the_way, final = laboratory.act("train", state, lambda: False)
    assert [view.doing.done for view in on_the_way] == list(range(8))  # two seeds: teacher and three students
    assert final.doing is None
    assert "MSD uniform given everything (%)" in final.numbers
    assert len(final.numbers["MSD uniform given everything (%)"]) == 2
    assert sample(trained_of(laboratory, state), state, "a").weights == {"a": 1.0, "b": 1.0}
    (known,) = laboratory.answers(state, lambda: False)
    assert known.sentence == final.sentence


def test_learned_weights_and_controls_have_their_rows(store):
    data = paired()
    state = MsdState(data=data.name, scheme="global", controls=("kd_views", "msd_shuffled"), **FEW)
    found = MsdLaboratory(state, data, store).answer()
    assert list(dict.fromkeys(found.table["arm"])) == ["teacher", *state.arms]
    assert set(found.table["view"]) == {"a+b", "a", "b"}
    assert "KD on all views" in found.scenes["students"].svg()


def test_wrong_values_are_refused(laboratory):
    data, state = laboratory.data(laboratory.state), laboratory.state
    for field, value in (("place", 31), ("by", "c"), ("removed", ("c",)), ("data", "gaussian")):
        with pytest.raises(LabError, match=field):
            laboratory.change(state, field, value)
    for given in ({"scheme": "other"}, {"kd": 1.5}, {"removed": ("a", "a")}, {"place": 0}, {"seeds": 0}):
        with pytest.raises(LabError, match=next(iter(given))):
            whatif.msd(data, **given)
    with pytest.raises(LabError, match="data"):
        whatif.msd(3)
    with pytest.raises(LabError, match="token ids have no mean"):
        laboratory.answer(replace(state, removal="mean"))
    several = replace(data, modalities={"a": data.modalities["a"]}, vocabularies={})
    with pytest.raises(LabError, match="at least two modalities"):
        whatif.msd(several).answer()


def test_links_restore(laboratory):
    state = replace(laboratory.state, removed=("a", "b"), place=7, sort="loss", by="b", controls=("kd_drop",))
    assert laboratory.restore(laboratory.link(state)) == state
    assert laboratory.restore(laboratory.link(replace(state, removed=()))) == replace(state, removed=())
    with pytest.raises(LabError, match="place"):
        laboratory.restore("msd?data=tiny_vectors&place=99")
    assert isinstance(whatif.open("msd?seeds=2&removed=text"), Laboratory)
    assert whatif.open("msd?removed=text").state.removed == ("text",)
    with pytest.raises(LabError, match="removed"):
        whatif.open("msd?removed=speech")


def test_another_dataset_forgets_the_modalities(laboratory):
    state = replace(laboratory.state, removed=("b",), by="b", place=20)
    moved = laboratory.change(state, "data", "shapes_vl")
    assert (moved.removed, moved.by, moved.place) == ((), "", 1)
    assert laboratory.controls(moved) != laboratory.controls(state)


def test_the_panel_follows_its_tick_boxes_and_trains_by_its_button(laboratory):
    panel = LivePanel(laboratory)
    assert panel.wait(60)
    before = [one.value for one in panel.now.children]
    panel.controls["removed"].boxes["b"].value = True
    assert panel.wait(60)
    assert panel.state.removed == ("b",)
    assert [one.value != two for one, two in zip(panel.now.children, before, strict=True)] == [
        False,
        True,
        True,
        True,
    ]
    panel.buttons["undo"].click()
    assert panel.wait(60)
    assert not panel.controls["removed"].boxes["b"].value
    assert [one.value for one in panel.now.children] == before
    panel.controls["scheme"].value = "population"
    assert panel.wait(60)
    assert "press “train”" in panel.sentence.value
    panel.actions["train"].click()
    assert panel.wait(120)
    assert "MSD population" in panel.sentence.value
    panel.link.value = "msd?data=tiny_vectors&removed=c"
    assert "must be one of" in panel.message.value


def test_the_twin_shows_samples_and_what_is_left_of_them(laboratory):
    scene, told = laboratory.twin(place=(1, 2, 3, 4))
    assert [one.split(":")[0] for one in told] == ["sample 1", "sample 2", "sample 3", "sample 4"]
    assert scene.svg().count("outlined: teacher") == 4
    _, told = laboratory.twin(removed=((), ("b",), ("a", "b")))
    assert [one.split(":")[0] for one in told] == ["remove nothing", "remove b", "remove a, b"]


def test_a_sweep_over_schemes_trains_each(laboratory):
    study = laboratory.sweep(scheme=("uniform", "instance"))
    assert set(study.table["scheme"]) == {"uniform", "instance"}
    assert set(study.table["arm"]) == {"teacher", "no_kd", "kd", "msd_uniform", "msd_instance"}
    assert set(laboratory.sweep(removed=((), ("b",))).table["removed"]) == {"nothing", "b"}


def test_the_python_call_of_ones_own_samples(laboratory):
    state = replace(laboratory.state, removed=("b",))
    assert laboratory.python(state) == "whatif.msd(data, seeds=2, steps=6, removed=('b',)).show()"
    assert "papermill" in laboratory.command(state)
    assert laboratory.command(state).startswith("#")
    named = replace(state, data="shapes_vl", removed=())
    assert laboratory.python(named) == "whatif.open('msd?seeds=2&steps=6').show()"
