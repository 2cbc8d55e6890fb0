"""The parameters of a notebook: read from its tagged cell without running it, checked before a kernel starts.

The cell tagged 'parameters' holds nothing but lines of the form `name: type = value  # help`.
"""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, Field, TypeAdapter

from mmkd_lab.core.check import DamagedFile, LabError, reading, require
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.core.config import Flag, Plain

_LINE = "each line of the cell tagged 'parameters' must read `name: type = value  # help`"
_KINDS = "must be int, float, bool, str, None, X | Y, list[X], tuple[X, ...], tuple[X, Y] or Literal[values]"
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
    **dict.fromkeys(("none", "null"), None),
}


def _utf8(text: str) -> str:
    text.encode()  # or UnicodeEncodeError, a ValueError
    return text


_TYPES: dict[str, Any] = {
    "int": Annotated[int, Plain, Field(strict=True)],
    "float": Annotated[float, Plain, Field(strict=True, allow_inf_nan=False)],
    "bool": Flag,
    "str": Annotated[str, Field(strict=True), AfterValidator(_utf8)],
}


@dataclass(frozen=True)
class NotebookParameter:
    """One parameter of a notebook: name, declared type as written, default, the comment of its line."""

    name: str
    kind: str
    default: object
    help: str
    adapter: TypeAdapter[Any]

    def admit(self, value: object, *, as_text: bool = False) -> object:
        """The value in the declared type; a whole number is widened to float.

        With `as_text` the value is what stands on a command line: lists are written `1,2,3` or `[1, 2, 3]`;
        true, yes, on, 1 and false, no, off, 0 are truth values. Raises `ValueError`.
        """
        for read in _readings(str(value)) if as_text else (value,):
            with suppress(ValueError, RecursionError, OverflowError):
                return self.adapter.validate_python(read)
        raise ValueError(value)

    @property
    def several(self) -> bool:
        """Whether a value may be a list or a tuple."""
        return "list[" in self.kind or "tuple[" in self.kind

    @property
    def rule(self) -> str:
        """What a value must be, as the end of a sentence."""
        return f"of type {self.kind}{', finite' if 'float' in self.kind else ''}"

    def __str__(self) -> str:
        line = f"{self.name}: {self.kind} = {self.default!r}"
        return f"{line} ({self.help})" if self.help else line


def read_parameters(path: Path | str) -> tuple[NotebookParameter, ...]:
    """The parameters of the notebook at `path`, in order; none when no cell is tagged 'parameters'.

    Raises `DamagedFile` for a file that is no notebook, and `LabError` when the cell holds something else.
    """
    return of_cells(load_cells(path), Path(path).name)


def load_cells(path: Path | str) -> list[dict[str, Any]]:
    """The cells of a notebook of format 4, without importing nbformat. Raises `DamagedFile`."""
    path, way_out = checked_path("path", path), "Open and save it in JupyterLab, or restore it"
    with reading(path, "must be the JSON of a notebook", way_out):
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = content.get("cells") if isinstance(content, dict) else None
        if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
            raise DamagedFile(str(path), "no cells", "must be a notebook of format 4", way_out)
        for cell in cells:
            _ = source_of(cell), tags_of(cell)
    return cells


def source_of(cell: Mapping[str, Any]) -> str:
    """The text of a cell, which the format stores whole or line by line."""
    return "".join(cell.get("source", ""))


def tags_of(cell: Mapping[str, Any]) -> list[str]:
    """The tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def of_cells(cells: Sequence[Mapping[str, Any]], where: str) -> tuple[NotebookParameter, ...]:
    """The parameters that a notebook's cells declare. Raises `LabError` naming `where`."""
    tagged = [source_of(cell) for cell in cells if "parameters" in tags_of(cell)]
    if len(tagged) > 1:
        raise LabError(where, f"{len(tagged)} cells", "only one cell may be tagged 'parameters'")
    source = "".join(tagged)
    try:
        body = ast.parse(source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
        raise LabError(where, str(error), _LINE) from error
    comments = {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}
    found: dict[str, NotebookParameter] = {}
    for statement in body:
        parameter = _parameter(statement, comments.get(statement.end_lineno or 0, ""), where)
        if parameter.name in found:
            raise LabError(where, parameter.name, "a parameter may be declared only once")
        found[parameter.name] = parameter
    return tuple(found.values())


def check(
    parameters: Sequence[NotebookParameter], given: Mapping[str, object], *, where: str, as_text: bool = False
) -> dict[str, object]:
    """The given values in their declared types; with `as_text`, from the text given after `-p name`.

    Raises `LabError` for an unknown parameter or a value of another type; it lists what `where` declares.
    """
    known, checked = {parameter.name: parameter for parameter in parameters}, {}
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            way_out = f"{hint}It has {'; '.join(map(str, parameters)) or 'none'}"
            raise LabError(str(name), value, f"{where} has no parameter {str(name)!r}", way_out)
        parameter = known[name]
        try:
            checked[name] = parameter.admit(_placed(name, value), as_text=as_text)
        except LabError:
            raise
        except ValueError:
            rule = f"parameter {name!r} of {where} must be {parameter.rule}"
            raise LabError(name, value, rule, f"It is declared as {parameter}") from None
    return checked


def _parameter(statement: ast.stmt, comment: str, where: str) -> NotebookParameter:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as written):
            pass
        case _:
            raise LabError(where, f"line {statement.lineno}", _LINE)
    kind = ast.unparse(annotation)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_type(annotation))
    except Exception as error:  # pydantic has many words for what is no type
        raise LabError(where, f"line {statement.lineno}: {kind}", f"a type {_KINDS}") from error
    parameter = NotebookParameter(name, kind, None, comment, adapter)
    try:
        default = parameter.admit(ast.literal_eval(written))
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        rule = f"the value of {name} must be written out and {parameter.rule}"
        raise LabError(where, f"line {statement.lineno}: {ast.unparse(written)}", rule) from error
    return NotebookParameter(name, kind, default, comment, adapter)


def _type(node: ast.expr) -> Any:  # noqa: ANN401 - a type of any kind
    """The type that an annotation declares, built from its parts: nothing of it is executed."""
    match node:
        case ast.Name(id=name):
            return _TYPES[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_type(left), _type(right)]  # noqa: UP007 - of values
        case ast.Subscript(value=ast.Name(id="Literal"), slice=options):
            return Literal[ast.literal_eval(options)]
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_type(item)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="tuple"), slice=items):
            parts = items.elts if isinstance(items, ast.Tuple) else [items]
            return tuple[tuple(... if ast.unparse(part) == "..." else _type(part) for part in parts)]  # type: ignore[misc]
    raise TypeError(ast.unparse(node))


def _readings(text: str) -> Iterator[object]:
    """What a text may mean, the likeliest first. Text itself comes late, since `str` admits anything."""
    word = text.strip()
    try:
        written = ast.literal_eval(word)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        written = text
    told = not isinstance(written, str)
    if told:
        yield written
    if word.lower() in _WORDS:
        yield _WORDS[word.lower()]
    yield from (text, word)
    if told:
        yield [written]
    inner = word[1:-1] if word[:1] + word[-1:] in ("[]", "()") else word
    words = [one.strip().strip("'\"") for one in inner.split(",")]
    yield words[:-1] if words[-1] == "" else words


def _placed(name: str, value: object) -> object:
    """`file.py:function` with the file's whole path, since a notebook runs in its own folder.

    Raises `LabError` where there is no such file.
    """
    file, colon, function = str(value).rpartition(":")
    if not (isinstance(value, str) and function.isidentifier() and file.endswith(".py")):
        return value
    whole = Path(file).absolute()
    require(whole.is_file(), name, value, f"must name a file that is there, and {whole} is not")
    return f"{whole}{colon}{function}"
