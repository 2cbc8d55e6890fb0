"""The world panel without a kernel: one file, whose sliders move in a real browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace

import pytest

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.whatif.page import PageSteps, page_states, split, world_page
from mmkd_lab.whatif.world_state import SHARES, WorldState, rounded, with_share

SMALL = {"parts": 4, "unobserved": (0.2,), "samples": (25, 100), "seeds": 3}
LARGEST = 3_000_000


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A small page that begins at a step; what else it holds is as by default."""
    return whatif.world(alpha=0.5, beta=0.25, gamma=0.25, samples=100).page(
        tmp_path_factory.mktemp("page"), progress=False, **SMALL
    )


def _views(text):
    packed = re.search(r'id="views">([^<]*)<', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_every_state_has_its_place():
    steps = PageSteps(**SMALL)
    states = page_states(WorldState(), steps)
    assert len(states) == 15 * 1 * 2 * 2 * 1
    assert list(split(1)) == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    for number, (a, b, c) in enumerate(split(4)):
        assert number == a * 5 - a * (a - 1) // 2 + b, "as the page counts"
        state = states[4 * number + 1]
        assert [getattr(state, name) for name in SHARES] == [a / 4, b / 4, c / 4]
        assert (state.samples, state.labels, state.seeds) == (25, False, 3)


def test_a_page_holds_what_the_panel_shows(page):
    text, steps = page.read_text(), PageSteps(**SMALL)
    held = _views(text)
    lab = whatif.world(alpha=0.5, beta=0.25, gamma=0.25, samples=100, seeds=3)
    view = next(one for one in lab.answers(lab.state, lambda: False) if one.numbers)
    states = [replace(one, seeds=3) for one in page_states(lab.state, steps)]
    texts = [held["texts"][i] for i in held["views"][states.index(lab.state)]]
    assert texts[:2] == [view.scenes["diagram"].svg(), view.scenes["students"].svg()]
    assert texts[2] == view.sentence
    assert texts[0] in text, "it begins there"
    assert len(held["texts"]) == len(set(held["texts"]))
    diagrams = {one[0] for one in held["views"]}
    assert len(diagrams) == 15, "a diagram shows shares alone"


def test_a_page_is_small_and_needs_nothing_else(page):
    text = page.read_text()
    assert len(text) * 66 * 12 / (15 * 4) * 8 / 3 < LARGEST, "so large would be the page by default"
    assert [one for one in re.findall(r"https?://[^\"' <]+", text) if "www.w3.org" not in one] == []
    assert "3 paired seeds" in text
    lab = whatif.world(alpha=0.5, beta=0.25, gamma=0.25, samples=100)
    assert world_page(lab, PageSteps(**SMALL), progress=False) == text, "the same again"


def test_steps_that_are_no_states_are_refused():
    with pytest.raises(LabError, match="unobserved"):
        whatif.world().page(unobserved=(0.95,), progress=False)
    with pytest.raises(LabError, match="parts"):
        whatif.world().page(parts=0, progress=False)


def _open(browser, page, width):
    tab = browser.new_page(viewport={"width": width, "height": 900})
    messages, asked = [], []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_selector("#gamma:enabled")
    return tab, messages, asked


def _shown(tab):
    ids = ("sentence", "diagram", "students", "call")
    return [tab.locator(f"#{one}").inner_html() for one in ids]


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1000, 1600])
def test_sliders_move_by_keyboard_and_mouse(page, browser, width, tmp_path):
    held = _views(page.read_text())
    tab, messages, asked = _open(browser, page, width)
    begun = _shown(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.locator("#gamma").focus()
    tab.keyboard.press("ArrowRight")
    moved = _shown(tab)
    assert all(was != now for was, now in zip(begun, moved, strict=True))
    assert tab.locator("#gamma").get_attribute("aria-valuetext") == "50 %"
    box = tab.locator("#gamma").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=5)
    tab.mouse.up()
    assert [tab.locator(f"#{one}-told").text_content() for one in SHARES] == ["0 %", "0 %", "100 %"]
    place = list(split(4)).index((0, 0, 4)) * 4 + 2
    sentence, diagram, *_ = _shown(tab)
    assert sentence == held["texts"][held["views"][place][2]]
    assert "both know 100%" in diagram
    tab.locator("#labels").focus()
    tab.keyboard.press("Space")
    assert tab.locator("#sentence").text_content() == held["texts"][held["views"][place + 1][2]]
    assert "labels=False" in tab.locator("#call").text_content()
    tab.locator("#reset").click()
    assert _shown(tab) == begun
    assert messages == []
    assert [one for one in asked if one != page.as_uri()] == []
    tab.screenshot(path=tmp_path / f"page_{width}.png", full_page=True)
    tab.close()


@pytest.mark.browser
def test_the_page_reckons_as_the_panel_does(page, browser):
    tab, *_ = _open(browser, page, 1000)
    states = [WorldState(), WorldState(alpha=0.7, beta=0.1, gamma=0.2), WorldState(alpha=0, beta=0, gamma=1)]
    for state in states:
        for locked in ((), ("alpha",), ("beta", "alpha")):
            for name in ("gamma", "beta"):
                held = tuple(one for one in locked if one != name)
                for value in (0.0, 0.25, 0.6, 1.0):
                    mine = with_share(replace(state, locked=held), name, value)
                    shares = [getattr(mine, one) for one in SHARES]
                    now = {one: getattr(state, one) for one in SHARES}
                    call = "([now, held, name, value]) => withShare(now, new Set(held), name, value)"
                    found = tab.evaluate(call, [now, list(held), name, value])
                    assert [found[one] for one in SHARES] == pytest.approx(shares, abs=2e-9)
                    assert tab.evaluate("now => nearest(now)", found) == rounded(shares, 4)
    tab.close()


@pytest.mark.browser
def test_a_locked_share_stays(page, browser):
    tab, *_ = _open(browser, page, 1000)
    tab.locator("#lock-alpha").click()
    assert tab.locator("#lock-alpha").get_attribute("aria-pressed") == "true"
    tab.locator("#gamma").focus()
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    assert [tab.locator(f"#{one}-told").text_content() for one in SHARES] == ["50 %", "0 %", "50 %"]
    tab.close()


@pytest.mark.browser
def test_a_browser_that_cannot_unpack_says_so(page, browser):
    tab = browser.new_page()
    tab.add_init_script("delete globalThis.DecompressionStream")
    tab.goto(page.as_uri())
    tab.wait_for_function("document.getElementById('notice').textContent !== ''")
    assert "cannot unpack" in tab.locator("#notice").text_content()
    assert tab.locator("#gamma").is_disabled()
    assert tab.locator("#diagram svg").count() == 1
    tab.close()
