"""The parameters of a notebook: read from its tagged cell without running it, checked before a kernel starts.

The cell tagged 'parameters' holds nothing but lines of the form `name: type = value  # help`.
"""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mmkd_lab.cli.declared import Declared, Mismatch, declared
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.core.check import path as checked_path

_RULE = "each line of the cell tagged 'parameters' must read `name: type = value  # help`"


@dataclass(frozen=True)
class NotebookParameter:
    """One parameter of a notebook.

    Args:
        name: its name in the notebook and on the command line.
        kind: the declared type.
        default: the value the notebook gives it.
        help: the comment at the end of its line.
    """

    name: str
    kind: Declared
    default: object
    help: str = ""

    def __str__(self) -> str:
        line = f"{self.name}: {self.kind} = {self.default!r}"
        return f"{line} ({self.help})" if self.help else line


def read_parameters(path: Path | str) -> tuple[NotebookParameter, ...]:
    """The parameters of the notebook at `path`, in order; none when no cell is tagged 'parameters'.

    Raises:
        DamagedFile: the notebook is missing or is not JSON of a notebook.
        LabError: the cell holds something else than parameters, or a value not of its declared type.
    """
    return of_notebook(load_notebook(path), Path(path).name)


def load_notebook(path: Path | str) -> dict[str, object]:
    """The JSON of a notebook of format 4. Raises `DamagedFile`."""
    path = checked_path("path", path)
    way_out = "Open and save it in JupyterLab, or restore it"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedFile(str(path), error.strerror, "cannot be read", way_out) from error
    except (ValueError, RecursionError) as error:
        raise DamagedFile(str(path), str(error), "must be the JSON of a notebook", way_out) from error
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise DamagedFile(str(path), "no cells", "must be a notebook of format 4", way_out)
    return dict(content)


def source_of(cell: Mapping[str, object]) -> str:
    """The text of a cell, which the format stores whole or line by line."""
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def tags_of(cell: Mapping[str, object]) -> list[str]:
    """The tags of a cell."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def of_notebook(content: Mapping[str, object], name: str) -> tuple[NotebookParameter, ...]:
    """The parameters of a notebook already loaded; see `read_parameters`."""
    cells = content["cells"]
    assert isinstance(cells, list)
    tagged = [cell for cell in cells if "parameters" in tags_of(cell)]
    if not tagged:
        return ()
    if len(tagged) > 1:
        raise LabError(name, f"{len(tagged)} cells", "only one cell may be tagged 'parameters'")
    return parse_cell(source_of(tagged[0]), name)


def parse_cell(source: str, where: str) -> tuple[NotebookParameter, ...]:
    """The parameters that the text of a parameters cell declares. Raises `LabError` naming `where`."""
    try:
        body = ast.parse(source).body
        comments = _comments(source)
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
        raise LabError(where, str(error), _RULE) from error
    found: dict[str, NotebookParameter] = {}
    for statement in body:
        parameter = _parameter(statement, comments.get(statement.end_lineno or 0, ""), where)
        if parameter.name in found:
            raise LabError(where, parameter.name, "a parameter may be declared only once")
        found[parameter.name] = parameter
    return tuple(found.values())


def check(
    parameters: Iterable[NotebookParameter], given: Mapping[str, object], *, where: str, as_text: bool = False
) -> dict[str, object]:
    """The given values in their declared types.

    Args:
        parameters: what the notebook declares.
        given: name -> value; with `as_text`, name -> the text given after `-p name`.
        where: the notebook, for the message.
        as_text: whether to read the values from text.

    Raises:
        LabError: an unknown parameter or a value of another type; the message lists what exists.
    """
    known = {parameter.name: parameter for parameter in parameters}
    checked = {}
    for name, value in given.items():
        if name not in known:
            raise _unknown(str(name), value, known, where)
        checked[name] = _value(known[name], value, where, as_text=as_text)
    return checked


def _value(parameter: NotebookParameter, value: object, where: str, *, as_text: bool) -> object:
    try:
        return parameter.kind.read(_placed(str(value))) if as_text else parameter.kind.admit(value)
    except Mismatch as mismatch:
        rule = f"parameter {parameter.name!r} of {where} must be {mismatch}"
        raise LabError(parameter.name, value, rule, f"It is declared as {parameter}") from mismatch


def _placed(text: str) -> str:
    """`file.py:function` with the file's whole path, since a notebook runs in its own folder."""
    file, colon, function = text.rpartition(":")
    is_file = function.isidentifier() and file.endswith(".py") and Path(file).is_file()
    return f"{Path(file).absolute()}{colon}{function}" if is_file else text


def _unknown(name: str, value: object, known: Mapping[str, NotebookParameter], where: str) -> LabError:
    if not known:
        return LabError(name, value, f"{where} has no parameters")
    near = get_close_matches(name, list(known), n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    listed = "; ".join(map(str, known.values()))
    return LabError(name, value, f"{where} has no parameter {name!r}", f"{hint}It has {listed}")


def _parameter(statement: ast.stmt, comment: str, where: str) -> NotebookParameter:
    line = f"line {statement.lineno}"
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as written):
            pass
        case _:
            raise LabError(where, line, _RULE)
    try:
        kind = declared(annotation)
    except Mismatch as mismatch:
        raise LabError(
            where, f"{line}: {ast.unparse(annotation)}", f"a type must be {mismatch}"
        ) from mismatch
    try:
        default = kind.admit(ast.literal_eval(written))
    except Mismatch as mismatch:
        shown = f"{line}: {ast.unparse(written)}"
        raise LabError(where, shown, f"the value of {name} must be {mismatch}") from mismatch
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        shown = f"{line}: {ast.unparse(written)}"
        raise LabError(where, shown, f"the value of {name} must be a plain value") from error
    return NotebookParameter(name, kind, default, comment)


def _comments(source: str) -> dict[int, str]:
    """Line number -> the comment at its end."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}
