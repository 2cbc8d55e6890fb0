"""What this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from mmkd_lab.cli.kernel import THREAD_VARIABLES
from mmkd_lab.cli.record import PACKAGES, memory, version
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


def examine() -> Iterator[Finding]:
    """Look at Python, packages, devices, threads, memory, folders and datasets. Imports torch."""
    from mmkd_lab.cli.library import notebooks_folder
    from mmkd_lab.data import catalogue
    from mmkd_lab.experiments.store import ResultStore

    for look in (_machine, _packages, _torch):
        yield from look()
    yield _tried("results", lambda: _place("results", ResultStore().root))
    yield _tried("data", _downloads)
    yield _tried("notebooks", lambda: Finding("notebooks", OK, str(notebooks_folder())))
    for entry in catalogue():
        yield _tried(f"data {entry.name}", partial(_dataset, entry.name, not entry.files))


def _tried(subject: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except LabError as error:
        return Finding(subject, MISSING, str(error))


def _packages() -> Iterator[Finding]:
    """The packages that mmkd-lab depends on, without the optional ones."""
    from packaging.requirements import Requirement

    try:
        listed = [Requirement(text) for text in metadata.requires("mmkd-lab") or []]
    except metadata.PackageNotFoundError:
        yield Finding("mmkd-lab", NOTE, "used from its folder, not installed", "Install it: make setup")
        listed = list(map(Requirement, PACKAGES))
    for name in sorted(one.name for one in listed if not one.marker or one.marker.evaluate({"extra": ""})):
        there = version(name) != "not installed"
        way_out = "" if there else f"{sys.executable} -m pip install {name}"
        yield Finding(name, OK if there else MISSING, version(name), way_out)


def _torch() -> Iterator[Finding]:
    from joblib import cpu_count

    try:
        import torch
    except ImportError as error:
        yield Finding("torch", MISSING, f"cannot be imported: {error}", "Install it: make run.")
        return
    yield Finding("threads", OK, f"torch uses {torch.get_num_threads()} of {cpu_count()} cores")
    for name in [variable for variable in THREAD_VARIABLES if variable in os.environ]:
        yield Finding("threads", NOTE, f"{name} = {os.environ[name]} is set")
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found = torch.cuda.get_device_properties(number)
        half = "bf16-mixed, 16-mixed" if found.major >= 8 else "16-mixed"
        text = f"cuda:{number} {found.name}, {memory(found.total_memory)}; precision 64-true, 32-true, {half}"
        yield Finding("device", OK, text)
    if torch.backends.mps.is_available():
        yield Finding("device", OK, "mps; precision 32-true, 16-mixed")
    elif not torch.cuda.is_available():
        unused = shutil.which("nvidia-smi") is not None
        text = "cpu; precision 64-true, 32-true, bf16-mixed (16-mixed needs a GPU)"
        way_out = f"torch {torch.__version__} cannot use the GPU. Install a build for its driver."
        yield Finding("device", NOTE if unused else OK, text, way_out if unused else "")


def _machine() -> Iterator[Finding]:
    import psutil

    yield Finding("python", OK, f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", OK, platform.platform())
    found = psutil.virtual_memory()
    text = f"{memory(found.available)} free of {memory(found.total)}"
    short = found.available < 4e9
    yield Finding("memory", NOTE if short else OK, text, "The largest datasets want 4 GB." if short else "")


def _downloads() -> Finding:
    from mmkd_lab.data import where

    first = next(place for place in where("av_mnist") if place.origin != "shipped")
    folder = first.path.parents[1]
    if first.origin == "downloads":
        return _place("data", folder)
    return Finding("data", OK, f"{folder} (mirror)")


def _place(name: str, path: Path) -> Finding:
    """A folder that is written to: it need not exist, but making it must be possible."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        way_out = f"Make {nearest} a writable folder, or set MMKD_LAB_STORE or MMKD_LAB_DATA to another."
        return Finding(name, MISSING, f"{path} cannot be written", way_out)
    return Finding(name, OK, f"{path}, {memory(shutil.disk_usage(nearest).free)} free")


def _dataset(name: str, shipped: bool) -> Finding:
    from mmkd_lab.data import verify, where

    places = where(name)
    if missing := sum(not place.exists for place in places):
        get_it = f"Get it: mmkd-lab data get {name}, or set MMKD_LAB_MIRROR to a folder with it."
        return Finding(f"data {name}", NOTE, f"{missing} of {len(places)} files are not here", get_it)
    verify(name)
    return Finding(f"data {name}", OK, "ready" if shipped else "here and whole")
