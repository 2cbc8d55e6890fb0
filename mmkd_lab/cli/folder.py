"""Where a run writes: `runs/<time>/`, with `runs/latest` pointing at the newest; what killed runs left."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mmkd_lab.cli.page import write_index
from mmkd_lab.cli.record import Run
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import LabError, path

_MARK = "<!-- mmkd-lab: points at the latest run -->"


def new_run_folder(root: Path | str) -> Path:
    """Make and return `root/<time>`; a second run of the same second gets `-2`. Raises `LabError`."""
    root, stamp = path("out", root).absolute(), datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / (stamp if number == 1 else f"{stamp}-{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1
    except OSError as error:
        raise LabError("out", str(root), f"must be a folder that can be written: {error.strerror}") from error


def settle(root: Path) -> None:
    """Finish the pages of runs that were killed: what ran is `interrupted`, and half-written files go."""
    for record in root.glob("*/run.json"):
        if record.parent.is_symlink():  # `latest`
            continue
        try:
            run = Run.load(record.parent)
        except (OSError, ValueError):
            continue  # not one of ours, or of another version
        if run.ended or run.alive:
            continue
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
