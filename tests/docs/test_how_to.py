"""The blocks of the pages run as they stand, in a folder of their own; links between pages lead somewhere."""

from __future__ import annotations

import re
import sys
import warnings
from types import ModuleType

import pytest

from mmkd_lab.data import DATASETS
from mmkd_lab.distill import ARMS, METHODS
from tests.house import tree

DOCS = tree.ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w./-]+\.md)\)")
#: What pages register and other tests must not find.
MADE = {"near_kd": ARMS, "logit_distance": METHODS, "halves": DATASETS}


def blocks(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [one for one in PAGES if blocks(one)], ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMKD_LAB_STORE", str(tmp_path / "store"))
    module = ModuleType("page")  # a class is looked for in its module
    monkeypatch.setitem(sys.modules, "page", module)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for code in blocks(page):
                exec(compile(code, str(page), "exec"), vars(module))
    finally:
        for name, registry in MADE.items():
            if name in registry:
                registry.forget(name)
    assert capsys.readouterr().out.strip()


def test_pages_are_of_one_screen_and_their_links_lead_somewhere():
    long = {one.stem: n for one in DOCS.glob("how-to/*.md") if (n := len(one.read_text().splitlines())) > 70}
    tree.assert_none(long)
    gone = {
        page.stem: missing
        for page in PAGES
        if (
            missing := [link for link in LINK.findall(page.read_text()) if not (page.parent / link).is_file()]
        )
    }
    tree.assert_none(gone)
    listed = (DOCS / "how-to" / "index.md").read_text()
    assert [
        one.stem for one in DOCS.glob("how-to/*.md") if one.stem != "index" and one.stem not in listed
    ] == []
