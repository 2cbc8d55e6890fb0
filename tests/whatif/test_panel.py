"""The panel, driven by setting widget values: the model, the pictures' bytes and the words follow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace

import ipywidgets
import numpy as np
import pandas as pd
import pytest

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.core.config import Flag, Fraction, config
from mmkd_lab.whatif.answer import Answer, Progress
from mmkd_lab.whatif.model import Action, Control, Laboratory
from mmkd_lab.whatif.panel import LivePanel
from mmkd_lab.whatif.scene import Label, Scene

ASKED = (
    *(ipywidgets.Button, ipywidgets.FloatSlider, ipywidgets.SelectionSlider, ipywidgets.Dropdown),
    *(ipywidgets.Checkbox, ipywidgets.Text, ipywidgets.ToggleButton),
)


@config
class Level:
    """A state of one number, a choice and a flag."""

    height: Fraction = 0.5
    steps: int = 2
    loud: Flag = False


class Toy(Laboratory[Level]):
    """Shows its state; its long work waits to be let go on."""

    name, title = "toy", "A toy"
    actions = (Action("work", "work", "Works until it is stopped."),)

    def __init__(self, state=None):
        super().__init__(state or Level())
        self.working, self.go_on = threading.Event(), threading.Event()

    def controls(self, state):
        steps = (1, 2, 3) if not state.loud else (1, 2, 3, 4)
        return [
            Control("height", "height", "How high.", "slider"),
            Control("steps", "steps", "How many.", "slider", steps),
            Control("loud", "loud", "Whether loud.", "flag", more=True),
        ]

    def change(self, state, name, value):
        if name == "steps" and value == 3:
            raise LabError("steps", 3, "must not be 3", "Take 2")
        return replace(state, **{name: value})

    def answers(self, state, stopped):
        if state.height > 0.9:
            raise RuntimeError("too high")
        yield self._view(state, state.steps)

    def act(self, action, state, stopped):
        yield self._view(state, 1, Progress(1, 3, "rounds"))
        self.working.set()
        while not stopped():
            self.go_on.wait(0.01)

    def _view(self, state, seeds, doing=None):
        scene = Scene(300, 100, (Label(10, 50, f"{state.height:.2f}"),), "A number.")
        values = state.height + np.arange(seeds)
        return Answer(
            {"number": scene},
            f"It is {state.height:g}.",
            pd.DataFrame({"v": values}),
            {"v": values},
            (),
            doing,
        )


@pytest.fixture
def panel():
    made = LivePanel(Toy())
    assert made.wait(30)
    return made


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def test_moving_a_control_moves_the_state_the_picture_and_the_sentence(panel):
    before = panel.now.children[0].value
    panel.controls["height"].value = 0.75
    assert panel.wait(30)
    assert panel.state.height == 0.75
    assert "It is 0.75." in panel.sentence.value
    assert panel.now.children[0].value != before
    assert panel.link.value == "toy?height=0.75"
    panel.controls["height"].value = 0.5
    assert panel.wait(30)
    assert panel.now.children[0].value == before  # set twice, the same picture


def test_undo_redo_and_reset(panel):
    panel.controls["height"].value = 0.2
    panel.controls["height"].value = 0.3  # one drag
    panel.controls["steps"].value = 1
    assert not panel.buttons["undo"].disabled
    panel.buttons["undo"].click()
    assert panel.state == Level(height=0.3)
    assert panel.controls["steps"].value == 2
    panel.buttons["undo"].click()
    assert panel.state == Level()
    assert panel.buttons["undo"].disabled
    panel.buttons["redo"].click()
    assert panel.state == Level(height=0.3)
    panel.buttons["reset"].click()
    assert panel.state == Level()
    assert panel.wait(30)


def test_a_pinned_state_stands_beside_the_present_one(panel):
    panel.controls["height"].value = 0.25
    assert panel.wait(30)
    panel.buttons["pin"].click()
    pinned = panel.before.children[0].value
    panel.controls["height"].value = 0.5
    assert panel.wait(30)
    assert panel.before.children[0].value == pinned
    assert "0.25 the same in all 2" in panel.compared.value.replace(",", "")
    panel.buttons["pin"].click()
    assert panel.before.children == ()
    assert panel.compared.value == ""


def test_what_cannot_be_is_said_and_the_control_goes_back(panel):
    panel.controls["steps"].value = 3
    assert "steps = 3: must not be 3. Take 2." in panel.message.value
    assert panel.controls["steps"].value == 2
    assert panel.state == Level()
    panel.controls["height"].value = 0.95
    assert panel.wait(30)
    assert "RuntimeError: too high" in panel.message.value
    panel.controls["height"].value = 0.4
    assert panel.wait(30)
    assert panel.message.value == ""
    assert "It is 0.4." in panel.sentence.value


def test_options_follow_the_state(panel):
    panel.controls["loud"].value = True
    assert tuple(panel.controls["steps"].options) == (1, 2, 3, 4)
    panel.controls["steps"].value = 4
    assert panel.state == Level(steps=4, loud=True)


def test_a_link_that_is_pasted_restores_its_state(panel):
    panel.link.value = "toy?height=0.125&loud=True"
    assert panel.state == Level(height=0.125, loud=True)
    assert panel.controls["height"].value == 0.125
    panel.link.value = "toy?heigth=1"
    assert "Did you mean" in panel.message.value
    assert panel.state == Level(height=0.125, loud=True)
    panel.link.value = "world"
    assert "must begin with" in panel.message.value


def test_code_and_files(panel, tmp_path, monkeypatch):
    monkeypatch.setenv("MMKD_LAB_RESULTS", str(tmp_path))
    panel.controls["steps"].value = 1
    assert panel.wait(30)
    panel.buttons["code"].click()
    assert "whatif.open(" in panel.code.value
    assert "papermill" in panel.code.value
    for kind in ("png", "svg", "csv"):
        panel.buttons[kind].click()
    written = {path.suffix: path for path in tmp_path.glob("what_if_toy_*")}
    assert set(written) == {".png", ".svg", ".csv"}
    assert str(written[".csv"]) in panel.message.value
    assert pd.read_csv(written[".csv"])["v"].tolist() == [0.5]
    panel.controls["steps"].value = 2
    assert panel.wait(30)
    panel.buttons["csv"].click()
    assert pd.read_csv(written[".csv"])["v"].tolist() == [0.5]  # another state has a file of its own
    assert len(list(tmp_path.glob("*.csv"))) == 2
    monkeypatch.setenv("MMKD_LAB_RESULTS", str(written[".csv"]))
    panel.buttons["csv"].click()
    assert "folder" in panel.message.value


def test_work_can_be_stopped_and_is_dropped_when_the_state_moves_on(panel):
    panel.actions["work"].click()
    assert panel.laboratory.working.wait(30)
    assert panel.progress.layout.visibility == "visible"
    assert "1 of 3 rounds" in panel.doing.value
    panel.buttons["stop"].click()
    assert panel.wait(30)
    assert "Stopped" in panel.message.value
    assert panel.progress.layout.visibility == "hidden"
    panel.laboratory.working.clear()
    panel.actions["work"].click()
    assert panel.laboratory.working.wait(30)
    panel.controls["height"].value = 0.8
    assert panel.wait(30)
    assert "It is 0.8." in panel.sentence.value


class Late(Toy):
    """Learns while it works that it has one more control, and is slow to say where its controls stand."""

    def __init__(self):
        super().__init__()
        self.known, self.asked, self.told = False, threading.Event(), threading.Event()

    def controls(self, state):
        return [*super().controls(state), *([Control("more", "more", "?", "flag")] if self.known else [])]

    def value(self, state, name):
        if self.known and threading.current_thread().name == "mmkd_lab what if":
            self.asked.set()
            assert self.told.wait(60)
        return False if name == "more" else super().value(state, name)

    def act(self, action, state, stopped):
        self.known = True
        yield self._view(state, 1)


def test_a_program_that_ends_while_a_panel_computes_ends_in_peace():
    """Handlers at exit run last first: the program's own sees what the lab's has left at work."""
    program = """
import atexit, time
left = lambda: print("at work at the end:", len(work._at_work), flush=True)
atexit.register(left)
from mmkd_lab import whatif
from mmkd_lab.whatif import work
whatif.repair("av_digits").show()
while not work._at_work:
    time.sleep(0.01)
print("at work:", len(work._at_work), flush=True)
"""
    env = {name: value for name, value in os.environ.items() if name != "MMKD_LAB_STATIC"}
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-2:] == ["at work: 1", "at work at the end: 0"]


def test_a_control_that_is_moved_while_an_answer_makes_controls_anew_is_heard():
    laboratory = Late()
    panel = LivePanel(laboratory)
    assert panel.wait(60)
    slider = panel.controls["height"]
    panel.actions["work"].click()
    assert laboratory.asked.wait(60)  # the answer's thread is moving controls
    person = threading.Thread(target=lambda: setattr(slider, "value", 0.25))
    person.start()
    person.join(0.3)
    laboratory.told.set()
    person.join(60)
    assert panel.wait(60)
    assert panel.state.height == panel.controls["height"].value == 0.25


def test_every_control_has_a_label_and_says_what_it_does():
    for laboratory in (Toy(), whatif.world(samples=25, seeds=8)):
        panel = LivePanel(laboratory)
        for one in walk(panel.box):
            if isinstance(one, ASKED):
                assert one.description
                assert one.tooltip
        panel.buttons["stop"].click()


def test_no_output_widget_is_used(panel):
    assert not [one for one in walk(panel.box) if isinstance(one, ipywidgets.Output)]


def test_the_world_panel_moves_its_linked_sliders_and_keeps_locked_ones():
    panel = LivePanel(whatif.world(samples=25, seeds=8))
    panel.controls["gamma"].value = 0.6
    assert panel.controls["alpha"].value == pytest.approx(0.2)
    panel.locks["alpha"].value = True
    panel.controls["gamma"].value = 0.4
    assert panel.controls["alpha"].value == pytest.approx(0.2)
    assert panel.controls["beta"].value == pytest.approx(0.4)
    assert panel.state.locked == ("alpha",)
    panel.buttons["stop"].click()
    assert panel.wait(60)


def test_a_thousand_states_in_a_row_leave_nothing_behind():
    laboratory = Toy()
    panel = LivePanel(laboratory)
    random = np.random.default_rng(0)

    def visit(times):
        for _ in range(times):
            panel.controls["height"].value = float(random.random() * 0.9)
            panel.controls["steps"].value = int(random.integers(1, 3))
        assert panel.wait(60)

    visit(300)  # the history is full
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    visit(1000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert panel.message.value == ""
    assert after - before < 300_000  # bytes: nothing that grows by state


def test_where_it_is_static_only_the_twin_is_shown(monkeypatch, capsys):
    monkeypatch.setenv("MMKD_LAB_STATIC", "1")
    Toy(Level(height=0.3)).show()
    told = capsys.readouterr().out
    assert "Figure(300x100)" in told
    assert "It is 0.3." in told
    assert "VBox" not in told
