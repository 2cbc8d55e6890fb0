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


def test_in_the_order_of_their_names(folder):
    assert [one.name for one in discover(folder)] == ["00_a", "01_b", "01_c"]


def test_titles_are_plain_text(folder):
    assert [one.title for one in discover(folder)] == [
        "The 00_a of all",
        "The 01_b of all",
        "The 01_c of all",
    ]


def test_without_a_heading_the_name_is_the_title(tmp_path):
    notebook(tmp_path, "untitled", "1")
    assert discover(tmp_path)[0].title == "untitled"


def test_hidden_files_checkpoints_and_folders_are_no_notebooks(folder):
    notebook(folder / ".ipynb_checkpoints", "00_a-checkpoint", "1")
    notebook(folder, "_draft", "1")
    notebook(folder, ".hidden", "1")
    (folder / "folder.ipynb").mkdir()
    assert [one.name for one in discover(folder)] == ["00_a", "01_b", "01_c"]


def test_the_lab_has_its_own():
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


@pytest.mark.parametrize(
    "name", ["", "x", "../notebooks/00_a", "/etc/passwd", "..", ".", "00_a/../00_a", "*", "\0", "00_a "]
)
def test_a_name_that_is_not_among_them_is_refused(folder, name):
    with pytest.raises(LabError, match=r"must be .the beginning of. one of '00_a', '01_b' or '01_c'"):
        select(discover(folder), [name])


def test_an_ambiguous_beginning_is_refused(folder):
    with pytest.raises(LabError, match="notebook = '01': fits several: '01_b' or '01_c'"):
        select(discover(folder), ["01"])


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"notebooks = .*gone.*must be a folder"):
        discover(tmp_path / "gone")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(LabError, match="at least one notebook"):
        select(discover(tmp_path))
