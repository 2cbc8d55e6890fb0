"""A page in one file shows all it was given, escapes every text, asks for nothing, and fits any screen."""

from __future__ import annotations

import base64
import re

import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting import LabFigure, ReportSection, write_report
from tests.screen import LEAST_CONTRAST, TOO_WIDE

ATTACK = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


def _figure():
    figure = LabFigure((8.0, 3.0))
    figure.headline("Up and down")
    figure.subplots().plot([1, 3, 2])
    return figure


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    table = pd.DataFrame({"arm": ["a", ATTACK], "gain": [-1.23456, float("nan")], "n": [5, 5], **{
        f"column {i}": [i, i] for i in range(20)}})  # fmt: skip
    sections = [
        ReportSection("Seen", [f"Gains +1.20 [0.31, 2.09]. {ATTACK}"], figures=[_figure()]),
        ReportSection("Told", points=["first", ATTACK], tables={"numbers": table, "long": _long()}),
    ]
    return write_report(
        tmp_path_factory.mktemp("page") / "report.html",
        title=f"Found {ATTACK}",
        lead="A verdict of −2.00 [−3.00, −1.00] points.",
        sections=sections,
        facts={"data": {"fingerprint": "4f1c"}, "seeds": [0, 1], "lr": 0.1234567, "odd": ATTACK},
        files={"table.csv": b"a,b\n1,2\n"},
    )


def _long():
    return pd.DataFrame({"row": range(1000)})


def test_all_is_on_it_and_escaped(page):
    text = page.read_text()
    for part in (
        "−1.235", "+1.20 [0.31,\u00a02.09]", "[−3.00,\u00a0−1.00]", "data.fingerprint", "4f1c", "0.123457",
        "200 of 1000 rows", "<li>first</li>", 'alt="Up and down"',
    ):  # fmt: skip
        assert part in text, part
    assert "<script" not in text
    assert 'onerror="' not in text
    assert text.count("&lt;script&gt;") == 6
    assert ">nan<" not in text
    (held,) = re.findall(r'href="data:text/plain;base64,([^"]*)" download="table.csv"', text)
    assert base64.b64decode(held) == b"a,b\n1,2\n"


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_it_reads_well_and_asks_for_nothing(page, browser, width, scheme):
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, messages = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: messages.append(message.text))
    tab.goto(page.as_uri())
    assert [one for one in asked if not one.startswith(("data:", page.as_uri()))] == []
    assert messages == []
    assert tab.title().startswith("mmkd_lab: Found")
    assert tab.evaluate(TOO_WIDE) == []
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert tab.evaluate(LEAST_CONTRAST) >= 4.5
    tab.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "report.pdf"}, r"ending of path = '.pdf': must be one of '.html'"),
        ({"path": "here.html/report.html"}, "must be a file that can be written"),
        ({"title": 3}, "title = 3: must be text"),
        ({"lead": None}, "lead = None: must be text"),
        ({"sections": "text"}, "must be a list of sections"),
        ({"sections": ["text"]}, "must be ReportSections"),
        ({"sections": [ReportSection("a", figures=["b"])]}, "must be LabFigures"),
        ({"sections": [ReportSection("a", tables={"b": [1]})]}, "must be DataFrames"),
    ],
)
def test_wrong_input_is_refused_and_leaves_nothing(tmp_path, given, words):
    (tmp_path / "here.html").write_text("old")
    path = tmp_path / given.pop("path", "report.html")
    with pytest.raises(LabError, match=words):
        write_report(path, **{"title": "t", "lead": "l", "sections": [], **given})
    assert [one.name for one in tmp_path.iterdir()] == ["here.html"]
