"""Small notebooks for the tests to run."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

#: A kernel name nobody has: notebooks must run without it.
_KERNEL = {"name": "somebody-elses-kernel", "display_name": "another", "language": "python"}


def notebook(
    folder: Path, name: str, *code: str, title: str | None = None, parameters: str | None = None
) -> Path:
    """Write a notebook of these code cells, with a title and a tagged parameters cell if given."""
    cells = [new_markdown_cell(f"# {title}")] if title is not None else []
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in code]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": _KERNEL}), path)
    return path


def printed(path: Path) -> str:
    """All that an executed notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")
