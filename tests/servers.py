"""JupyterLab and Voila, as a user starts them: each on a free local port, with nothing of the user's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

TOKEN = "a-token-for-this-test-alone"
START = 90  # seconds
_CHECKOUT = Path(__file__).resolve().parents[1]
_OWN = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
_OWN += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")


@contextmanager
def jupyterlab(notebook: Path, folder: Path) -> Iterator[str]:
    """The address of a notebook in a JupyterLab of its own; what the server prints goes into `folder`."""
    arguments = ["-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    arguments += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    arguments += [f"--notebook-dir={notebook.parent}"]
    with _served(arguments, "--port={}", f"/api/status?token={TOKEN}", folder) as root:
        yield f"{root}/lab/tree/{notebook.name}?token={TOKEN}"


@contextmanager
def voila(notebook: Path, folder: Path) -> Iterator[str]:
    """The address of a notebook as a page without code, served by Voila."""
    arguments = [
        "-m",
        "voila",
        str(notebook),
        "--no-browser",
        "--Voila.ip=127.0.0.1",
        "--progressive_rendering=True",
    ]
    with _served(arguments, "--port={}", "/voila/static/voila.js", folder) as root:
        yield f"{root}/"


@contextmanager
def _served(arguments: Sequence[str], port: str, alive: str, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    command = [sys.executable, *arguments, port.format(number)]
    log, root = folder / "server.log", f"http://127.0.0.1:{number}"
    with log.open("wb") as printed:
        server = subprocess.Popen(
            command, cwd=folder, env=_environment(folder), stdout=printed, stderr=printed
        )
        try:
            _wait_for(root + alive, server, log)
            yield root
        finally:
            server.terminate()  # it ends its kernels before it goes
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _environment(folder: Path) -> dict[str, str]:
    """This checkout's package, progress bars and panels as a user sees them."""
    environment = {**os.environ, **{name: str(folder / name.lower()) for name in _OWN}}
    environment["PYTHONPATH"] = os.pathsep.join([str(_CHECKOUT), environment.get("PYTHONPATH", "")])
    environment["MMKD_LAB_RESULTS"] = str(folder / "results")
    for name in ("TQDM_DISABLE", "MMKD_LAB_STATIC"):
        environment.pop(name, None)
    return environment


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
