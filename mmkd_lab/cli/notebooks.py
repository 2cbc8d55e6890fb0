"""Run notebooks, several at once if asked; write what they made to one folder with one page."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mmkd_lab.cli.batch import carry_out
from mmkd_lab.cli.execute import waiting
from mmkd_lab.cli.library import Notebook, discover, select
from mmkd_lab.cli.page import write_index
from mmkd_lab.cli.parameters import check
from mmkd_lab.cli.record import Run
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import LabError, listing, mapping, one_of, path, require, whole, writing

PROFILES = ("quick", "full")
_MARK = "<!-- mmkd-lab: points at the latest run -->"


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
        sanitize: whether scripts and the like are taken out of the pages made of notebooks, and of the run's.

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
    with writing("out", path("out", out).absolute()):
        check_latest(out)
        folder = new_run_folder(out)
        settle(folder.parent)
        about = {"jobs": jobs, "profile": profile, "sanitize": sanitize}
        begun = Run.begin(folder, [*map(waiting, chosen, values)], **about)
        publish(begun)
        point_latest(folder)
        return carry_out(chosen, begun, publish, jobs=jobs, progress=progress)


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


def new_run_folder(root: Path | str) -> Path:
    """Make and return `root/<time>`; a second run of the same second gets `-2`. Raises `LabError`."""
    root, stamp = path("out", root).absolute(), datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    with writing("out", root):
        root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / (stamp if number == 1 else f"{stamp}-{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1


def settle(root: Path) -> None:
    """Finish the pages of runs that were killed: what ran is `interrupted`, and half-written files go."""
    for record in root.glob("*/run.json"):
        if record.parent.is_symlink():  # `latest`
            continue
        with suppress(OSError, ValueError, OverflowError):  # another user's, of another version, or damaged
            _settle(Run.load(record.parent))


def _settle(run: Run) -> None:
    if run.ended or run.alive:
        return
    for partial in [*run.folder.rglob(".*.partial*"), *run.folder.glob(".*.progress")]:
        partial.unlink(missing_ok=True)
    run = run.with_rest("interrupted")
    run.save()
    write_index(run)


def check_latest(root: Path | str) -> None:
    """Raise `LabError` when `root/latest` is something of the user's that must not be replaced."""
    latest = path("out", root) / "latest"
    page = latest / "index.html"
    ours = latest.is_symlink() or (page.is_file() and _MARK in page.read_text("utf-8", "replace"))
    if latest.exists() and not ours:
        rule = "is in the way of the pointer to the latest run"
        raise LabError("out", str(latest), rule, "Move or remove it")


def point_latest(folder: Path) -> Path:
    """Let `latest` beside `folder` point at it, atomically.

    Where the system refuses symbolic links (Windows without developer mode, some network disks), `latest` is
    a folder whose index.html leads to the run's page.
    """
    latest = folder.parent / "latest"
    check_latest(folder.parent)
    partial = folder.parent / f".latest-{uuid.uuid4().hex}"
    try:
        partial.symlink_to(folder.name, target_is_directory=True)
        partial.replace(latest)
    except OSError:
        partial.unlink(missing_ok=True)
        if latest.is_symlink():  # to write through it would spoil the page of the run that it points at
            latest.unlink()
        target = f"../{folder.name}/index.html"
        refresh = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={target}">'
        link = f'<title>Latest run</title><a href="{target}">The latest run</a>'
        write_text(latest / "index.html", f"<!doctype html>\n{_MARK}\n{refresh}\n{link}\n")
    return latest
