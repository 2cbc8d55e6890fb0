"""Notebooks are found and chosen by name; a name can reach nothing else."""

from __future__ import annotations

import pytest

from mmkd_lab.cli.library import discover, notebooks_folder, select
from mmkd_lab.core.check import LabError
from tests.cli.build import notebook
from tests.house import tree


@pytest.fixture
def folder(tmp_path):
    for name in ("01_b", "00_a", "01_c"):
        notebook(tmp_path / "notebooks", name, "1", title=f"The *{name}* of [all](x)")
    return tmp_path / "notebooks"


def test_found_in_the_order_of_their_names_with_plain_titles(folder):
    notebook(folder / ".ipynb_checkpoints", "00_a-checkpoint", "1")
    notebook(folder, "_draft", "1")
    notebook(folder, ".hidden", "1")
    notebook(folder, "untitled", "1")
    (folder / "folder.ipynb").mkdir()
    titles = {name: f"The {name} of all" for name in ("00_a", "01_b", "01_c")} | {"untitled": "untitled"}
    found = [(one.name, one.title) for one in discover(folder)]
    assert found == list(titles.items())
    assert notebooks_folder() == tree.ROOT / "notebooks"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["00_a", "01_b", "01_c"]),
        (["00"], ["00_a"]),
        (["01_c", "00_a"], ["00_a", "01_c"]),
        (["01_b.ipynb", "01_b"], ["01_b"]),
    ],
)
def test_chosen_in_order_and_once(folder, names, chosen):
    assert [one.name for one in select(discover(folder), names)] == chosen


@pytest.mark.parametrize("name", ["", "x", "../notebooks/00_a", "/etc/passwd", ".", "*", "\0", "00_a "])
def test_a_name_that_is_not_among_them_is_refused(folder, name):
    with pytest.raises(LabError, match=r"must be .the beginning of. one of '00_a', '01_b' or '01_c'"):
        select(discover(folder), [name])
