"""The lab's notebooks: where they are, what they are called, what they ask."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmkd_lab.cli.parameters import NotebookParameter, load_notebook, of_notebook, source_of
from mmkd_lab.core.check import LabError, flat, listing, of_type, path, require

_PACKAGE = Path(__file__).resolve().parent.parent
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MARKUP = re.compile(r"[*`]|(?<!\w)_|_(?!\w)|\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Notebook:
    """A notebook that can be run.

    Args:
        name: the file name without its suffix, for example '01_failure_cases'.
        path: the file.
        title: its first heading, or its name.
        parameters: what `-p` can set.
    """

    name: str
    path: Path
    title: str
    parameters: tuple[NotebookParameter, ...]

    def declares(self, name: str) -> bool:
        """True when the notebook has a parameter of this name."""
        return any(parameter.name == name for parameter in self.parameters)


def notebooks_folder() -> Path:
    """The folder of the lab's notebooks: a checkout's `notebooks`, or the copy an installed wheel carries.

    Raises `LabError` when neither exists.
    """
    candidates = [_PACKAGE.parent / "notebooks", _PACKAGE / "_shipped" / "notebooks"]
    if not (_PACKAGE.parent / "pyproject.toml").is_file():
        candidates = candidates[1:]  # site-packages/notebooks would be a stranger's
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise LabError(
        "notebooks", str(candidates[-1]), "is not there", "Give a folder of notebooks, or reinstall"
    )


def discover(folder: Path | str | None = None) -> tuple[Notebook, ...]:
    """Every notebook of `folder` (default: the lab's own), in the order of their names.

    Raises:
        LabError: no such folder, or a parameters cell that cannot be read.
        DamagedFile: a file that is not a notebook.
    """
    root = notebooks_folder() if folder is None else path("notebooks", folder)
    require(root.is_dir(), "notebooks", str(root), "must be a folder of notebooks")
    found = sorted(file for file in root.glob("*.ipynb") if file.is_file() and file.name[0] not in "._")
    return tuple(read_notebook(file) for file in found)


def read_notebook(file: Path) -> Notebook:
    """The notebook in `file`, its title and parameters read without running it; errors as in `discover`."""
    content = load_notebook(file)
    return Notebook(file.stem, file, _title(content) or file.stem, of_notebook(content, file.name))


def select(available: Sequence[Notebook], names: Sequence[str] = ()) -> tuple[Notebook, ...]:
    """The notebooks of these names, in the order of `available`; all of them when no name is given.

    A name is a notebook's full name, with or without '.ipynb', or the beginning of exactly one name.
    Raises `LabError` for a name that fits none or several.
    """
    require(len(available) > 0, "notebooks", "none found", "there must be at least one notebook to run")
    listed = flat("names", names, "a list of notebooks' names", "For one notebook give ['00'].")
    wanted = [of_type("names", name, str, "a list of notebooks' names") for name in listed]
    chosen = {_one(available, name) for name in wanted} if wanted else {one.name for one in available}
    return tuple(notebook for notebook in available if notebook.name in chosen)


def _one(available: Sequence[Notebook], name: str) -> str:
    names = [notebook.name for notebook in available]
    wanted = name.removesuffix(".ipynb")
    if wanted in names:
        return wanted
    fitting = [one for one in names if wanted and one.startswith(wanted)]
    if len(fitting) > 1:
        raise LabError("notebook", name, f"fits several: {listing(fitting)}", "Give more of the name")
    if not fitting:
        raise LabError("notebook", name, f"must be (the beginning of) one of {listing(names)}")
    return fitting[0]


def _title(content: Mapping[str, object]) -> str | None:
    cells = content["cells"]
    assert isinstance(cells, list)
    for cell in cells:
        if cell.get("cell_type") == "markdown" and (found := _HEADING.search(source_of(cell))):
            return _MARKUP.sub(lambda match: match[1] or "", found[1]).strip()
    return None
