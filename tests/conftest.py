"""Fixtures that any test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tests.surroundings  # noqa: F401  # sets the environment before any test imports the lab

if TYPE_CHECKING:
    from playwright.sync_api import Browser


#: Seconds that a notebook may take on a busy machine.
HOUR = 3600


#: What takes longest comes first, so that no worker is left with a long piece at the end: a notebook is one
#: piece, since its cells share a kernel, and so is a file of tests, which shares fixtures.
FIRST = (
    "03_modality_focusing",
    "01_failure_cases",
    "04_kd_vs_msd",
    "06_your_own",
    "00_start_here",
    "02_modality_venn_diagram",
)
#: Those that train networks, and what drives one of them in a browser: the long run.
LONG = (*FIRST, "test_lab")
FIRST_FOLDERS = ("study", "experiments", "training", "cli")


@pytest.hookimpl(tryfirst=True)  # before pytest looks at marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; what runs a notebook for another reason last, when every network is in the store."""
    items.sort(key=_turn)
    for item in filter(_of_notebooks, items):
        item.add_marker(pytest.mark.timeout(HOUR))
        if item.path.stem in LONG:
            item.add_marker(pytest.mark.long)


def _turn(item: pytest.Item) -> tuple[int, int]:
    if item.path.suffix == ".ipynb":
        return 0, FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST)
    folder = item.path.parent.name
    if _of_notebooks(item):
        return 2, 0
    return 1, FIRST_FOLDERS.index(folder) if folder in FIRST_FOLDERS else len(FIRST_FOLDERS)


def _of_notebooks(item: pytest.Item) -> bool:
    return "notebooks" in item.path.parts[-2:]


@pytest.fixture(scope="session")
def shared() -> Path:
    """A store of all tests, in all processes, that are not about the store: no network is trained twice."""
    return Path(os.environ["MMKD_LAB_STORE"]) / "shared"


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of published data files; the test is skipped where there is none."""
    folder = os.environ.get("MMKD_LAB_MIRROR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no mirror of the published files: set MMKD_LAB_MIRROR")
    return Path(folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium. Where there is none the test is skipped, but on CI it fails."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()
