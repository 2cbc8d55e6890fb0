"""The page of a run, `index.html`: what its notebooks left behind in one file that needs nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmkd_lab.cli.library import HEADING
from mmkd_lab.cli.parameters import load_cells, source_of
from mmkd_lab.cli.record import SILENCE, STATES, Outcome, Run, duration, memory
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.plotting.report import LARGEST_SVG, Picture, Shown, environment, flat_facts

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Template

_LARGEST_FRAME = 4_000_000
_TIDY = ("study", "dataset", "arm", "role", "seed", "split", "metric", "value")
_UNITS = {"accuracy": "accuracy (%)", "nll": "nll (nats)"}
_MOST_ROWS, _MOST_COLUMNS = 8, 24


@dataclass(frozen=True)
class TableFile:
    """A CSV file: its means with intervals when it is a study's, its first rows, and where it is."""

    name: str
    link: str
    summary: Shown | None = None
    rows: Shown | None = None
    problem: str = ""


@dataclass(frozen=True)
class StudyFile:
    """A study that the notebook saved."""

    name: str
    title: str
    verdict: str
    picture: Picture | None
    table: TableFile | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PageFile:
    """A page that a notebook wrote, shown in a frame apart; without `content` it is left out."""

    name: str
    link: str
    content: str = ""


@dataclass(frozen=True)
class Report:
    """All that one notebook left behind."""

    studies: tuple[StudyFile, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[TableFile, ...] = ()
    frames: tuple[PageFile, ...] = ()
    problems: tuple[str, ...] = ()


def write_index(run: Run, table: Path | None = None) -> Path:
    """Write `index.html` into the run's folder, atomically; every text is escaped. Returns its path.

    `table` is a CSV file that compares the notebooks of the run. While the run goes on the page renews
    itself, and says so when it has not been written for long: then the run was killed.
    """
    sections = [_section(run, outcome) for outcome in run.outcomes]
    counts = {state: sum(one.state == state for one in run.outcomes) for state in STATES}
    studies = [study for section in sections for study in section["report"].studies]
    page = _template().render(
        run=run,
        heading=run.title or f"Run of {run.started.day} {run.started:%B %Y, %H:%M}",
        sections=sections,
        counts=[(state, count) for state, count in counts.items() if count],
        facts=[(study.name, _origin(study)) for study in studies],
        compared=table_file(table, run.folder) if table is not None else None,
        written=int(run.written.timestamp()),
        silence=int(SILENCE.total_seconds()),
    )
    return write_text(run.folder / "index.html", page)


def _section(run: Run, outcome: Outcome) -> dict[str, Any]:
    files = {suffix: run.folder / f"{outcome.name}.{suffix}" for suffix in ("ipynb", "html")}
    links = {suffix: path.is_file() and link_to(path, run.folder) for suffix, path in files.items()}
    report = gather(run.folder, outcome.name, sanitize=run.sanitize) if outcome.ended else Report()
    return {"outcome": outcome, "report": report, "links": links}


def _origin(study: StudyFile) -> str:
    """The data and the device that its numbers come from."""
    words = ("fingerprint", "device")
    return ", ".join(f"{name} {value}" for name, value in study.facts if name.rpartition(".")[2] in words)


@cache
def _template() -> Template:
    found = environment(Path(__file__).parent / "templates")
    found.filters["duration"], found.filters["memory"] = duration, memory
    found.filters["anchor"] = lambda study, notebook: quote(f"{notebook}/{study}")
    return found.get_template("index.html.j2")


def gather(folder: Path, name: str, *, sanitize: bool = False) -> Report:
    """The report of the notebook `name` of the run in `folder`; what cannot be read is named, not raised.

    `sanitize` leaves pages out that the notebook wrote: they hold scripts.
    """
    files = sorted(path for path in (folder / name).glob("*.*") if path.is_file())
    studies, problems = [], []
    for path in (path for path in files if path.suffix == ".json"):
        try:
            studies.append(_study(path, folder))
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
            problems.append(f"{path.name} cannot be read: {error!r}")
    taken = {study.name for study in studies}
    rest = [path for path in files if path.stem not in taken]
    tables = [table_file(path, folder) for path in rest if path.suffix == ".csv"]
    pictures = [_picture(path.read_bytes(), path.stem, path, folder) for path in _best_of(rest)]
    shown = {path.read_bytes() for path in files if path.suffix == ".png"}
    try:
        pictures += _notebook_pictures(folder / f"{name}.ipynb", shown)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        problems.append(f"{name}.ipynb cannot be read: {error!r}")
    frames = [_frame(path, folder, sanitize=sanitize) for path in files if path.suffix == ".html"]
    return Report(tuple(studies), tuple(pictures), tuple(tables), tuple(frames), tuple(problems))


def _frame(path: Path, folder: Path, *, sanitize: bool) -> PageFile:
    shown = not sanitize and path.stat().st_size <= _LARGEST_FRAME
    content = path.read_text(encoding="utf-8", errors="replace") if shown else ""
    return PageFile(path.name, link_to(path, folder), content)


def link_to(path: Path, folder: Path) -> str:
    """A relative address that no browser takes for anything but a file."""
    return "./" + "/".join(quote(part) for part in path.relative_to(folder).parts)


def table_file(path: Path, folder: Path, sha256: object = None) -> TableFile:
    """What the page shows of a CSV file; `sha256`, if given, is what the file must have."""
    import pandas as pd

    link = link_to(path, folder)
    try:
        if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise ValueError("it is not the table that the study was saved with")
        table = pd.read_csv(path, dtype=str, keep_default_na=False).fillna("")
        first = table.iloc[:_MOST_ROWS, :_MOST_COLUMNS].map(_short)
        return TableFile(path.name, link, _summary(table), Shown.of(first, len(table)))
    except (ValueError, OSError) as error:
        return TableFile(path.name, link, problem=f"cannot be shown: {error}")


def _summary(table: pd.DataFrame) -> Shown | None:
    """Mean and 95 % interval over seeds on the test split, one line a role, arm and sweep point.

    None when it is not a study's table. Several studies or datasets are told apart.
    """
    if not set(_TIDY) <= set(table):
        return None
    import pandas as pd

    table = table[table["split"] == "test"].astype({"value": float})
    if table.empty:
        return None
    several = [name for name in ("study", "dataset") if len(set(table[name])) > 1]
    keys: list[Any] = [*several, "role", "arm", *(name for name in table if name not in _TIDY)]
    metrics = list(table["metric"].unique())
    lines = []
    for point, group in table.groupby(keys, sort=False):
        values = {metric: group.loc[group["metric"] == metric, "value"].tolist() for metric in metrics}
        cells = [_interval(values[metric], metric) for metric in metrics]
        lines.append(
            [*(_short(str(one), 3, 0) for one in point), *cells, str(max(map(len, values.values())))]
        )
    lines.sort(key=lambda line: "teacher" not in line)  # teachers first
    heads = [*keys, *(_UNITS.get(metric, metric) for metric in metrics), "n"]
    return Shown.of(pd.DataFrame(lines, columns=heads))


def _interval(values: list[float], metric: str) -> str:
    return mean_interval(values).show(digits=2 if metric == "accuracy" else 3) if values else ""


def _short(cell: str, digits: int = 6, longer: int = 8) -> str:
    """A number of more than so many characters cut to its significant digits; anything else as it is."""
    try:
        return f"{float(cell):.{digits}g}" if len(cell) > longer else cell
    except ValueError:
        return cell


def _study(path: Path, folder: Path) -> StudyFile:
    head = json.loads(path.read_text(encoding="utf-8"))
    title, table = str(head.get("title", path.stem)), path.with_suffix(".csv")
    files = [file for suffix in (".svg", ".png") if (file := path.with_suffix(suffix)).is_file()]
    return StudyFile(
        name=path.stem,
        title=title,
        verdict=str(head["verdict"]),
        picture=next((_picture(one.read_bytes(), title, one, folder) for one in _best_of(files)), None),
        table=table_file(table, folder, head.get("csv_sha256")) if table.is_file() else None,
        facts=tuple(flat_facts(head.get("provenance", {}))),
    )


def _best_of(paths: Sequence[Path]) -> list[Path]:
    """One file a figure: the SVG unless it is very large, else the PNG."""
    png, svg = ({path.stem: path for path in paths if path.suffix == suffix} for suffix in (".png", ".svg"))
    small = {stem: path for stem, path in svg.items() if path.stat().st_size <= LARGEST_SVG}
    return list({**svg, **png, **small}.values())


def _notebook_pictures(path: Path, shown: set[bytes]) -> Iterator[Picture]:
    """The images among the notebook's outputs, under the heading above them, each once."""
    heading = path.stem
    for cell in load_cells(path) if path.is_file() else ():
        if cell.get("cell_type") == "markdown" and (found := HEADING.findall(source_of(cell))):
            heading = found[-1]
        for content in _images(cell):
            if content not in shown:
                shown.add(content)
                yield _picture(content, heading)


def _images(cell: Mapping[str, Any]) -> Iterator[bytes]:
    for data in (output.get("data", {}) for output in cell.get("outputs", [])):
        if "image/svg+xml" in data:
            yield "".join(data["image/svg+xml"]).encode()
        elif "image/png" in data:
            with suppress(binascii.Error):
                yield base64.b64decode("".join(data["image/png"]))


def _picture(content: bytes, caption: str, path: Path | None = None, folder: Path | None = None) -> Picture:
    return Picture.of(content, caption, link_to(path, folder) if path and folder else None)
