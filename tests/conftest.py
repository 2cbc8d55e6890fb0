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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The numbers of the notebooks first, the longest piece of work, which fills the store; what runs a
    notebook for another reason last, so that it finds every network there."""
    items.sort(key=lambda item: 0 if item.path.name == "test_numbers.py" else 1 + _of_notebooks(item))
    for item in filter(_of_notebooks, items):
        item.add_marker(pytest.mark.timeout(HOUR))


def _of_notebooks(item: pytest.Item) -> bool:
    return "notebooks" in item.path.parts[-2:]


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
