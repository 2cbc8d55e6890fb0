"""Where the tensors live, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mmkd_lab.core.check import LabError, whole

_RULE = "must be 'auto' or a torch device such as 'cpu', 'cuda:0' or 'mps'"


def resolve(device: str | torch.device) -> torch.device:
    """'auto' is the first CUDA device, else Apple's, else the CPU. Raises `LabError` for an absent one."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise LabError("device", device, _RULE) from None
    if found.type not in ("cpu", "cuda", "mps"):
        raise LabError("device", device, _RULE)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise LabError(
            "device", device, f"this machine has {torch.cuda.device_count()} CUDA devices", "Use 'auto'."
        )
    if str(found) == "cuda":  # so that it equals the device its tensors report
        return torch.device("cuda", 0)
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise LabError("device", device, "this machine has no such device", "Use 'auto'.")
    return found


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
def threads(n: int) -> Iterator[None]:
    """Within the block torch computes on `n` CPU threads; afterwards on as many as before.

    Small networks gain little from a second thread and lose much where cores are busy (benchmarks/README.md):
    two processes of one thread each do more than one process of two.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(whole("n", n))
    try:
        yield
    finally:
        torch.set_num_threads(before)
