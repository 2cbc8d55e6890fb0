"""A diagnosis: one tidy table, sections of sentences and figures, ranked advice, one page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mmkd_lab.experiments.repairs import Pair
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.shown import image
from mmkd_lab.plotting import LabFigure
from mmkd_lab.plotting.report import ReportSection, write_report
from mmkd_lab.study.diagnosis.finding import SectionFound, interval_of


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Study):
    """What `study.diagnose` found; of one loaded from disk only table, verdict and figure are there.

    The table has, beside the columns of every study, `section`, and `low`, `high` and `n` where a number's
    interval is over samples; other numbers have a row a seed. `numbers` has each with its interval.

    Attributes:
        sections: {name: what was found}; a section that did not fit in the budget says so in `left_out`.
        advice: rank, sentence, number, call.
        pairs: {seed: a copy of the teacher and a student, trained jointly}, for `attribution.repair`.
    """

    sections: Mapping[str, SectionFound] = field(default_factory=dict)
    advice: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: Mapping[int, Pair] = field(default_factory=dict)

    @property
    def numbers(self) -> pd.DataFrame:
        """section, role, arm, metric, split, mean, low, high, n: every number once, with its interval."""
        keys = ["section", "role", "arm", "metric", "split"]
        rows = []
        for key, part in self.table.groupby(keys, sort=False):
            found = interval_of(part, str(key[2]), str(key[3]), str(key[1]))
            ends = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}
            rows.append(dict(zip(keys, key, strict=True)) | ends)
        return pd.DataFrame(rows)

    @property
    def left_out(self) -> dict[str, str]:
        """{section: why it is not there}."""
        return {name: one.left_out for name, one in self.sections.items() if one.left_out}

    def report(self, path: Path | str) -> Path:
        """Write everything as one HTML file that needs nothing else and can be mailed; returns its path.

        Raises `LabError` for another ending than '.html', or a place that cannot be written.
        """
        steps = [(row["sentence"], row["call"]) for row in self.advice.to_dict("records")]
        first = ReportSection("What to do, in this order", steps=steps)
        parts = [first, *(_section(one) for one in self.sections.values())]
        table = self.table.to_csv(index=False, lineterminator="\n").encode()
        return write_report(
            path,
            title=self.title,
            lead=self.verdict,
            sections=parts,
            facts=self.provenance,
            files={f"{self.name}.csv": table},
        )

    def save(self, folder: Path | str | None = None, *, overwrite: bool = False) -> Path:
        """The files of every study (see `Study.save`), and the page beside them."""
        path = Study.save(self, folder, overwrite=overwrite)
        if self.sections:
            self.report(path.with_suffix(".html"))
        return path

    def figures(self) -> list[LabFigure]:
        """Those of all sections."""
        return [figure for one in self.sections.values() for figure in one.figures]

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{html.escape(self.verdict)}</b></p>"]
        items = [
            f"<li>{html.escape(row['sentence'])}<br><code>{html.escape(row['call'])}</code></li>"
            for row in self.advice.to_dict("records")
        ]
        parts.append(f"<ol>{''.join(items)}</ol>")
        for name, why in self.left_out.items():
            parts.append(f"<p>{html.escape(self.sections[name].title)}: {html.escape(why)}</p>")
        picture = self.plot()._repr_png_()
        parts.append(image(picture, self.title) if picture is not None else "")
        return f'<div class="mmkd-study">{"".join(parts)}</div>'


def _section(one: SectionFound) -> ReportSection:
    said = [f"Left out: {one.left_out}"] if one.left_out else []
    return ReportSection(one.title, paragraphs=said, points=one.says, figures=one.figures, tables=one.tables)
