"""The kernel a notebook runs in: this very interpreter, its share of the threads, its peak memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

#: What the numerical libraries read when they start.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

_SAMPLE_EVERY = 0.25


def cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_share(jobs: int) -> dict[str, str]:
    """Environment variables that give one of `jobs` kernels its share of the cores; nothing for one job.

    A smaller number that the user has set stays.
    """
    if jobs <= 1:
        return {}
    share = max(1, cores() // jobs)
    return {name: str(_smaller(os.environ.get(name, ""), share)) for name in THREAD_VARIABLES}


def package_path() -> dict[str, str]:
    """PYTHONPATH with the checkout this package was imported from, so that a kernel runs the same code."""
    checkout = Path(__file__).resolve().parent.parent.parent
    if not (checkout / "pyproject.toml").is_file():
        return {}
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{checkout}{os.pathsep}{inherited}" if inherited else str(checkout)}


def kernel_class(
    environment: Mapping[str, str], cwd: str, *, log: IO[bytes], started: Callable[[int], None]
) -> type:
    """A Jupyter kernel manager for the running interpreter, whatever kernels the user has installed.

    Args:
        environment: all the variables of the kernel.
        cwd: where it runs.
        log: takes what the process itself prints, such as the trace of a crash; not the notebook's output.
        started: called with the kernel's process id.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    argv = [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]
    spec = KernelSpec(**{**get_kernel_dict(), "argv": argv, "env": {}})

    class LabKernel(AsyncKernelManager):  # type: ignore[misc]  # the library is untyped
        @property
        def kernel_spec(self) -> object:
            return spec

        async def start_kernel(self, **options: object) -> None:
            own = {"env": dict(environment), "cwd": cwd, "stdout": log, "stderr": log}
            await super().start_kernel(**{**options, **own})
            started(self.provisioner.pid)

    return LabKernel


class MemoryMeter:
    """Peak resident memory of a process and its children, in bytes, sampled four times a second.

    `also` is called each time, too.
    """

    def __init__(self, also: Callable[[], None]) -> None:
        self._also = also
        self.pid: int | None = None
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def measure(self) -> None:
        """Look once, now."""
        if self.pid is not None:
            self.peak = max(self.peak, _resident(self.pid))

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_EVERY):
            self.measure()
            self._also()


def stop(pid: int) -> None:
    """End a kernel and what it started, at once. A kernel that is already gone is no error."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        except psutil.NoSuchProcess:
            continue


def _resident(pid: int) -> int:
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        now: int = sum(member.memory_info().rss for member in family)
    except psutil.Error:
        return 0
    return max(now, _high_water(pid))


def _high_water(pid: int) -> int:
    """The kernel's record of the process's own peak, where the system keeps one."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            lines = [line for line in status if line.startswith("VmHWM:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0


def _smaller(text: str, share: int) -> int:
    return min(int(text), share) if text.isdigit() and int(text) > 0 else share
