"""Run notebooks, several at once if asked; write what they made to one folder with one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mmkd_lab.cli.batch import carry_out
from mmkd_lab.cli.execute import waiting
from mmkd_lab.cli.folder import check_latest, new_run_folder, point_latest, settle
from mmkd_lab.cli.index import write_index
from mmkd_lab.cli.library import Notebook, discover, select
from mmkd_lab.cli.parameters import check
from mmkd_lab.cli.record import Run, this_process
from mmkd_lab.cli.versions import versions
from mmkd_lab.core.check import LabError, listing, mapping, one_of, require, whole

PROFILES = ("quick", "full")

#: A notebook of this name would write where the run's page is.
_TAKEN = ("index",)


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
        out: the folder for runs.
        notebooks: another folder of notebooks than the lab's own.
        progress: whether to show progress on standard error.
        as_text: whether the values of `parameters` are text, as on a command line.
        sanitize: whether scripts and the like are taken out of the pages made of notebooks.

    Returns:
        What became of each notebook. A failed one stops no other.

    Raises:
        LabError: an unknown notebook or parameter, a value of another type, or an unfit option; before any
            kernel is started and before anything is written.
        KeyboardInterrupt: interrupted; the page shows what was finished.
    """
    whole("jobs", jobs)
    given = {} if parameters is None else mapping("parameters", parameters, "{name: value}")
    chosen = select(discover(notebooks), names)
    for notebook in chosen:
        _fits(notebook, chosen, given)
    values = [values_for(notebook, given, profile, as_text=as_text) for notebook in chosen]
    check_latest(out)
    started = datetime.now().astimezone()
    folder = new_run_folder(out, started)
    settle(folder.parent)
    outcomes = tuple(waiting(notebook, one) for notebook, one in zip(chosen, values, strict=True))
    begun = Run(folder, started, outcomes, jobs, profile, versions(), process=this_process())
    publish(begun)
    point_latest(folder)
    work = list(zip(chosen, outcomes, strict=True))
    return carry_out(work, begun, publish, jobs=jobs, progress=progress, sanitize=sanitize)


def publish(run: Run) -> None:
    """Write the record of a run and its page."""
    run.save()
    write_index(run)


def values_for(
    notebook: Notebook, given: Mapping[str, object], profile: str | None, *, as_text: bool = False
) -> dict[str, object]:
    """The values to set in a notebook, of their declared types; the profile among them where it has one."""
    if profile is not None:
        one_of("profile", profile, PROFILES)
    values = check(notebook.parameters, given, where=notebook.path.name, as_text=as_text)
    if profile is None or not notebook.declares("profile"):
        return values
    twice = values.get("profile", profile) != profile
    other = f"contradicts the parameter profile, {values.get('profile')!r}"
    require(not twice, "profile", profile, other, "Give one of them")
    return {**values, **check(notebook.parameters, {"profile": profile}, where=notebook.path.name)}


def _fits(notebook: Notebook, chosen: Sequence[Notebook], given: Mapping[str, object]) -> None:
    for name, value in given.items():
        others = [one.name for one in chosen if one.declares(name)]
        if others and not notebook.declares(name):
            rule = f"{notebook.name} has no parameter {name!r}, only {listing(others)}"
            raise LabError(name, value, rule, "Name the notebooks to run with it")
    taken = notebook.name.lower() in _TAKEN
    require(not taken, "notebook", notebook.name, "its page would be the run's own", "Give it another name")
