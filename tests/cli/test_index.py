"""The page shows everything, escapes every text, and reads well on a wide screen and on a phone."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmkd_lab.cli.export import export_html
from mmkd_lab.cli.index import write_index
from mmkd_lab.cli.preview import read_table, summary_table
from mmkd_lab.cli.record import Failure, Outcome, Run
from mmkd_lab.cli.report import gather
from mmkd_lab.experiments.result import Study
from mmkd_lab.plotting.canvas import LabFigure

ATTACK = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


def _study(
    name="arms", *, verdict="Crossmodal KD gains +1.20 [0.31,\u00a02.09] points.", title="The finding"
):
    rows = [
        {"study": name, "dataset": "d", "arm": arm, "role": "student", "seed": seed, "split": "test",
         "metric": "accuracy", "value": base + seed}
        for arm, base in (("no_kd", 60.0), ("um_kd", 62.0), ("cm_kd", 63.2)) for seed in range(5)
    ]  # fmt: skip
    provenance = {
        "data": {"fingerprint": "4f1c09ab37de2210"},
        "device": "cpu",
        "parameters": {"seeds": [0, 1]},
    }
    return Study(name, title, pd.DataFrame(rows), verdict, provenance=provenance)


def _figure():
    figure = LabFigure((4.0, 3.0))
    figure.subplots().plot([1, 3, 2])
    return figure


def _image(png: bytes):
    data = {"image/png": base64.b64encode(png).decode()}
    return new_code_cell("figure", outputs=[new_output("display_data", data)])


def _run(folder, *outcomes):
    return Run(folder, datetime(2025, 3, 4, 12, 0, tzinfo=UTC), outcomes, versions={"torch": "2.13.0"})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A run with everything on it, hostile texts among them."""
    tmp_path = tmp_path_factory.mktemp("run")
    study = _study()
    study.save(tmp_path / "00_all")
    _study("hostile", verdict=f"Verdict {ATTACK}", title="Attack").save(tmp_path / "01 <odd> & name")
    (tmp_path / "01 <odd> & name" / "plain.csv").write_text(f"a,b\n1,{ATTACK.replace(',', ';')}\n")
    cells = [
        new_markdown_cell("# All\n\n## The picture"),
        _image(_figure().png()),
        _image(study.plot().png()),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "00_all.ipynb")
    (tmp_path / "00_all.html").write_text("<html></html>")
    outcomes = (
        Outcome("00_all", "All of it", "done", {"seeds": 5, "note": None}, ("seeds",), 125.2, 812_000_000),
        Outcome("01 <odd> & name", ATTACK, "failed", {"text": ATTACK}, ("text",), 3.0, 1,
                Failure("Error", ATTACK, 2, f"a long line {'x' * 400}\n{ATTACK}")),
        Outcome("02_later", "Later", "stopped"),
    )  # fmt: skip
    return write_index(_run(tmp_path, *outcomes))


def test_everything_is_on_it(page):
    text = page.read_text()
    for part in (
        "All of it", "2 min 05 s", "812 MB", "Crossmodal KD gains +1.20 [0.31,\u00a02.09] points.",
        "./00_all/arms.csv", "./00_all.ipynb", "./00_all.html", "4f1c09ab37de2210", "65.20 [63.24, 67.16]",
        "accuracy (%)", "2.13.0",
    ):  # fmt: skip
        assert part in text, part
    assert "./02_later.ipynb" not in text


def test_every_figure_is_there_once(page):
    report = gather(page.parent, "00_all")
    assert report.studies[0].picture is not None
    assert [picture.caption for picture in report.pictures] == ["The picture"], (
        "the study's own figure is not repeated"
    )


def test_all_text_is_escaped(page):
    text = page.read_text()
    assert "<script" not in text
    assert 'onerror="' not in text
    assert text.count("&lt;script&gt;") >= 5
    assert 'href="./01%20%3Codd%3E%20%26%20name/plain.csv"' in text


def test_a_name_cannot_become_another_kind_of_address(tmp_path):
    (tmp_path / "javascript:alert(1).html").write_text("")
    text = write_index(_run(tmp_path, Outcome("javascript:alert(1)", "x", "done"))).read_text()
    assert 'href="./javascript%3Aalert%281%29.html"' in text


def test_a_damaged_study_is_named_and_hides_nothing_else(tmp_path):
    _study().save(tmp_path / "00")
    (tmp_path / "00" / "broken.json").write_text("{")
    (tmp_path / "00" / "empty.csv").write_text("")
    (tmp_path / "00" / "uneven.csv").write_text("a,b\n1\n")
    text = write_index(_run(tmp_path, Outcome("00", "T", "done"))).read_text()
    assert "broken.json cannot be read" in text
    assert "empty.csv cannot be shown: it is empty" in text
    assert "uneven.csv cannot be shown: line 2 does not have 2 cells" in text
    assert "Crossmodal KD gains" in text


def test_a_table_that_is_not_the_studys_own_is_not_shown(tmp_path):
    _study().save(tmp_path / "00")
    with (tmp_path / "00" / "arms.csv").open("a") as file:
        file.write("\n")
    text = write_index(_run(tmp_path, Outcome("00", "T", "done"))).read_text()
    assert "arms.csv cannot be shown: it is not the table that the study was saved with" in text
    assert "95 % interval" not in text


@pytest.mark.parametrize("sanitize", [False, True])
def test_what_is_active_can_be_taken_out_of_a_notebooks_page(tmp_path, sanitize):
    attack = new_output("display_data", {"text/html": "<b>seen</b><img src=x onerror='attack()'>"})
    nbformat.write(new_notebook(cells=[new_code_cell("1", outputs=[attack])]), tmp_path / "a.ipynb")
    page = export_html(tmp_path / "a.ipynb", sanitize=sanitize).read_text()
    assert "<b>seen</b>" in page
    assert (re.search(r"<img[^>]*onerror", page) is None) is sanitize


def test_what_is_no_file_of_its_kind_stops_nothing(tmp_path):
    results = tmp_path / "one"
    for name in ("a.png", "b.svg", "c.csv", "d.json"):
        (results / name).mkdir(parents=True)
    (results / "e.png").symlink_to(tmp_path / "gone")
    (results / "f.csv").write_bytes(b"\xff\xfe")
    (results / "g.json").write_text("[" * 100_000)
    report = gather(tmp_path, "one")
    assert (report.studies, report.pictures) == ((), ())
    assert [table.name for table in report.tables if table.problem] == ["f.csv"]
    assert [problem.split()[0] for problem in report.problems] == ["g.json"]


def test_the_page_renews_itself_only_while_it_runs(tmp_path):
    running = write_index(_run(tmp_path, Outcome("a", "A", "running"), Outcome("b", "B"))).read_text()
    assert '<meta http-equiv="refresh" content="5">' in running
    ended = write_index(_run(tmp_path, Outcome("a", "A", "done"), Outcome("b", "B", "stopped"))).read_text()
    assert "http-equiv" not in ended


def test_means_and_intervals_over_seeds(tmp_path):
    study = _study()
    study.save(tmp_path)
    table = summary_table(tmp_path / "arms.csv")
    expected = study.summary().set_index("arm")
    assert table.heads == ("role", "arm", "accuracy (%)", "n")
    assert [line[1] for line in table.lines] == ["no_kd", "um_kd", "cm_kd"]
    for _, arm, shown, n in table.lines:
        row = expected.loc[arm]
        assert shown == f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        assert n == "5"


def test_a_table_of_another_kind_shows_its_first_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,value\n" + "".join(f"n{i},{i / 3}\n" for i in range(50)))
    table = read_table(path)
    assert (table.total, len(table.lines), table.numeric) == (50, 8, (False, True))
    assert table.lines[1] == ("n1", "0.333333")
    assert summary_table(path) is None


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_it_reads_well_in_a_browser(page, browser, width, scheme):
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, messages = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.goto(page.as_uri())
    assert [address for address in asked if not address.startswith(("data:", page.as_uri()))] == []
    assert messages == []
    assert tab.title().startswith("mmkd_lab"), "a script among the texts was run"
    assert tab.evaluate(_TOO_WIDE) == [], "the page is wider than the screen"
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert tab.evaluate(_LEAST_CONTRAST) >= 4.5
    assert (
        tab.evaluate("Math.min(...[...document.images].map(image => image.getBoundingClientRect().width))")
        > 200
    )
    tab.close()


#: What sticks out of the screen, if anything does.
_TOO_WIDE = """
() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]
  .filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest('.scroll, .paper, pre'))
  .map(e => e.outerHTML.slice(0, 80))
"""

#: WCAG contrast of each text against the first opaque ground behind it, the least of all.
_LEAST_CONTRAST = """
() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = parts(colour).map(v => v / 255)
      .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const ratios = [...document.querySelectorAll('body *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.offsetParent)
    .map(e => [light(getComputedStyle(e).color), light(ground(e))])
    .map(([a, b]) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  return Math.min(...ratios);
}
"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("started", "state"), [(datetime(2025, 3, 4, tzinfo=UTC), "interrupted"), (None, "running")]
)
def test_a_page_that_nobody_writes_any_more_says_so(tmp_path, browser, started, state):
    run = _run(tmp_path, Outcome("a", "A", "running"))
    tab = browser.new_page()
    tab.goto(write_index(replace(run, started=started or datetime.now(UTC))).as_uri())
    assert tab.evaluate("[...document.querySelectorAll('.state')].map(e => e.textContent)") == [
        f"1 {state}",
        state,
        state,
    ]
    assert tab.evaluate("document.querySelector('meta[http-equiv]') === null") == (state == "interrupted")
    tab.close()


@pytest.mark.browser
def test_the_links_lead_to_the_files(page, browser):
    tab = browser.new_page()
    tab.goto(page.as_uri())
    links = tab.evaluate("[...document.querySelectorAll('a')].map(a => a.href)")
    targets = "[...document.querySelectorAll('nav a')].map(a => document.getElementById(a.hash.slice(1)))"
    assert tab.evaluate(f"{targets}.map(target => target !== null)") == [True] * 5
    tab.close()
    files = [Path(unquote(urlparse(link).path)) for link in links if "#" not in link]
    assert len(files) >= 6
    assert [str(path) for path in files if not path.is_file()] == []


def test_the_record_is_plain_json(tmp_path):
    run = _run(
        tmp_path, Outcome("a", "A", "failed", {"x": (1, None)}, ("x",), 1.0, 2, Failure("E", "m", 1, "t"))
    )
    run.save()
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["notebooks"][0]["failure"] == {"kind": "E", "message": "m", "cell": 1, "traceback": "t"}
    assert record["notebooks"][0]["parameters"] == {"x": [1, None]}
