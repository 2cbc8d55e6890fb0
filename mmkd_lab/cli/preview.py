"""Tables as they are shown on the page: the first rows of a CSV file, or the means over its seeds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmkd_lab.core.stats import mean_interval

_TIDY = ("study", "dataset", "arm", "role", "seed", "split", "metric", "value")
_UNITS = {"accuracy": "accuracy (%)", "nll": "nll (nats)"}
_MOST_ROWS, _MOST_COLUMNS = 8, 24


@dataclass(frozen=True)
class Table:
    """Heads, lines of cells, how many rows there are in all, and which columns hold numbers."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    total: int
    numeric: tuple[bool, ...]


def read_table(path: Path, *, most: int = _MOST_ROWS) -> Table:
    """The first rows of a CSV file with a head. Raises `ValueError` when it is not one."""
    heads, rows = _read(path)
    return _table(heads[:_MOST_COLUMNS], [row[:_MOST_COLUMNS] for row in rows[:most]], len(rows))


def summary_table(path: Path, *, split: str = "test") -> Table | None:
    """Mean and 95 % interval over seeds, one line a role, arm and sweep point, one column a metric.

    None when the file is not a study's table or has nothing of this split. Several studies or datasets are
    told apart.
    """
    heads, rows = _read(path)
    if not set(_TIDY) <= set(heads):
        return None
    import pandas as pd

    table = pd.DataFrame(rows, columns=heads).query("split == @split").astype({"value": float})
    if table.empty:
        return None
    several = [name for name in ("study", "dataset") if len(table[name].unique()) > 1]
    keys = [*several, "role", "arm", *(name for name in heads if name not in _TIDY)]
    metrics = list(table["metric"].unique())
    lines = []
    for point, group in table.groupby(keys, sort=False):
        values = {metric: rows["value"].to_list() for metric, rows in group.groupby("metric")}
        shown = [_interval(values.get(metric, []), metric) for metric in metrics]
        lines.append([*(_point(str(one)) for one in point), *shown, str(max(map(len, values.values())))])
    lines.sort(key=lambda line: "teacher" not in line)  # teachers first
    return _table([*keys, *(_UNITS.get(metric, metric) for metric in metrics), "n"], lines, len(lines))


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        try:
            rows = list(csv.reader(file))
        except csv.Error as error:
            raise ValueError(str(error)) from error
    if not rows:
        raise ValueError("it is empty")
    heads, body = rows[0], rows[1:]
    uneven = [number for number, row in enumerate(body, start=2) if len(row) != len(heads)]
    if uneven:
        raise ValueError(f"line {uneven[0]} does not have {len(heads)} cells")
    return heads, body


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], total: int) -> Table:
    columns = list(zip(*lines, strict=True)) if lines else [()] * len(heads)
    numeric = tuple(bool(column) and all(_numeric(cell) for cell in column) for column in columns)
    shown = tuple(tuple(_short(cell) for cell in line) for line in lines)
    return Table(tuple(heads), shown, total, numeric)


def _interval(values: list[float], metric: str) -> str:
    return mean_interval(values).show(digits=2 if metric == "accuracy" else 3) if values else ""


def _point(cell: str) -> str:
    """A number of a sweep with 3 significant digits; a name as it is."""
    try:
        return f"{float(cell):.3g}"
    except ValueError:
        return cell


def _numeric(cell: str) -> bool:
    return cell == "" or cell[0] in "+-−.0123456789"


def _short(cell: str) -> str:
    """A long decimal cut to 6 significant digits; anything else as it is."""
    try:
        return f"{float(cell):.6g}" if len(cell) > 8 else cell
    except ValueError:
        return cell
