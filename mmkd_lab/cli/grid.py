"""One notebook over a grid of its parameters: in parallel, resumable, compared on one page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from itertools import product
from pathlib import Path

from mmkd_lab.cli.batch import carry_out
from mmkd_lab.cli.execute import Surroundings, execute, waiting
from mmkd_lab.cli.folder import settle
from mmkd_lab.cli.index import write_index
from mmkd_lab.cli.library import Notebook, discover, select
from mmkd_lab.cli.notebooks import values_for
from mmkd_lab.cli.parameters import load_notebook, source_of
from mmkd_lab.cli.record import Outcome, Run, this_process
from mmkd_lab.cli.versions import code_digest, versions
from mmkd_lab.core.atomic import write_text, write_with
from mmkd_lab.core.check import LabError, flat, mapping, path, require, whole
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

    Args:
        notebook: its name or the beginning of it.
        grid: parameter -> the values it takes in turn.
        profile: as in `run`.
        jobs: how many run at once; None leaves it to joblib. `joblib.parallel_config` around the call chooses
            another backend than threads: processes, Dask or Ray, where all machines see `out`.
        out: the folder for runs.
        notebooks: another folder of notebooks than the lab's own.
        progress: whether to show progress on standard error.
        as_text: whether the values are text, as on a command line: `a,b,c`, or `a;b,c` for lists.
        sanitize: as in `run`.

    Returns:
        What became of each combination, in the order of the grid.

    Raises:
        LabError: as `run` does, before anything starts; or when another sweep writes to the same folder.
        KeyboardInterrupt: interrupted; the next call goes on from there.
    """
    from filelock import FileLock, Timeout

    if jobs is not None:
        whole("jobs", jobs)
    (chosen,) = select(discover(notebooks), [notebook])
    combinations = _combinations(
        chosen, mapping("grid", grid, "{parameter: values}"), profile, as_text=as_text
    )
    root = path("out", out).absolute()
    folder = root / f"sweep_{chosen.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            settle(root)
            return _sweep(chosen, combinations, folder, profile, jobs, progress=progress, sanitize=sanitize)
    except Timeout:
        rule = "is being written to by another sweep"
        raise LabError("out", str(folder), rule, "Wait for it, or give another folder") from None
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise LabError("out", str(root), f"must be a folder that can be written: {error.strerror}") from error


def _sweep(
    notebook: Notebook,
    combinations: list[dict[str, object]],
    folder: Path,
    profile: str | None,
    jobs: int | None,
    *,
    progress: bool,
    sanitize: bool,
) -> Run:
    outcomes = tuple(_stored(folder, _outcome(notebook, values)) for values in combinations)
    started, title = datetime.now().astimezone(), f"Sweep of {notebook.name}"
    begun = Run(
        folder, started, outcomes, jobs or 1, profile, versions(), title=title, process=this_process()
    )
    _publish(begun)
    work = [(notebook, outcome) for outcome in outcomes if not outcome.ended]
    if not work:
        return begun
    return carry_out(work, begun, _publish, jobs=jobs, task=_keep, progress=progress, sanitize=sanitize)


def _combinations(
    notebook: Notebook, grid: Mapping[str, object], profile: str | None, *, as_text: bool
) -> list[dict[str, object]]:
    """Every combination of values, checked; the last parameter changes fastest."""
    columns = [_column(notebook, name, values, profile, as_text=as_text) for name, values in grid.items()]
    count = 1
    for column in columns:
        count *= len(column)
    require(count <= _MOST, "grid", f"{count} combinations", f"must have at most {_MOST:,}")
    extra = values_for(notebook, {}, profile) if "profile" not in grid else {}
    return [{**extra, **dict(zip(grid, values, strict=True))} for values in product(*columns)]


def _column(
    notebook: Notebook, name: str, values: object, profile: str | None, *, as_text: bool
) -> list[object]:
    listed = _split(notebook, name, str(values)) if as_text else flat(name, values, "a list of values")
    require(len(listed) > 0, name, values, "must have at least one value")
    found = [values_for(notebook, {name: one}, profile, as_text=as_text)[name] for one in listed]
    return [one for place, one in enumerate(found) if one not in found[:place]]


def _split(notebook: Notebook, name: str, text: str) -> list[str]:
    """The values in a text: between semicolons where there are any, or for lists; else between commas."""
    lists = any(one.name == name and one.kind.several for one in notebook.parameters)
    return [one.strip() for one in text.split(";" if lists or ";" in text else ",")]


def _outcome(notebook: Notebook, values: Mapping[str, object]) -> Outcome:
    """What will become of a combination, named after all that determines it."""
    whole_outcome = waiting(notebook, values)
    cells = load_notebook(notebook.path)["cells"]
    assert isinstance(cells, list)
    files = [found[1] for value in values.values() if (found := _FUNCTION.fullmatch(str(value)))]
    key = digest(
        {
            "code": [source_of(cell) for cell in cells if cell.get("cell_type") == "code"],
            "parameters": {name: repr(value) for name, value in whole_outcome.parameters.items()},
            "files": [Path(file).read_text(encoding="utf-8") for file in files if Path(file).is_file()],
            "lab": code_digest(),
            "versions": versions(),
        },
        length=12,
    )
    title = ", ".join(f"{name} = {value}" for name, value in values.items()) or notebook.title
    return replace(whole_outcome, name=key, title=title, label=f"{notebook.name} ({title})")


def _keep(notebook: Notebook, outcome: Outcome, around: Surroundings) -> Outcome:
    """Run one combination, and remember it if it was done."""
    ended = execute(notebook, outcome, around)
    if ended.state == "done":
        write_text(_record(around.folder, ended), json.dumps(asdict(ended), ensure_ascii=False))
    return ended


def _stored(folder: Path, outcome: Outcome) -> Outcome:
    try:
        return Outcome.of(json.loads(_record(folder, outcome).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
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
