"""The atlas as one HTML file that needs nothing else: a map of gains whose every mark opens its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import writing
from mmkd_lab.forecast.evidence import EVIDENCE
from mmkd_lab.plotting.palette import style_of

_TEMPLATE = Path(__file__).with_name("page.html")


def page(rows: pd.DataFrame, *, yours: int = 0) -> str:
    """The page of an atlas, see `forecast.atlas`; it opens at `yours`, which are so many of the last rows."""
    known = rows.astype(object).where(rows.notna(), None).to_dict("records")
    arms = {arm: style_of(arm)[0] for arm in dict.fromkeys(rows["arm"])}
    told = {"rows": known, "evidence": dict(EVIDENCE), "arms": arms, "yours": yours}
    content = json.dumps(told, allow_nan=False)
    safe = content.replace("<", "\\u003c")  # no text of a user's ends the script
    return _TEMPLATE.read_text(encoding="utf-8").replace("@DATA@", safe)


def write_page(rows: pd.DataFrame, path: Path, *, yours: int = 0) -> Path:
    """Write `page`. Raises `LabError` for a place that cannot be written."""
    with writing("out", path, kind="file"):
        return write_text(path, page(rows, yours=yours))
