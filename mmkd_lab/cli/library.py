"""The lab's notebooks: where they are, what they are called, what they ask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmkd_lab.cli.parameters import NotebookParameter, load_cells, of_cells, source_of
from mmkd_lab.core.check import LabError, flat, listing, of_type, path, require

_PACKAGE = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MARKUP = re.compile(r"[*`]|(?<!\w)_|_(?!\w)|\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Notebook:
    """A notebook that can be run: its name (the file's without suffix), title, and what `-p` can set."""

    name: str
    path: Path
    title: str
    parameters: tuple[NotebookParameter, ...]

    def declares(self, name: str) -> bool:
        """True when the notebook has a parameter of this name."""
        return any(parameter.name == name for parameter in self.parameters)


def notebooks_folder() -> Path:
    """The lab's notebooks: a checkout's, or the copy in an installed wheel. Raises `LabError` without any."""
    shipped = _PACKAGE / "_shipped" / "notebooks"
    in_checkout = (_PACKAGE.parent / "pyproject.toml").is_file()  # else they would be a stranger's
    folder = _PACKAGE.parent / "notebooks" if in_checkout else shipped
    require(folder.is_dir(), "notebooks", str(folder), "is not there", "Give a folder, or reinstall")
    return folder


def discover(folder: Path | str | None = None) -> tuple[Notebook, ...]:
    """Every notebook of `folder` (default: the lab's own), in the order of their names.

    Raises `LabError` for no such folder or a parameters cell that cannot be read, `DamagedFile` for a file
    that is no notebook.
    """
    root = notebooks_folder() if folder is None else path("notebooks", folder)
    require(root.is_dir(), "notebooks", str(root), "must be a folder of notebooks")
    found = sorted(file for file in root.glob("*.ipynb") if file.is_file() and file.name[0] not in "._")
    return tuple(read_notebook(file) for file in found)


def read_notebook(file: Path) -> Notebook:
    """The notebook in `file`, its title and parameters read without running it; errors as in `discover`."""
    cells = load_cells(file)
    texts = (source_of(cell) for cell in cells if cell.get("cell_type") == "markdown")
    headings = (
        _MARKUP.sub(lambda match: match[1] or "", found) for text in texts for found in HEADING.findall(text)
    )
    title = next(headings, file.stem).strip()
    return Notebook(file.stem, file, title, of_cells(cells, file.name))


def select(available: Sequence[Notebook], names: Sequence[str] = ()) -> tuple[Notebook, ...]:
    """The notebooks of these names, in the order of `available`; all of them when no name is given.

    A name is a notebook's full name, with or without '.ipynb', or the beginning of exactly one name.
    Raises `LabError` for a name that fits none or several.
    """
    require(len(available) > 0, "notebooks", "none found", "there must be at least one notebook to run")
    rule, known = "a list of notebooks' names", [notebook.name for notebook in available]
    wanted = [of_type("names", name, str, rule) for name in flat("names", names, rule, "Give ['00'].")]
    chosen = {_one(known, name) for name in wanted} if wanted else known
    return tuple(notebook for notebook in available if notebook.name in chosen)


def _one(known: Sequence[str], name: str) -> str:
    wanted = name.removesuffix(".ipynb")
    if wanted in known:
        return wanted
    fitting = [one for one in known if wanted and one.startswith(wanted)]
    if len(fitting) > 1:
        raise LabError("notebook", name, f"fits several: {listing(fitting)}", "Give more of the name")
    require(len(fitting) == 1, "notebook", name, f"must be (the beginning of) one of {listing(known)}")
    return fitting[0]
