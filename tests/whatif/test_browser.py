"""The panel in a real browser: the notebook in JupyterLab, and as a page without code by Voila.

What the page says is compared with what the same state says in Python. Pictures of the screen are kept in the
folder that MMKD_LAB_SCREENSHOTS names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from playwright.sync_api import expect

from mmkd_lab import whatif
from tests import servers
from tests.notebooks.execution import NOTEBOOKS
from tests.whatif.hands import PATIENCE, Hands

expect.set_options(timeout=PATIENCE)

NAME = "05_what_if.ipynb"
WIDTHS = (1000, 1600, 400)
#: Style sheets that Voila's own template asks of another host; here they are empty, as without a network.
ELSEWHERE = "https://cdn.jsdelivr.net/npm/@fortawesome/"

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("what_if")


@pytest.fixture(scope="module")
def notebook(folder: Path) -> Path:
    """A copy, beside which things may be written; its page without a kernel holds few worlds."""
    (folder / "notebooks").mkdir()
    text = (NOTEBOOKS / NAME).read_text(encoding="utf-8")
    few = "page(parts=2, samples=[200], labels=[True], unobserved=[0.2], "  # the page has tests of its own
    assert text.count("page(progress") == 1
    path = folder / "notebooks" / NAME
    path.write_text(text.replace("page(progress", f"{few}progress"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def errors() -> list[str]:
    """What the browser's console complains of."""
    return []


@pytest.fixture(scope="module")
def lab(browser, notebook, folder, errors) -> Iterator[Hands]:
    """The notebook in JupyterLab, all of it run."""
    with servers.jupyterlab(notebook, folder) as address:
        page = _opened(browser, address, errors)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells").first.click()
        page.get_by_text("labels from yes to no").last.wait_for(timeout=10 * PATIENCE)  # the last cell's
        page.keyboard.press("Control+Home")
        yield Hands(page)
        page.close()


@pytest.fixture
def panel(lab: Hands) -> Hands:
    """The panel as it began."""
    lab.button("reset").click()
    lab.shows(whatif.world())
    return lab


def _opened(browser, address: str, errors: list[str], width: int = 1600):
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route(f"{ELSEWHERE}**", lambda route: route.fulfill(body="", content_type="text/css"))
    page.goto(address)
    return page


def _to_the_first_panel(notebook: Path) -> Path:
    """A copy that ends with the first panel: all cells are run in JupyterLab."""
    made = nbformat.read(notebook, as_version=4)
    last = next(i for i, cell in enumerate(made.cells) if cell.source.endswith(".show()"))
    made.cells = made.cells[: last + 1]
    path = notebook.with_name(f"first_{NAME}")
    nbformat.write(made, path)
    return path


def _keep(page, name: str, folder: Path) -> None:
    where = Path(os.environ.get("MMKD_LAB_SCREENSHOTS") or folder)
    where.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=where / f"{name}.png")


def test_a_slider_dragged_by_mouse_moves_all(panel):
    panel.drag("γ both", 0.7)
    expect(panel.picture("Venn diagram to scale: only a 15%, both 70%, only b 15%")).to_be_visible()
    for label in ("α only a", "β only b"):
        expect(panel.at(label)).to_have_text("0.15")
    panel.shows(whatif.world(gamma=0.7))
    expect(panel.picture("KD from a helps (32 paired seeds)")).to_be_visible()


def test_a_slider_moved_by_keys_keeps_the_focus(panel):
    panel.press("γ both", "ArrowRight", "ArrowRight")
    expect(panel.picture("Venn diagram to scale: only a 35%, both 30%, only b 35%")).to_be_visible()
    panel.shows(whatif.world(gamma=0.3, beta=0.35))
    expect(panel.handle("γ both")).to_be_focused()
    panel.page.keyboard.press("ArrowLeft")
    panel.shows(whatif.world(gamma=0.25))


def test_a_share_between_two_stops_stays_where_it_is(panel):
    begun = "world?alpha=0.215902&beta=0.284098&gamma=0.5"
    panel.open(begun)
    expect(panel.at("γ both")).to_have_text("0.50")
    panel.press("samples", "ArrowRight")  # by now the browser could have moved the shares to its stops
    panel.stands_at(f"{begun}&samples=400")


def test_a_locked_share_stays(panel):
    panel.button("lock", 2).click()
    expect(panel.button("locked")).to_be_visible()
    panel.drag("γ both", 0.5)
    expect(panel.at("α only a")).to_have_text("0.10")
    expect(panel.at("β only b")).to_have_text("0.40")
    panel.shows(whatif.world(alpha=0.1, beta=0.4, gamma=0.5, locked=("beta",)))


def test_pinned_and_undone(panel):
    panel.button("pin").click()
    expect(panel.button("unpin")).to_be_visible()
    panel.press("γ both", "End")
    panel.shows(whatif.world(gamma=1.0))
    row = panel.panel.get_by_role("row").filter(has_text="KD minus no KD")
    gain = "KD minus no KD (points)"
    values = [whatif.world(gamma=share).settled().numbers[gain] for share in (0.2, 1.0)]
    expect(row).to_contain_text(f"{values[0].mean():.2f}".replace("-", "−"))
    expect(row).to_contain_text(f"{(values[1] - values[0]).mean():+.2f}")
    panel.button("undo").click()
    expect(panel.at("γ both")).to_have_text("0.20")
    panel.button("redo").click()
    expect(panel.at("γ both")).to_have_text("1.00")
    panel.button("unpin").click()
    expect(row).to_have_count(0)


def test_exported_files_hold_what_is_shown(panel, folder):
    panel.press("samples", "ArrowRight")
    panel.shows(whatif.world(samples=400))
    for kind in ("CSV", "SVG", "PNG"):
        panel.button(f"save {kind}").click()
        expect(panel.panel.get_by_text(re.compile(rf"what_if_world_\w+\.{kind.lower()}"))).to_be_visible()
    found = {path.suffix: path for path in (folder / "results").glob("what_if_world_????????.*")}
    written = pd.read_csv(found[".csv"])
    pd.testing.assert_frame_equal(written, whatif.world(samples=400).settled().table, check_dtype=False)
    assert "KD from a hurts (32 paired seeds)" in found[".svg"].read_text(encoding="utf-8")
    assert found[".png"].read_bytes().startswith(b"\x89PNG")


def test_work_is_stopped(panel):
    panel.press("KD weight", "ArrowLeft")  # a map that was not trained yet
    expect(panel.panel.get_by_text("worlds of the map")).to_be_visible()
    panel.button("stop").click()
    expect(panel.panel.get_by_text("Stopped.")).to_be_visible()
    expect(panel.panel.locator(".widget-hprogress")).to_be_hidden()
    expect(panel.sentence).not_to_contain_text("With a teacher that sees")


def test_what_cannot_be_is_told_in_words(panel):
    panel.panel.get_by_role("combobox", name="labels").select_option("no")
    panel.shows(whatif.world(labels=False))
    panel.press("KD weight", "Home")
    expect(panel.error).to_contain_text("must leave something to be taught")
    expect(panel.at("KD weight")).to_have_text("2.0")
    panel.open("world?gamma=2")
    expect(panel.error).to_contain_text("gamma = 2")


def test_a_link_restores_and_tells_its_code(panel):
    panel.open("world?gamma=0.6&teacher=shared")
    expect(panel.at("γ both")).to_have_text("0.60")
    panel.shows(whatif.world(gamma=0.6, teacher="shared"))
    panel.button("code").click()
    expect(panel.panel.get_by_text("papermill notebooks/05_what_if.ipynb")).to_be_visible()
    panel.button("code").click()


def test_every_control_has_a_label_and_says_what_it_does(panel):
    panel.panel.get_by_text("more", exact=True).click()
    for control in whatif.world().controls(whatif.world().state):
        label = panel.panel.locator(f'[title="{control.describe}"]').first
        expect(label).to_contain_text(control.label)
        expect(label).to_be_visible()
    panel.panel.get_by_text("more", exact=True).click()
    for button in panel.panel.get_by_role("button").all():
        assert button.inner_text()
        assert button.get_attribute("title")


def test_jupyterlab_ran_all_without_an_error(lab, notebook, folder, errors):
    for width in WIDTHS[:2]:
        lab.page.set_viewport_size({"width": width, "height": 1000})
        lab.panel.scroll_into_view_if_needed()
        _keep(lab.page, f"jupyterlab_{width}", folder)
    with lab.page.expect_response(lambda one: one.request.method == "PUT" and NAME in one.url):
        lab.page.get_by_role("menuitem", name="File", exact=True).click()
        lab.page.get_by_role("menuitem", name="Save Notebook", exact=False).first.click()
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]
    assert lab.page.get_by_text("Error displaying widget").count() == 0
    assert errors == []
    saved = {path.suffix for path in (folder / "results").glob("what_if_world_gamma*")}
    assert saved == {".csv", ".json", ".png", ".svg"}


def test_voila_shows_the_page_without_code_on_a_phone_too(browser, notebook, folder):
    errors: list[str] = []
    with servers.voila(_to_the_first_panel(notebook), folder) as address:
        page = _opened(browser, address, errors, width=400)
        hands = Hands(page)
        hands.panel.wait_for(timeout=2 * PATIENCE)
        hands.shows(whatif.world())
        hands.handle("γ both").scroll_into_view_if_needed()
        hands.drag("γ both", 0.9)
        diagram = hands.picture("Venn diagram to scale: only a 5%, both 90%, only b 5%")
        expect(diagram).to_be_in_viewport()  # while the slider is
        expect(hands.handle("γ both")).to_be_in_viewport()
        hands.shows(whatif.world(gamma=0.9))
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.get_by_text("import whatif").count() == 0
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1000})
            hands.panel.scroll_into_view_if_needed()
            _keep(page, f"voila_{width}", folder)
        page.close()
    assert errors == []
