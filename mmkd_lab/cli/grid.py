"""One notebook over a grid of its parameters: in parallel, resumable, compared on one page."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache, partial
from itertools import product
from pathlib import Path

from pydantic import TypeAdapter

from mmkd_lab.cli.batch import carry_out
from mmkd_lab.cli.execute import Surroundings, execute, waiting
from mmkd_lab.cli.library import Notebook, discover, select
from mmkd_lab.cli.notebooks import settle, values_for
from mmkd_lab.cli.page import write_index
from mmkd_lab.cli.parameters import load_cells, source_of
from mmkd_lab.cli.record import Outcome, Run, versions
from mmkd_lab.core.atomic import write_text, write_with
from mmkd_lab.core.check import LabError, flat, mapping, path, require, whole, writing
from mmkd_lab.core.fingerprint import digest

_MOST = 10_000
_FUNCTION = re.compile(r"(.+\.py):\w+")


def sweep(
    notebook: str,
    grid: Mapping[str, object],
    *,
    profile: str | None = None,
    jobs: int | None = None,
    out: Path | str = "runs",
    notebooks: Path | str | None = None,
    progress: bool = True,
    as_text: bool = False,
    sanitize: bool = False,
) -> Run:
    """Run a notebook with every combination of parameters, and compare what came out.

    Everything is written to `<out>/sweep_<notebook>/`: the page `index.html`, and `sweep.csv`, the tables of
    all studies under each other with the parameters as columns (one whose name is a table's own already is
    called `parameter_<name>`). A combination that is done is not run again, as long as the notebook, the
    values, the lab's code and its packages are the same.

    `notebook` is a name or the beginning of one, `grid` holds the values that parameters take in turn: lists,
    or with `as_text` what stands on a command line, `a,b,c`, or `a;b,c` for lists. `jobs` run at once; None
    leaves it to joblib, and `joblib.parallel_config` around the call chooses another backend than threads:
    processes, Dask or Ray, where all machines see `out`. The rest is as in `run`.

    Returns what became of each combination, in the order of the grid. Raises `LabError` as `run` does, or
    when another sweep writes to the same folder, and `KeyboardInterrupt`; the next call goes on from there.
    """
    from filelock import FileLock, Timeout

    if jobs is not None:
        whole("jobs", jobs)
    (chosen,) = select(discover(notebooks), [notebook])
    given = mapping("grid", grid, "{parameter: values}")
    combinations = _combinations(chosen, given, profile, as_text=as_text)
    root = path("out", out).absolute()
    folder = root / f"sweep_{chosen.name}"
    with writing("out", root):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / ".lock", timeout=0):
                settle(root)
                outcomes = [_stored(folder, _outcome(chosen, values)) for values in combinations]
                about = {
                    "jobs": jobs or 1,
                    "profile": profile,
                    "title": f"Sweep of {chosen.name}",
                    "sanitize": sanitize,
                }
                begun = Run.begin(folder, outcomes, **about)
                _publish(begun)
                if begun.ended:
                    return begun
                todo = [chosen] * len(outcomes)
                return carry_out(todo, begun, _publish, jobs=jobs, task=_keep, progress=progress)
        except Timeout:
            rule = "is being written to by another sweep"
            raise LabError("out", str(folder), rule, "Wait for it, or give another folder") from None


def _combinations(
    notebook: Notebook, grid: Mapping[str, object], profile: str | None, *, as_text: bool
) -> list[dict[str, object]]:
    """Every combination of values, checked; the last parameter changes fastest."""
    columns = [_column(notebook, name, values, profile, as_text=as_text) for name, values in grid.items()]
    count = math.prod(map(len, columns))
    require(count <= _MOST, "grid", f"{count} combinations", f"must have at most {_MOST:,}")
    extra = values_for(notebook, {}, profile) if "profile" not in grid else {}
    return [{**extra, **dict(zip(grid, values, strict=True))} for values in product(*columns)]


def _column(
    notebook: Notebook, name: str, values: object, profile: str | None, *, as_text: bool
) -> list[object]:
    """The values of one parameter, each once. In a text semicolons part them, or commas if none is a list."""
    lists = any(one.name == name and one.several for one in notebook.parameters)
    if as_text:
        text = str(values)
        listed: list[object] = [one.strip() for one in text.split(";" if lists or ";" in text else ",")]
    else:
        listed = flat(name, values, "a list of values")
    require(len(listed) > 0, name, values, "must have at least one value")
    found = [values_for(notebook, {name: one}, profile, as_text=as_text)[name] for one in listed]
    return [one for place, one in enumerate(found) if one not in found[:place]]


def _outcome(notebook: Notebook, values: Mapping[str, object]) -> Outcome:
    """What will become of a combination, named after all that determines it."""
    outcome = waiting(notebook, values)
    files = [Path(found[1]) for value in values.values() if (found := _FUNCTION.fullmatch(str(value)))]
    cells = load_cells(notebook.path)
    key = digest(
        {
            "code": [source_of(cell) for cell in cells if cell.get("cell_type") == "code"],
            "parameters": {name: repr(value) for name, value in outcome.parameters.items()},
            "files": [file.read_text(encoding="utf-8") for file in files if file.is_file()],
            "lab": _code_digest(),
            "versions": versions(),
        },
        length=12,
    )
    title = ", ".join(f"{name} = {value}" for name, value in values.items()) or notebook.title
    return replace(outcome, name=key, title=title, label=f"{notebook.name} ({title})")


@cache
def _code_digest() -> str:
    """A name for all of the lab's code: a notebook's results depend on its figures and sentences, too."""
    package, total = Path(__file__).resolve().parents[1], hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        total.update(f"{file.relative_to(package).as_posix()}\n".encode() + file.read_bytes())
    return total.hexdigest()[:16]


def _keep(notebook: Notebook, outcome: Outcome, around: Surroundings) -> Outcome:
    """Run one combination, and remember it if it was done."""
    ended = execute(notebook, outcome, around)
    if ended.state == "done":
        write_text(_record(around.folder, ended), json.dumps(asdict(ended), ensure_ascii=False))
    return ended


def _stored(folder: Path, outcome: Outcome) -> Outcome:
    try:
        return TypeAdapter(Outcome).validate_json(_record(folder, outcome).read_bytes())
    except (OSError, ValueError):
        return outcome


def _record(folder: Path, outcome: Outcome) -> Path:
    return folder / f"{outcome.name}.done.json"


def _publish(run: Run) -> None:
    run.save()
    write_index(run, _merge(run))


def _merge(run: Run) -> Path | None:
    """Write the tables of all that is done under each other, as `sweep.csv`."""
    import pandas as pd

    tables = []
    for outcome in (one for one in run.outcomes if one.state == "done"):
        for file in sorted((run.folder / outcome.name).glob("*.csv")):
            table = pd.read_csv(file, dtype=str, keep_default_na=False)  # every digit as it stands
            given = {name: str(outcome.parameters[name]) for name in outcome.given}
            own = {f"parameter_{name}" if name in table else name: value for name, value in given.items()}
            tables.append(table.assign(**own)[[*own, *table]])
    target = run.folder / "sweep.csv"
    if not tables:
        target.unlink(missing_ok=True)
        return None
    merged = pd.concat(tables, ignore_index=True)
    return write_with(target, partial(merged.to_csv, index=False))
