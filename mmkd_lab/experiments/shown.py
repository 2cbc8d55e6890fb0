"""A study as HTML: its table in brief, its figure."""

from __future__ import annotations

import base64
import html
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from mmkd_lab.experiments import summary

_HEADS = {"accuracy": "accuracy (%)", "nll": "nll (nats)"}


def compact_table(table: pd.DataFrame) -> str:
    """The primary metric on test (or the first split): mean, interval, n."""
    metric, splits = summary.primary_metric(table), list(dict.fromkeys(table["split"]))
    split = "test" if "test" in splits else splits[0]
    found = summary.summarise(table, metric=metric, split=split)
    keys = ["role", "arm", *summary.sweep_columns(table)]
    heads = [*keys, _HEADS.get(metric, metric), "95 % interval", "n"]
    lines = [
        [*(_cell(row[name]) for name in keys), *_interval_cells(row)] for row in found.to_dict("records")
    ]
    return _html_table(heads, lines)


def _interval_cells(row: Mapping[Hashable, Any]) -> list[str]:
    ends = "" if row["n"] < 2 else f"{row['low']:.2f} to {row['high']:.2f}"
    return [f"{row['mean']:.2f}", ends, str(row["n"])]


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _html_table(heads: list[str], lines: list[list[str]]) -> str:
    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(line, "td") for line in lines)
    return f"<table><thead>{row(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def image(png: bytes, title: str) -> str:
    """A PNG picture within the page."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<img alt="{html.escape(title, quote=True)}" style="max-width:100%" src="{source}">'
