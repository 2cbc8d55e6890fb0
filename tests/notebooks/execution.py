"""Run a notebook in a real kernel, and read numbers out of what it printed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_DECIMAL = re.compile(r"([-−+]?\d+\.(\d+))(?:[eE]([-+]?\d+))?")
_COMPARISON = re.compile(
    r"(?P<says>is (?:stronger|weaker|better|worse) than|is not shown to differ from) [^(]*"
    r"\((?P<interval>[-−+]?[\d.]+ \[[-−]?[\d.]+, [-−]?[\d.]+\])"
)


def stored(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def execute(name: str, folder: Path, parameters: Mapping[str, object] | None = None) -> Any:
    """Run a notebook through the lab's own runner and return it with its outputs."""
    from mmkd_lab.cli import run

    done = run([name], parameters=parameters, out=folder, notebooks=NOTEBOOKS, progress=False)
    outcome = done.outcomes[0]
    assert outcome.state == "done", outcome.failure
    return nbformat.read(done.folder / f"{name}.ipynb", as_version=4)


def printed(outputs: Sequence[Any]) -> list[str]:
    """The plain text of each of a cell's outputs."""
    return [output.get("text") or output.data["text/plain"] for output in outputs]


def verdict(notebook: Any) -> str:
    """What the last cell printed."""
    return notebook.cells[-1].outputs[-1].text.strip()


class Printed(NamedTuple):
    """A number as it is printed: its value, and what one step of its last digit is."""

    value: float
    unit: float


def numbers(text: str) -> list[Printed]:
    """Every decimal of a text, with its sign."""
    found = []
    for digits, after, power in _DECIMAL.findall(text):
        scale = 10.0 ** int(power or 0)
        found.append(Printed(float(digits.replace("−", "-")) * scale, scale * 10.0 ** -len(after)))
    return found


def comparisons(text: str) -> list[str]:
    """What every `is better than ... (+1.20 [0.31, 2.09])` of a verdict says, in order."""
    return [found["says"] for found in _COMPARISON.finditer(text)]


def without_outputs(notebook: Any) -> Any:
    """The notebook as it was before it was ever run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook
