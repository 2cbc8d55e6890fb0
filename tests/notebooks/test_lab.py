"""JupyterLab in a real browser: open a notebook, run all of it, read the verdict."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests import servers
from tests.notebooks import execution

NAME = "00_start_here"
RUN = 1800  # seconds

pytestmark = [pytest.mark.browser, pytest.mark.kernel]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The notebook's address in a JupyterLab of its own, and its file: a copy."""
    path = tmp_path / "notebooks" / f"{NAME}.ipynb"
    path.parent.mkdir()
    nbformat.write(execution.without_outputs(execution.stored(NAME)), path)
    with servers.jupyterlab(path, tmp_path) as address:
        yield address, path


def test_a_user_opens_the_first_notebook_and_runs_all_of_it(lab, browser, tmp_path):
    address, path = lab
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=servers.START * 1000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=servers.START * 1000)
    _choose(page, "Run", "Run All Cells")
    cells = _until_run(page, path)
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    printed = "".join(cells[-1]["outputs"][-1]["text"]).strip()
    stored = execution.verdict(execution.stored(NAME))
    assert printed.partition("the ")[0] == stored.partition("the ")[0]  # dataset, student, seeds, metric
    assert len(execution.comparisons(printed)) == len(execution.comparisons(stored)) > 0
    assert page.get_by_text("Error displaying widget").count() == 0
    saved = sorted(file.suffix for file in (tmp_path / "results").iterdir())
    assert saved == [".csv", ".json", ".png", ".svg"]
    page.close()


def _choose(page, menu, entry):
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=entry).first.click()


def _until_run(page, path):
    """Save now and then until the last cell on disk has run; returns the code cells."""
    end = time.monotonic() + RUN
    while time.monotonic() < end:
        page.wait_for_timeout(2000)
        _choose(page, "File", "Save Notebook")
        page.wait_for_timeout(500)
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
        if cells[-1]["outputs"] or "error" in kinds:
            return cells
    pytest.fail(f"the last cell had not run after {RUN} s")
