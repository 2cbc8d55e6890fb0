"""What this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mmkd_lab.cli.kernel import THREAD_VARIABLES, cores
from mmkd_lab.cli.record import memory
from mmkd_lab.cli.versions import PACKAGES, version
from mmkd_lab.core.check import LabError

OK, NOTE, MISSING = "  ", "- ", "! "


@dataclass(frozen=True)
class Finding:
    """One line of the report: what about, its state, what was found, and what to do, if anything.

    NOTE: the lab works without it; MISSING: something will not work.
    """

    subject: str
    state: str
    text: str
    way_out: str = ""

    def __str__(self) -> str:
        text = f"{self.state}{self.subject:<18} {self.text}"
        return f"{text}\n{'':<21}{self.way_out}" if self.way_out else text


def examine() -> list[Finding]:
    """Look at Python, packages, devices, threads, memory, folders and datasets. Imports torch."""
    parts: tuple[Callable[[], list[Finding]], ...] = (_python, _packages, _torch, _machine, _folders, _data)
    return [finding for part in parts for finding in part()]


def _python() -> list[Finding]:
    text = f"{platform.python_version()} ({sys.executable})"
    right = (3, 11) <= sys.version_info[:2] < (3, 14)
    way_out = "" if right else "Make the environment with Python 3.11, 3.12 or 3.13."
    return [
        Finding("python", OK if right else MISSING, text, way_out),
        Finding("system", OK, platform.platform()),
    ]


def _packages() -> list[Finding]:
    found = []
    for name in _requirements():
        installed = version(name)
        if installed != "not installed":
            found.append(Finding(name, OK, installed))
        elif name == "mmkd-lab":
            found.append(Finding(name, NOTE, "used from its folder, not installed", "Install it: make setup"))
        else:
            found.append(Finding(name, MISSING, installed, f"{sys.executable} -m pip install {name}"))
    return found


def _requirements() -> list[str]:
    """The packages that mmkd-lab depends on, without the optional ones."""
    from packaging.requirements import Requirement

    try:
        listed = [Requirement(text) for text in metadata.requires("mmkd-lab") or []]
    except metadata.PackageNotFoundError:
        return ["mmkd-lab", *PACKAGES]
    needed = (one.name for one in listed if one.marker is None or one.marker.evaluate({"extra": ""}))
    return ["mmkd-lab", *sorted(needed)]


def _torch() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [Finding("torch", MISSING, f"cannot be imported: {error}", "Install it: make run.")]
    found = [Finding("threads", OK, f"torch uses {torch.get_num_threads()} of {cores()} cores")]
    for name in [variable for variable in THREAD_VARIABLES if variable in os.environ]:
        found.append(Finding("threads", NOTE, f"{name} = {os.environ[name]} is set"))
    if torch.cuda.is_available():
        return [*found, *(_gpu(torch, number) for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        return [*found, Finding("device", OK, "mps; precision 32-true, 16-mixed")]
    unused = shutil.which("nvidia-smi") is not None
    way_out = (
        f"torch {torch.__version__} cannot use the GPU. Install a build for its driver." if unused else ""
    )
    text = "cpu; precision 64-true, 32-true, bf16-mixed (16-mixed needs a GPU)"
    return [*found, Finding("device", NOTE if unused else OK, text, way_out)]


def _gpu(torch: object, number: int) -> Finding:
    cuda = torch.cuda  # type: ignore[attr-defined]
    properties = cuda.get_device_properties(number)
    half = "bf16-mixed, 16-mixed" if properties.major >= 8 else "16-mixed"
    size = memory(properties.total_memory)
    text = f"cuda:{number} {properties.name}, {size}; precision 64-true, 32-true, {half}"
    return Finding("device", OK, text)


def _machine() -> list[Finding]:
    import psutil

    found = psutil.virtual_memory()
    text = f"{memory(found.available)} free of {memory(found.total)}"
    if found.available < 4e9:
        return [Finding("memory", NOTE, text, "The largest datasets want 4 GB.")]
    return [Finding("memory", OK, text)]


def _folders() -> list[Finding]:
    found = []
    for name, look in (("results", _results), ("data", _downloads), ("notebooks", _notebooks)):
        try:
            found.append(look(name))
        except LabError as error:
            found.append(Finding(name, MISSING, str(error)))
    return found


def _results(name: str) -> Finding:
    from mmkd_lab.experiments.store import ResultStore

    return _place(name, ResultStore().root)


def _downloads(name: str) -> Finding:
    from mmkd_lab.data import where

    first = next(place for place in where("av_mnist") if place.origin != "shipped")
    folder = first.path.parents[1]
    return _place(name, folder) if first.origin == "downloads" else Finding(name, OK, f"{folder} (mirror)")


def _notebooks(name: str) -> Finding:
    from mmkd_lab.cli.library import notebooks_folder

    return Finding(name, OK, str(notebooks_folder()))


def _place(name: str, path: Path) -> Finding:
    """A folder that is written to: it need not exist, but making it must be possible."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        way_out = f"Make {nearest} a writable folder, or set MMKD_LAB_STORE or MMKD_LAB_DATA to another."
        return Finding(name, MISSING, f"{path} cannot be written", way_out)
    return Finding(name, OK, f"{path}, {memory(shutil.disk_usage(nearest).free)} free")


def _data() -> list[Finding]:
    from mmkd_lab.data import catalogue

    return [_dataset(entry.name, ready=not entry.files) for entry in catalogue()]


def _dataset(name: str, *, ready: bool) -> Finding:
    from mmkd_lab.data import verify, where

    subject = f"data {name}"
    get_it = f"Get it: mmkd-lab data get {name}, or set MMKD_LAB_MIRROR to a folder with it."
    try:
        places = where(name)
        missing = sum(not place.exists for place in places)
        if missing:
            return Finding(subject, NOTE, f"{missing} of {len(places)} files are not here", get_it)
        verify(name)
    except LabError as error:
        return Finding(subject, MISSING, str(error))
    return Finding(subject, OK, "ready" if ready else "here and whole")
