"""Where the tensors live, with how many threads; and Lightning Fabric, which brings the precision."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch

from mmkd_lab.core.check import LabError, require, whole

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_RULE = "must be 'auto' or a torch device such as 'cpu', 'cuda:0' or 'mps'"


def resolve(device: str | torch.device) -> torch.device:
    """'auto' is the first CUDA device, else Apple's, else the CPU. Raises `LabError` for an absent one."""
    gpus, apple = torch.cuda.device_count(), torch.backends.mps.is_available()
    if device == "auto":
        device = "cuda" if gpus else "mps" if apple else "cpu"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise LabError("device", device, _RULE) from None
    require(found.type in ("cpu", "cuda", "mps"), "device", device, _RULE)
    there = {"cpu": True, "cuda": (found.index or 0) < gpus, "mps": apple}[found.type]
    require(there, "device", device, "this machine has no such device", "Use 'auto'.")
    # With its number, so that it equals the device its tensors report.
    return torch.device("cuda", found.index or 0) if found.type == "cuda" else found


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Within the block cuDNN takes algorithms that repeat to the last bit; the CPU's do so anyway."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    if device.type == "cuda":
        cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Within the block tensors that are made without a type have this one; afterwards the one before."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Within the block torch and the libraries behind numpy compute on `n` CPU threads; afterwards on as many
    as before.

    Small networks gain little from a second thread and lose much where cores are busy (benchmarks/README.md):
    two processes of one thread each do more than one process of two.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(whole("n", n))
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_memory() -> None:
    """Let this process keep up to 256 MiB of memory that it has freed, where its C library can (glibc).

    Otherwise the buffers of every step go back to the system and are fetched, and zeroed, again.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        threshold, trim = -3, -1  # M_MMAP_THRESHOLD, of which 32 MiB is the most, and M_TRIM_THRESHOLD
        libc.mallopt(threshold, 32 * 2**20)
        libc.mallopt(trim, 256 * 2**20)


def at_once(replicas: int, device: torch.device) -> int:
    """How many samples pass through so many networks at once outside training: what a CPU's cache holds."""
    return max(64, (256 if device.type == "cpu" else 4096) // replicas)


def make_fabric(device: torch.device, precision: str) -> Fabric:
    """A Fabric for one device. Raises `LabError` for half precision where the device has none."""
    has = precision != "16-mixed" or device.type == "cuda"
    require(has, "precision", precision, f"needs a GPU, and the device is {device}", "Use 'bf16-mixed'.")
    # One by one, Fabric looks for callbacks among all packages; half precision has a scaler that it changes.
    return _fabric(device, precision) if precision != "16-mixed" else _fabric.__wrapped__(device, precision)


@cache
def _fabric(device: torch.device, precision: str) -> Fabric:
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)  # Fabric announces the precision each time; the recipe already says it
    try:
        devices = [device.index or 0] if device.type == "cuda" else 1
        return _fabric_class()(accelerator=device.type, devices=devices, precision=precision)
    finally:
        logger.setLevel(level)


@cache
def _fabric_class() -> type[Fabric]:
    """Imported without torchmetrics, which it would import, and transformers with it, for its version alone:
    seconds in every process, for a detector of spikes that the lab does not use."""
    hidden = "torchmetrics" not in sys.modules
    if hidden:
        sys.modules["torchmetrics"] = None  # type: ignore[assignment] # an import of it fails
    try:
        from lightning_fabric import Fabric
    finally:
        if hidden:
            del sys.modules["torchmetrics"]
    return Fabric  # type: ignore[no-any-return]
