"""JupyterLab in a real browser: open a notebook, run all of it, read the verdict."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import nbformat
import pytest

from tests.notebooks import execution

NAME = "00_start_here"
TOKEN = "a-token-for-this-test-alone"
START, RUN = 90, 1800  # seconds

pytestmark = [pytest.mark.browser, pytest.mark.kernel]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A JupyterLab server of its own on a free local port, over a copy of the notebook."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(execution.without_outputs(execution.stored(NAME)), folder / f"{NAME}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--notebook-dir={folder}"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=_environment(tmp_path), stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", server, tmp_path / "server.log")
            address = f"http://127.0.0.1:{port}/lab/tree/{NAME}.ipynb?token={TOKEN}"
            yield address, folder / f"{NAME}.ipynb"
        finally:
            server.terminate()  # it ends its kernels before it goes
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the user's own Jupyter, this checkout's package, and progress bars as a user sees them."""
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = {**os.environ, **{name: str(tmp_path / name.lower()) for name in own}}
    checkout = str(execution.NOTEBOOKS.parent)
    environment["PYTHONPATH"] = os.pathsep.join([checkout, environment.get("PYTHONPATH", "")])
    environment["MMKD_LAB_RESULTS"] = str(tmp_path / "results")
    environment.pop("TQDM_DISABLE", None)
    return environment


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


def test_a_user_opens_the_first_notebook_and_runs_all_of_it(lab, browser, tmp_path):
    address, path = lab
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=START * 1000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=START * 1000)
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
