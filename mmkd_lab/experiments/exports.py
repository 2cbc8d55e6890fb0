"""What a study gives away: its students, its table for papers and programs, one page, runs for a tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mmkd_lab.core import check
from mmkd_lab.core.atomic import write_bytes, write_text, write_with
from mmkd_lab.core.check import require, writing
from mmkd_lab.core.stats import Interval
from mmkd_lab.experiments import summary, tracking
from mmkd_lab.experiments.claims import label
from mmkd_lab.experiments.students import Students, TrainedStudent, student_of

if TYPE_CHECKING:
    from mmkd_lab.experiments.store import ResultStore
    from mmkd_lab.plotting.canvas import LabFigure

#: The kind of a study that is a table alone.
NO_FIGURE = "none"


class Exports:
    """The part of `Study` that gives things away."""

    name: str
    title: str
    table: pd.DataFrame
    verdict: str
    kind: str
    provenance: Mapping[str, Any]
    students: Students

    if TYPE_CHECKING:
        plot: Callable[[], LabFigure]
        summary: Callable[..., pd.DataFrame]
        differences: Callable[..., pd.DataFrame]

    def student(
        self,
        arm: str,
        *,
        seed: int,
        network: object = None,
        store: ResultStore | None = None,
        **at: object,
    ) -> TrainedStudent:
        """One trained student, from the store, to be used or exported.

        Args:
            arm, seed: whose student.
            network: for a network of your own in a study that was loaded, one of its class or the function
                that makes it; where the study was run in this session it is known.
            store: where the study's networks are kept; the default store when None.
            at: what else tells students of an arm apart: ratio, loss and draw of a repair study.

        Raises:
            LabError: no such student, or several; one that the store no longer has; a network that is needed
                and not given, or does not fit.
            DamagedFile: the stored entry is damaged.
        """
        return student_of(self, arm, seed=seed, network=network, store=store, at=at)

    def histories(self, *, store: ResultStore | None = None) -> pd.DataFrame:
        """Every student's training: arm, seed, what else tells it apart, epoch, split, metric, value.

        On 'train' the terms of the loss, on 'val' the task's metrics. Raises `LabError` as `student` does.
        """
        return self.students.histories(store)

    def track(
        self,
        tracker: tracking.Tracker,
        place: Path | str | None = None,
        *,
        store: ResultStore | None = None,
    ) -> None:
        """Write every student's training as a run for a tracker, by the tracker's own means.

        Args:
            tracker: 'tensorboard', 'mlflow' or 'wandb', whose package must be installed.
            place: a folder for event files ('tensorboard') or for local runs ('wandb'); a tracking address or
                a folder ('mlflow'). None for `runs/<tracker>`, or what MLFLOW_TRACKING_URI or WANDB_DIR name.
            store: where the study's networks are kept; the default store when None.

        Raises `LabError` for an unknown tracker, one that is not installed, or as `student` does.
        """
        tracking.track(self, tracker, place, store)

    def report(self, path: Path | str) -> Path:
        """Write one HTML file that can be mailed: verdict, figure, tables, notes, provenance, all rows.

        Raises `LabError` for an ending other than '.html', or a place that cannot be written.
        """
        from mmkd_lab.plotting.report import ReportSection, write_report

        figures = [] if self.kind == NO_FIGURE else [self.plot()]
        compared = self.differences()
        tables = {"Mean and 95 % interval over seeds, test split": _short(_summary(self))}
        if len(compared):
            tables["Differences, paired by seed: arm minus the one it is held against"] = _short(compared)
        notes = self.provenance.get("notes") or ()
        sections = [ReportSection("", figures=figures)] if figures else []
        sections += [ReportSection("What to know", points=notes)] if notes else []
        sections.append(ReportSection("Numbers", tables=tables))
        facts = {name: value for name, value in self.provenance.items() if name != "notes"}
        files = {f"{self.name}.csv": _csv(self.table)}
        return write_report(
            path, title=self.title, lead=self.verdict, sections=sections, facts=facts, files=files
        )

    def to_csv(self, path: Path | str) -> Path:
        """Write the tidy table, every digit of it. Raises `LabError` for a place that cannot be written."""
        path = check.path("path", path)
        with writing("path", path, kind="file"):
            return write_bytes(path, _csv(self.table))

    def to_parquet(self, path: Path | str) -> Path:
        """Write the tidy table as parquet, with verdict and provenance in its `attrs`.

        Raises `LabError` where pyarrow is not installed, or for a place that cannot be written.
        """
        path = check.path("path", path)
        way_out = "pip install 'mmkd-lab[parquet]', or use to_csv."
        require(find_spec("pyarrow") is not None, "path", str(path), "needs the package pyarrow", way_out)
        told = self.table.copy()
        told.attrs = {"study": self.name, "verdict": self.verdict, "provenance": dict(self.provenance)}
        with writing("path", path, kind="file"):
            return write_with(path, lambda partial: told.to_parquet(partial, index=False))

    def to_latex(
        self, path: Path | str | None = None, *, metric: str | None = None, split: str = "test"
    ) -> str:
        """A table for a paper, with the verdict for a caption; needs the package booktabs.

        One row per role, arm and sweep point: mean, 95 % interval, n. Written to `path` too, where one is
        given. Raises `LabError` for a metric or split that the table lacks, a place that cannot be written.
        """
        found = _summary(self, metric=metric, split=split)
        text: str = found.to_latex(
            index=False, escape=True, label=f"tab:{self.name}", caption=_tex(self.verdict)
        )
        if path is not None:
            path = check.path("path", path)
            with writing("path", path, kind="file"):
                write_text(path, text)
        return text


def _summary(study: Exports, *, metric: str | None = None, split: str | None = None) -> pd.DataFrame:
    """Means over seeds as text: teachers first, arms by their labels, mean and interval in one cell."""
    splits = list(dict.fromkeys(study.table["split"]))
    split = split or ("test" if "test" in splits else splits[0])
    keys = ["role", "arm", *summary.sweep_columns(study.table)]
    lines: list[dict[str, Any]] = []
    for row in study.summary(metric=metric, split=split).to_dict("records"):
        found = Interval(float(row["mean"]), float(row["low"]), float(row["high"]), int(row["n"]))
        shown = found.show() if found.n > 1 else f"{found.mean:.2f}"
        where = {name: row[name] for name in keys} | {"arm": label(str(row["arm"]))}
        name = f"{split} {row['metric']}"
        lines.append({**where, name: shown, "n": found.n})
    lines.sort(key=lambda one: one["role"] != "teacher")
    return pd.DataFrame(lines)


def _short(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{one: table[one].map(label) for one in ("arm", "against") if one in table})


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _tex(text: str) -> str:
    """A caption, which pandas leaves as it is, by the rules by which it escapes cells."""
    styled = pd.DataFrame({"": [text]}).to_latex(index=False, header=False, escape=True)
    return next(line for line in styled.splitlines() if line.endswith(r"\\")).removesuffix(r" \\")
