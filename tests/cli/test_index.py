"""The page shows everything, escapes every text, and reads well on a wide screen and on a phone."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmkd_lab.cli.execute import export_html
from mmkd_lab.cli.page import gather, link_to, table_file, write_index
from mmkd_lab.cli.record import Failure, Outcome, Run
from mmkd_lab.experiments.result import Study
from mmkd_lab.plotting.canvas import LabFigure
from tests.screen import LEAST_CONTRAST, TOO_WIDE

ATTACK = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


VERDICT = "Crossmodal KD gains +1.20 [0.31,\u00a02.09] points."


def _study(name="arms", *, verdict=VERDICT, title="The finding"):
    rows = [
        {"study": name, "dataset": "d", "arm": arm, "role": "student", "seed": seed, "split": "test",
         "metric": "accuracy", "value": base + seed}
        for arm, base in (("no_kd", 60.0), ("um_kd", 62.0), ("cm_kd", 63.2)) for seed in range(5)
    ]  # fmt: skip
    provenance = {"data": {"fingerprint": "4f1c09ab37de2210"}, "device": "cpu", "seeds": [0, 1]}
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
    heading = new_markdown_cell("# All\n\n## The picture")
    cells = [heading, _image(_figure().png()), _image(study.plot().png())]
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

    report = gather(page.parent, "00_all")
    assert report.studies[0].picture is not None
    assert [picture.caption for picture in report.pictures] == ["The picture"], "each figure once"


def test_all_text_is_escaped(page):
    text = page.read_text()
    assert "<script" not in text
    assert 'onerror="' not in text
    assert text.count("&lt;script&gt;") >= 5
    assert 'href="./01%20%3Codd%3E%20%26%20name/plain.csv"' in text


def test_a_name_cannot_become_another_kind_of_address(tmp_path):
    address = link_to(tmp_path / "javascript:alert(1).html", tmp_path)
    assert address == "./javascript%3Aalert%281%29.html"


def test_a_damaged_study_is_named_and_hides_nothing_else(tmp_path):
    _study().save(tmp_path / "00")
    _study("changed").save(tmp_path / "00")
    with (tmp_path / "00" / "changed.csv").open("a") as file:
        file.write("\n")
    (tmp_path / "00" / "broken.json").write_text("{")
    (tmp_path / "00" / "empty.csv").write_text("")
    text = write_index(_run(tmp_path, Outcome("00", "T", "done"))).read_text()
    assert "broken.json cannot be read" in text
    assert "empty.csv cannot be shown: No columns to parse from file" in text
    assert "Crossmodal KD gains" in text
    assert "changed.csv cannot be shown: it is not the table that the study was saved with" in text
    assert text.count("95 % interval") == 1


@pytest.mark.browser
@pytest.mark.parametrize("sanitize", [False, True])
def test_a_page_that_a_notebook_wrote_stands_apart(tmp_path, browser, sanitize):
    (tmp_path / "00").mkdir()
    script = f"<h1>Apart</h1>{ATTACK}<script>try {{ parent.document.title = 'broken' }} catch {{}}</script>"
    (tmp_path / "00" / "own.html").write_text(script)
    run = replace(_run(tmp_path, Outcome("00", "T", "done")), sanitize=sanitize)
    text = write_index(run).read_text()
    assert "<script" not in text
    assert 'onerror="' not in text
    assert ("own.html is not shown" in text, "Apart" in text) == (sanitize, not sanitize)
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    assert tab.title().startswith("mmkd_lab"), "a script reached out of its frame"
    shown = [frame.locator("h1").text_content() for frame in tab.frames[1:]]
    assert shown == ([] if sanitize else ["Apart"])
    tab.close()


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
    table = table_file(tmp_path / "arms.csv", tmp_path).summary
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
    file = table_file(path, tmp_path)
    table = file.rows
    assert (table.total, len(table.lines), table.numeric) == (50, 8, (False, True))
    assert table.lines[1] == ("n1", "0.333333")
    assert file.summary is None


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
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
    assert tab.evaluate(TOO_WIDE) == [], "the page is wider than the screen"
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert tab.evaluate(LEAST_CONTRAST) >= 4.5
    widths = "[...document.images].map(image => image.getBoundingClientRect().width)"
    assert min(tab.evaluate(widths)) > 200
    tab.close()


@pytest.mark.browser
@pytest.mark.parametrize("state", ["interrupted", "running"])
def test_a_page_that_nobody_writes_any_more_says_so(tmp_path, browser, state):
    run = _run(tmp_path, Outcome("a", "A", "running"))
    run = replace(run, started=datetime.now(UTC)) if state == "running" else run
    tab = browser.new_page()
    tab.goto(write_index(run).as_uri())
    states = tab.evaluate("[...document.querySelectorAll('.state')].map(e => e.textContent)")
    assert states == [f"1 {state}", state, state]
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
