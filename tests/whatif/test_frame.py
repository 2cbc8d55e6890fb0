"""What every laboratory has: links, views that are kept and compared, scenes drawn two ways, history."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.whatif.answer import Answer, compare
from mmkd_lab.whatif.history import History
from mmkd_lab.whatif.scene import Area, Dot, Label, Path, Pixels, Scene, grid

PIXELS = np.zeros((2, 2, 3), np.uint8)
EVERY = Scene(
    200,
    100,
    (
        Area([(10, 10), (60, 10), (60, 60), (10, 60)], "#C85200"),
        Path([(0, 90), (200, 90)], "#000000", dashed=True),
        Dot(150, 50, 20, "#0072B2", told="seed 3: 71 %"),
        Label(100, 95, "a < b & c", bold=True),
        Pixels(80, 10, 20, 20, PIXELS),
    ),
    'told "so"',
)


def pixels(scene):
    return np.asarray(Image.open(io.BytesIO(scene.figure().png(dpi=100))).convert("RGB"))


def test_svg_is_sound_xml_that_escapes_what_is_written():
    root = ET.fromstring(EVERY.svg())
    assert root.attrib["aria-label"] == 'told "so"'
    assert "a < b & c" in [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "seed 3: 71 %" in [one.text for one in root.iter("{http://www.w3.org/2000/svg}title")]


def test_matplotlib_draws_the_same_marks_in_the_same_places():
    found = pixels(EVERY)
    assert found.shape[:2] == (100, 200)
    assert tuple(found[30, 30]) == (0xC8, 0x52, 0x00)
    assert tuple(found[50, 150]) == (0x00, 0x72, 0xB2)
    assert tuple(found[20, 90]) == (0, 0, 0)
    assert tuple(found[75, 30]) == (255, 255, 255)


def test_a_grid_moves_every_mark():
    both = grid([EVERY, EVERY], columns=2, titles=("one", "other"))
    found = pixels(both)
    assert found.shape[:2] == (126, 400)
    assert tuple(found[56, 230]) == (0xC8, 0x52, 0x00)


def test_a_link_restores_a_state_and_plain_ones_are_short():
    lab = whatif.world(gamma=0.35, labels=False, locked=("gamma",), teacher="both", kd=0.5)
    assert lab.restore(lab.link()) == lab.state
    assert whatif.open(lab.link()).state == lab.state
    assert whatif.world().link() == "world"
    assert whatif.open("world?gamma=0.35").state == whatif.world(gamma=0.35).state
    assert eval(lab.python(), {"whatif": _Opened}) == lab.link()


class _Opened:
    @staticmethod
    def open(link):
        return type("Shown", (), {"show": lambda self: link})()


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("word", "Did you mean 'world'?"),
        ("world?gama=0.4", "'gama'"),
        ("world?gamma=much", "gamma = 'much'"),
        ("world?labels=maybe", "labels = 'maybe'"),
        ("world?gamma=1.4", "gamma = 1.4"),
        ("world?locked=delta", "locked"),
        ("", "link = ''"),
        (3, "link = 3"),
    ],
)
def test_a_link_that_restores_nothing_is_refused(link, told):
    with pytest.raises(LabError) as error:
        whatif.open(link)
    assert told in str(error.value)


def test_history_counts_one_control_moved_in_a_row_once():
    history = History([0])
    for value, name in ((1, "a"), (2, "a"), (3, "b"), (4, ""), (5, "")):
        history.push(value, name)
    assert history.states == [0, 2, 3, 4, 5]
    assert [history.step(-1), history.step(-1), history.step(1)] == [4, 3, 4]
    history.push(9, "b")
    assert history.states == [0, 2, 3, 4, 9]
    assert [history.step(-1) for _ in range(7)][-1] == 0
    assert [history.step(1) for _ in range(7)][-1] == 9
    for value in range(1000):
        history.push(value, "")
    assert len(history.states) <= 202
    assert history.now == 999


def _view(values, name="KD (%)"):
    return Answer({"only": EVERY}, "It helps.", pd.DataFrame({"x": [1.5]}), {name: np.array(values)})


def test_pinned_and_now_are_compared_seed_by_seed():
    row = compare(_view([70.0, 71.0, 72.0]), _view([71.0, 72.5, 72.0])).iloc[0]
    assert row["pinned"].startswith("71.00 [")
    assert row["difference"].startswith("+0.83 [")
    assert compare(_view([70.0]), _view([71.0, 73.0])).iloc[0]["difference"] == "+2.00, not paired"
    with pytest.raises(LabError, match="pinned"):
        compare(_view([1.0], "other"), _view([1.0]))


def test_views_are_written_whole(tmp_path):
    view = _view([1.0, 2.0])
    assert pd.read_csv(view.save("v", "csv", tmp_path))["x"].tolist() == [1.5]
    with Image.open(view.save("v", "png", tmp_path)) as picture:
        assert picture.size == (400, 200)
    assert re.match(r"<svg ", view.save("v", "svg", tmp_path).read_text())
    with pytest.raises(LabError, match="kind = 'pdf'"):
        view.save("v", "pdf", tmp_path)
