"""How soon the world panel answers in a browser, key to pixels: `python benchmarks/what_if_browser.py`.

A real JupyterLab shows the panel in Chromium. An arrow key is pressed on the slider of gamma, and the page's
own clock says when the diagram in the document is another, when the truth of 8 seeds and when that of 32
stands there, each in the first frame drawn after it: the median of 30 states that were not trained before.
Writes benchmarks/results/what_if_browser.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MMKD_LAB_STATIC"] = "0"
ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(ROOT))

#: Whether the panel stands at a KD weight, its diagram where gamma begins.
BEGUN = """kd => document.querySelector('.mmkd-controls').innerText.includes(kd) &&
  document.querySelector('.mmkd-now svg').getAttribute('aria-label').includes('both 20%')"""
CELL = "from mmkd_lab import whatif\nwhatif.world().show()"

#: Waits in the page for each picture, from the next key on; milliseconds of its own clock.
WATCH = """() => {
  const now = document.querySelector('.mmkd-now'), found = {};
  const drawn = name => requestAnimationFrame(() => requestAnimationFrame(
    time => { found[name] ??= time - window.mmkdBegan; }));
  const label = i => now.querySelectorAll('svg')[i]?.getAttribute('aria-label') ?? '';
  const before = label(0);
  let fresh = false;  // the students' picture is emptied first: what still stands there is the state before
  window.mmkdFound = found;
  window.mmkdBegan = null;
  window.addEventListener('keydown', () => { window.mmkdBegan = performance.now(); },
                          {capture: true, once: true});
  window.mmkdWatcher?.disconnect();
  window.mmkdWatcher = new MutationObserver(() => {
    if (window.mmkdBegan === null || label(0) === before) return;
    drawn('diagram');
    fresh ||= label(1).startsWith('Training');
    for (const seeds of [8, 32])
      if (fresh && label(1).includes(`(${seeds} paired seeds)`)) drawn(`${seeds} seeds`);
  });
  window.mmkdWatcher.observe(now, {childList: true, subtree: true, attributes: true, characterData: true});
}"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=30)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = {"milliseconds": measured(options.states), "states": options.states}
    print(json.dumps(found, indent=2))
    options.results.mkdir(parents=True, exist_ok=True)
    where = options.results / "what_if_browser.json"
    where.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(states: int) -> dict[str, float]:
    """Median milliseconds from a key to each picture."""
    from playwright.sync_api import sync_playwright

    from tests import servers

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        notebook = _notebook(Path(folder))
        with servers.jupyterlab(notebook, Path(folder)) as address:
            flags = ["--no-sandbox", "--headless", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.goto(address)
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells").first.click()
            page.locator(".mmkd-panel").wait_for(timeout=120_000)
            taken = [_one(page, state) for state in range(states)]
            browser.close()
    names = ("diagram", "8 seeds", "32 seeds")  # the first eight are not seen where the rest comes with them
    return {name: round(statistics.median(one[name] for one in taken if name in one), 1) for name in names}


def _notebook(folder: Path) -> Path:
    import nbformat

    where = folder / "notebooks" / "panel.ipynb"
    where.parent.mkdir()
    cells = [nbformat.v4.new_code_cell(CELL)]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), where)
    return where


def _one(page: Any, state: int) -> dict[str, float]:  # noqa: ANN401 - playwright's Page
    """One key on the slider of gamma, at a KD weight that no other state has: nothing of it was trained."""
    page.get_by_role("textbox", name="link").fill(f"world?kd={3 + state / 100:g}")
    page.keyboard.press("Enter")
    page.wait_for_function(BEGUN, arg=f"{3 + state / 100:g}", timeout=60_000)
    page.get_by_role("button", name="stop", exact=True).click()
    page.get_by_text("Stopped.").wait_for(timeout=60_000)
    page.locator(".mmkd-panel .noUi-handle").first.focus()
    page.evaluate(WATCH)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => '32 seeds' in window.mmkdFound", timeout=120_000)
    return dict(page.evaluate("window.mmkdFound"))


if __name__ == "__main__":
    main()
