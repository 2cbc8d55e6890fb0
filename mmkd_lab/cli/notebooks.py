"""Run notebooks, several at once if asked; write what they made to one folder with one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmkd_lab.cli.batch import carry_out
from mmkd_lab.cli.execute import waiting
from mmkd_lab.cli.folder import check_latest, new_run_folder, point_latest, settle
from mmkd_lab.cli.library import Notebook, discover, select
from mmkd_lab.cli.page import write_index
from mmkd_lab.cli.parameters import check
from mmkd_lab.cli.record import Run
from mmkd_lab.core.check import LabError, listing, mapping, one_of, require, whole

PROFILES = ("quick", "full")


def run(
    names: Sequence[str] = (),
    *,
    parameters: Mapping[str, object] | None = None,
    profile: str | None = None,
    jobs: int = 1,
    out: Path | str = "runs",
    notebooks: Path | str | None = None,
    progress: bool = True,
    as_text: bool = False,
    sanitize: bool = False,
) -> Run:
    """Run notebooks in order and write `<out>/<time>/index.html`, which `<out>/latest` points at.

    Args:
        names: which notebooks, by name or the beginning of one; all of them when empty.
        parameters: name -> value, for every notebook chosen; each must declare the name.
        profile: 'quick' or 'full', for the notebooks that have a parameter `profile`; None leaves their own.
        jobs: how many run at once; each kernel gets its share of the threads.
        out, notebooks: the folder for runs, and another folder of notebooks than the lab's own.
        progress: whether to show progress on standard error.
        as_text: whether the values of `parameters` are text, as on a command line.
        sanitize: whether scripts and the like are taken out of the pages made of notebooks.

    Returns what became of each notebook; a failed one stops no other. Raises `LabError` for wrong input,
    before any kernel is started and before anything is written, and `KeyboardInterrupt` when interrupted; the
    page then shows what was finished.
    """
    whole("jobs", jobs)
    given = {} if parameters is None else mapping("parameters", parameters, "{name: value}")
    chosen = select(discover(notebooks), names)
    for notebook in chosen:
        _fits(notebook, chosen, given)
    values = [values_for(notebook, given, profile, as_text=as_text) for notebook in chosen]
    check_latest(out)
    folder = new_run_folder(out)
    settle(folder.parent)
    begun = Run.begin(folder, tuple(map(waiting, chosen, values)), jobs, profile)
    publish(begun)
    point_latest(folder)
    return carry_out(chosen, begun, publish, jobs=jobs, progress=progress, sanitize=sanitize)


def publish(run: Run) -> None:
    """Write the record of a run and its page."""
    run.save()
    write_index(run)


def values_for(
    notebook: Notebook, given: Mapping[str, object], profile: str | None, *, as_text: bool = False
) -> dict[str, object]:
    """The values to set in a notebook, of their declared types; the profile among them where it has one."""
    where = notebook.path.name
    values = check(notebook.parameters, given, where=where, as_text=as_text)
    if profile is None:
        return values
    one_of("profile", profile, PROFILES)
    if not notebook.declares("profile"):
        return values
    other = values.get("profile", profile)
    rule = f"contradicts the parameter profile, {other!r}"
    require(other == profile, "profile", profile, rule, "Give one of them")
    return {**values, **check(notebook.parameters, {"profile": profile}, where=where)}


def _fits(notebook: Notebook, chosen: Sequence[Notebook], given: Mapping[str, object]) -> None:
    for name, value in given.items():
        others = [one.name for one in chosen if one.declares(name)]
        if others and not notebook.declares(name):
            rule = f"{notebook.name} has no parameter {name!r}, only {listing(others)}"
            raise LabError(name, value, rule, "Name the notebooks to run with it")
    taken = notebook.name.lower() == "index"
    require(not taken, "notebook", notebook.name, "its page would be the run's own", "Give it another name")
