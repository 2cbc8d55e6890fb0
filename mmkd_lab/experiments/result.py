"""What every study returns: a tidy table, a figure, a verdict with its numbers, and provenance.

Saved as four files in one folder, the JSON last:

    <name>.csv   the tidy table, one row per arm, role, seed, split and metric (see `summary.COLUMNS`)
    <name>.svg   the figure
    <name>.png   the figure
    <name>.json  {"format": 1, "name", "title", "verdict", "kind", "options", "provenance", "columns",
                  "csv_sha256", "students"}

`kind` names the figure (see `plotting.FIGURES`), 'none' that there is none; `options` are the keyword
arguments that its function gets besides the table and the title, so that a loaded study draws the same
figure. `columns` says which columns of the CSV are 'text', 'int', 'float' or 'bool'.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from mmkd_lab.core.atomic import write_bytes, write_text
from mmkd_lab.core.check import (
    DamagedFile,
    LabError,
    UnreadableFile,
    mapping,
    of_type,
    one_of,
    reading,
    require,
    writing,
)
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.core.fingerprint import canonical, digest
from mmkd_lab.core.places import results_folder
from mmkd_lab.core.registry import Registry
from mmkd_lab.experiments import summary
from mmkd_lab.experiments.exports import NO_FIGURE, Exports
from mmkd_lab.experiments.shown import compact_table, image
from mmkd_lab.experiments.students import Students

if TYPE_CHECKING:
    from mmkd_lab.plotting.canvas import LabFigure
    from mmkd_lab.plotting.figures import Draw

FORMAT = 1
#: What opens a study as a panel: it belongs to a floor above, and enters by this door.
EXPLORERS: Registry[Callable[..., Any]] = Registry("explorer", home=["mmkd_lab.whatif.explore"])
#: Entries of provenance that say when and where a study ran, and what it found; all others determine it.
FOUND = (
    *("seconds", "versions", "device", "threads", "holds_for", "networks", "notes"),
    *("tuning", "strengths", "reliability", "unreliable", "student_parameters"),  # of KD against MSD
    *("section_seconds", "left_out_sections"),  # of a diagnosis
    *("channels", "living_removed", "errors", "undefined", "largest_distance_from_published"),
)

_LONGEST_NAME = 100  # with an ending it must fit the 143 bytes that some file systems leave
_KINDS = ("text", "int", "float", "bool")
_WAY_OUT = "Run the study again and save it anew"


@dataclass(frozen=True, eq=False)
class Study(Exports):
    """The outcome of a study.

    Args:
        name: the file name it is saved under; letters, digits, '-', '_' and '.', at most 100.
        title: the finding in a few words; the figure's title.
        table: tidy, one row per arm, role, seed, split and metric, with the columns of `summary.COLUMNS` and
            one more per swept quantity. Accuracy in percent, nll in nats.
        verdict: one sentence with its numbers.
        kind: which figure is drawn, a name in `plotting.FIGURES`; 'none' for none.
        options: keyword arguments for the plot function, plain JSON values.
        provenance: parameters, seeds, versions, data fingerprint, device, seconds; plain JSON values.
        students: where the trained students are kept, see `student`.

    Raises:
        LabError: a name unfit for a file, an unknown kind, an empty verdict, a table that is not tidy, or
            options or provenance that JSON cannot hold.
    """

    name: str
    title: str
    table: pd.DataFrame
    verdict: str
    kind: str = "arms"
    options: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    students: Students = field(default_factory=Students)

    def __post_init__(self) -> None:
        validate_name(self.name)
        if self.kind != NO_FIGURE:
            one_of("kind", self.kind, [*_figures(), NO_FIGURE])
        of_type("title", self.title, str, "text")
        rule = "a sentence with its numbers"
        spoken = of_type("verdict", self.verdict, str, rule).strip() != ""
        require(spoken, "verdict", self.verdict, f"must be {rule}")
        summary.validate(self.table)
        object.__setattr__(self, "table", self.table.reset_index(drop=True))
        object.__setattr__(self, "options", MappingProxyType(_plain("options", self.options)))
        object.__setattr__(self, "provenance", MappingProxyType(_plain("provenance", self.provenance)))

    def plot(self) -> LabFigure:
        """The figure of this kind. Raises `LabError` when kind is 'none'."""
        if self.kind == NO_FIGURE:
            raise LabError("kind", self.kind, "this study has no figure", "Use its table.")
        return _figures()[self.kind](self.table, **{"title": self.title, **self.options})

    def explore(self, **state: Any) -> Any:  # noqa: ANN401 - see `whatif.explore`, which lies above
        """This study as a panel: `study.explore(metric="nll").show()`; see `whatif.ExploreState`."""
        return EXPLORERS["panel"](self, **state)

    def summary(self, *, metric: str | None = None, split: str = "test") -> pd.DataFrame:
        """Mean, 95 % interval and n by role, arm and sweep point; see `summary.summarise`."""
        return summary.summarise(self.table, metric=metric, split=split)

    def differences(
        self,
        *,
        against: Sequence[str] = ("no_kd", "um_kd"),
        metric: str | None = None,
        split: str = "test",
    ) -> pd.DataFrame:
        """Every student arm against each control the table has, paired by seed; see `summary.differences`."""
        return summary.differences(self.table, against=against, metric=metric, split=split)

    @property
    def settings(self) -> str:
        """A digest of all that determines this study: data, arms, seeds, models, recipes and options."""
        return _settings(self.provenance)

    def save(self, folder: Path | str | None = None, *, overwrite: bool = False) -> Path:
        """Write the four files into `folder`, each atomically; returns the path of the JSON.

        The same study run again replaces its files. One of other data or settings is never written over,
        unless `overwrite` asks for it: the name then gets a digest of this study's settings at its end.
        Without a folder they go where a run collects its results (MMKD_LAB_RESULTS), or to `runs/results`.
        Raises `LabError` for a folder that cannot be made or written.
        """
        folder = results_folder() if folder is None else checked_path("folder", folder)
        with writing("folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
        mark = f"-{self.settings[:8]}"
        names = self.name, self.name[: _LONGEST_NAME - len(mark)] + mark
        free = [name for name in names if overwrite or not self._is_another(folder / f"{name}.json")]
        if not free:
            rule = f"holds a {self.name} of other settings, or a file of this name that you may not read"
            raise LabError("folder", str(folder), rule, "Name another folder, or ask for overwrite=True")
        if free[0] != self.name:
            return replace(self, name=free[0]).save(folder)
        table = self.table.to_csv(index=False, lineterminator="\n").encode()
        with writing("folder", folder):
            write_bytes(folder / f"{self.name}.csv", table)
            if self.kind != NO_FIGURE:
                figure = self.plot()
                for suffix in (".png", ".svg"):  # the PNG first: as a fresh figure, as a notebook shows it
                    figure.write(folder / f"{self.name}{suffix}")
            return write_text(folder / f"{self.name}.json", self._json(table))

    @classmethod
    def load(cls, path: Path | str) -> Study:
        """Read a study saved as `folder/name` (with or without '.json').

        Raises `DamagedFile` naming the file that is missing, damaged, or not the one that was saved, and
        `UnreadableFile` for one that this user may not read.
        """
        stem = checked_path("path", path)
        name = stem.name.removesuffix(".json")
        require(name != "", "path", str(path), "must name a study: folder/name")
        where = stem.with_name(f"{name}.json")
        head = _read_head(where)
        table = _read_table(stem.with_name(f"{name}.csv"), head["csv_sha256"], head["columns"])
        keys = ("name", "title", "verdict", "kind", "options", "provenance")
        try:
            kept = Students.read(head.get("students", ()))
            return cls(table=table, students=kept, **{key: head[key] for key in keys})
        except LabError as error:
            rule = f"{error.argument} {error.rule}"
            raise DamagedFile(str(where), error.value, rule, _WAY_OUT) from error

    def __repr__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{html.escape(self.verdict)}</b></p>", compact_table(self.table)]
        notes = self.provenance.get("notes")
        if isinstance(notes, list):
            parts.append("<ul>" + "".join(f"<li>{html.escape(str(one))}</li>" for one in notes) + "</ul>")
        if self.kind != NO_FIGURE:
            picture = self.plot()._repr_png_()
            if picture is not None:
                parts.append(image(picture, self.title))
        return f'<div class="mmkd-study">{"".join(parts)}</div>'

    def _is_another(self, path: Path) -> bool:
        """Whether the file is of a study that this one must not replace; a damaged one may be replaced."""
        try:
            with reading(path, "must be JSON"):
                there = _settings(json.loads(path.read_text(encoding="utf-8"))["provenance"])
        except DamagedFile:
            return False
        except UnreadableFile:
            return True
        return there != self.settings

    def _json(self, table: bytes) -> str:
        head = {
            "format": FORMAT,
            "name": self.name,
            "title": self.title,
            "verdict": self.verdict,
            "kind": self.kind,
            "options": dict(self.options),
            "provenance": dict(self.provenance),
            "columns": {str(name): _kind(self.table[name]) for name in self.table.columns},
            "csv_sha256": hashlib.sha256(table).hexdigest(),
            "students": [dict(one) for one in self.students.entries],
        }
        return json.dumps(head, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _figures() -> Mapping[str, Draw]:
    from mmkd_lab.plotting.figures import FIGURES  # late: a study without a figure never loads matplotlib

    return FIGURES


def _settings(provenance: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in provenance.items() if name not in FOUND})


def validate_name(name: str) -> None:
    """Raise `LabError` unless a study can be saved under this name."""
    rule = "must be letters, digits, '-', '_' or '.', begin with a letter or digit and not end in '.json'"
    safe = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) is not None
    require(safe and not name.endswith(".json"), "name", name, rule)
    require(len(name) <= _LONGEST_NAME, "name", name, f"must be at most {_LONGEST_NAME} letters long")


def _plain(argument: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The same as plain JSON values, keys in the order given."""
    mapping(argument, value, "a mapping of names to plain values")
    try:
        return {str(key): json.loads(canonical(item)) for key, item in value.items()}
    except (TypeError, ValueError) as error:
        raise LabError(argument, dict(value), f"must hold plain values: {error}") from error


def _content(path: Path, missing: str, way_out: str = _WAY_OUT) -> bytes:
    """What a file of a study holds; `missing` is the rule that its absence breaks."""
    with reading(path, "must be a file that can be read", _WAY_OUT):
        if not path.is_file():  # nor a pipe, which would be waited for
            shown = "no file" if path.exists() else "missing"
            raise DamagedFile(str(path), shown, missing, way_out)
        return path.read_bytes()


def _read_head(path: Path) -> dict[str, Any]:
    content = _content(path, "no study is saved there", "Save one: study.save(folder).")
    with reading(path, "must be JSON, and readable", _WAY_OUT):
        head = json.loads(content.decode("utf-8"))
    needed = {"format", "name", "title", "verdict", "kind", "options", "provenance", "columns", "csv_sha256"}
    missing = needed - set(head) if isinstance(head, dict) else needed
    if missing:
        raise DamagedFile(str(path), sorted(missing), "these entries of a saved study are missing", _WAY_OUT)
    if head["format"] != FORMAT:
        raise DamagedFile(str(path), head["format"], f"must be of format {FORMAT}", _WAY_OUT)
    columns = head["columns"]
    if not isinstance(columns, dict) or not set(map(str, columns.values())) <= set(_KINDS):
        raise DamagedFile(str(path), columns, f"columns must be any of {', '.join(_KINDS)}", _WAY_OUT)
    return dict(head)


def _read_table(path: Path, sha256: str, columns: Mapping[str, str]) -> pd.DataFrame:
    content = _content(path, "the study's table must lie beside its JSON")
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        rule = f"must have the SHA-256 {str(sha256)[:12]}… it was saved with"
        raise DamagedFile(str(path), found[:12], rule, _WAY_OUT)
    with reading(path, "must hold the columns its JSON states", _WAY_OUT):
        text = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        return pd.DataFrame({name: _column(list(text[name]), kind) for name, kind in columns.items()})


def _column(cells: list[str], kind: str) -> list[Any]:
    """Cells as they were: Python reads back the very float it wrote; read_csv may miss its last bit."""
    if kind == "float":
        return [float(cell or "nan") for cell in cells]
    if kind == "int":
        return [int(cell) for cell in cells]
    return [cell == "True" for cell in cells] if kind == "bool" else cells


def _kind(column: pd.Series[Any]) -> str:
    return {"f": "float", "i": "int", "u": "int", "b": "bool"}.get(column.dtype.kind, "text")
