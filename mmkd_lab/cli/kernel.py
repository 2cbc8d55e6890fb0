"""The kernel a notebook runs in: this very interpreter, its share of the threads, its memory."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

#: What the numerical libraries read when they start.
_LIBRARIES = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")
THREAD_VARIABLES = (*(f"{name}_NUM_THREADS" for name in _LIBRARIES), "VECLIB_MAXIMUM_THREADS")


def thread_share(jobs: int) -> dict[str, str]:
    """Environment variables that give one of `jobs` kernels its share of the cores; nothing for one job.

    A smaller number that the user has set stays.
    """
    from joblib import cpu_count

    share = max(1, cpu_count() // jobs)
    own = {name: os.environ.get(name, "") for name in THREAD_VARIABLES if jobs > 1}
    return {
        name: text if text.isdigit() and 0 < int(text) < share else str(share) for name, text in own.items()
    }


def package_path() -> dict[str, str]:
    """PYTHONPATH with the checkout this package was imported from, so that a kernel runs the same code."""
    checkout = Path(__file__).resolve().parent.parent.parent
    if not (checkout / "pyproject.toml").is_file():
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))}


def kernel_class(
    environment: Mapping[str, str], cwd: str, *, log: IO[bytes], started: Callable[[int], None]
) -> type:
    """A Jupyter kernel manager for the running interpreter, whatever kernels the user has installed.

    `environment` holds all variables of the kernel; `log` takes what the process itself prints, such as the
    trace of a crash, not the notebook's output; `started` is called with the process id.
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


def end_kernel(pid: int) -> None:
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


def resident(pid: int) -> int:
    """Bytes of memory of a process and its children, or its own peak so far where the system keeps that."""
    import psutil

    try:
        process = psutil.Process(pid)
        now: int = sum(member.memory_info().rss for member in (process, *process.children(recursive=True)))
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except psutil.Error:
        return 0
    except OSError:
        return now
    peaks = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")]
    return max(now, *peaks, 0)
