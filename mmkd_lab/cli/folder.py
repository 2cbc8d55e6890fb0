"""Where a run writes: `runs/<time>/`, with `runs/latest` pointing at the newest; what killed runs left."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

from mmkd_lab.cli.record import Run
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import LabError, path

_MARK = "<!-- mmkd-lab: points at the latest run -->"


def new_run_folder(root: Path | str, started: datetime) -> Path:
    """Make and return `root/<time>`; a second run of the same second gets `-2`.

    Raises `LabError` when `root` cannot hold it.
    """
    root = path("out", root).absolute()
    stamp = started.strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1, 1000):
        folder = root / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not root.is_dir():
                raise LabError("out", str(root), "must be a folder") from None
            continue
        except OSError as error:
            raise LabError(
                "out", str(root), f"must be a folder that can be written: {error.strerror}"
            ) from error
        return folder
    raise LabError("out", str(root), f"holds too many runs of {stamp}")


def settle(root: Path) -> None:
    """Finish the pages of runs that were killed: what ran is `interrupted`, and half-written files go."""
    from mmkd_lab.cli.index import write_index

    for record in root.glob("*/run.json"):
        if record.parent.is_symlink():  # `latest`
            continue
        try:
            run = Run.load(record.parent)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not one of ours, or of another version
        if run.ended or run.alive:
            continue
        for partial in [*run.folder.rglob(".*.partial*"), *run.folder.glob(".*.progress")]:
            partial.unlink(missing_ok=True)
        run.interrupted().save()
        write_index(run.interrupted())


def check_latest(root: Path | str) -> None:
    """Raise `LabError` when `root/latest` is something of the user's that must not be replaced."""
    latest = path("out", root) / "latest"
    if latest.is_symlink() or not latest.exists() or _is_pointer(latest):
        return
    raise LabError("out", str(latest), "is in the way of the pointer to the latest run", "Move or remove it")


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
        _leave_pointer(latest, folder)
    return latest


def _is_pointer(latest: Path) -> bool:
    page = latest / "index.html"
    return page.is_file() and _MARK in page.read_text(encoding="utf-8", errors="replace")


def _leave_pointer(latest: Path, folder: Path) -> None:
    if latest.is_symlink():  # to write through it would spoil the page of the run that it points at
        latest.unlink()
    target = f"../{folder.name}/index.html"
    page = (
        f'<!doctype html>\n{_MARK}\n<meta charset="utf-8">\n'
        f'<meta http-equiv="refresh" content="0; url={target}">\n'
        f'<title>Latest run</title>\n<a href="{target}">The latest run</a>\n'
    )
    write_text(latest / "index.html", page)
