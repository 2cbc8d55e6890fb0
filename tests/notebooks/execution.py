"""Run a notebook in a real kernel, and read numbers out of what it printed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_DECIMAL = re.compile(r"[-−+]?\d+\.\d+")
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


def texts(notebook: Any, *, without: Sequence[str] = ()) -> list[str]:
    """The plain text of every output, in order; cells with a tag of `without` are left out."""
    cells = [cell for cell in notebook.cells if not set(without) & set(cell.metadata.get("tags", []))]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output.get("text") or output.data["text/plain"] for output in outputs]


def verdict(notebook: Any) -> str:
    """What the last cell printed."""
    return notebook.cells[-1].outputs[-1].text.strip()


def numbers(text: str) -> list[float]:
    """Every decimal of a text, with its sign."""
    return [float(found.replace("−", "-")) for found in _DECIMAL.findall(text)]


@dataclass(frozen=True)
class Comparison:
    """One comparison of a verdict: what it says, and the interval it says it from."""

    says: str
    mean: float
    low: float
    high: float

    @property
    def distance(self) -> float:
        """How far the nearer end of the interval is from zero, where the words turn."""
        return min(abs(self.low), abs(self.high))


def comparisons(text: str) -> list[Comparison]:
    """Every `is better than ... (+1.20 [0.31, 2.09])` of a verdict, in order."""
    return [Comparison(found["says"], *numbers(found["interval"])) for found in _COMPARISON.finditer(text)]


def without_outputs(notebook: Any) -> Any:
    """The notebook as it was before it was ever run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook
