"""One notebook, run headless through papermill in a kernel of this interpreter."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmkd_lab.cli.kernel import MemoryMeter, kernel_class, stop
from mmkd_lab.cli.library import Notebook
from mmkd_lab.cli.progress import Listener
from mmkd_lab.cli.record import Failure, Outcome
from mmkd_lab.core.places import RESULTS_VARIABLE

if TYPE_CHECKING:
    from nbformat import NotebookNode

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_INJECTED = "injected-parameters"
_LOG_LINES = 40
_DIED = "the kernel died: it was killed, crashed, or ran out of memory"


class Stopper:
    """Ends every kernel at once when the user interrupts, and lets no new one start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pids: set[int] = set()
        self._asked = False

    @property
    def asked(self) -> bool:
        """True once `stop` was called."""
        return self._asked

    def started(self, pid: int) -> None:
        """A kernel runs; it is ended at once if stopping was already asked for."""
        with self._lock:
            self._pids.add(pid)
            if self._asked:
                stop(pid)

    def ended(self, pid: int | None) -> None:
        """A kernel is gone."""
        with self._lock:
            self._pids.discard(pid or 0)

    def stop(self) -> None:
        """End all kernels."""
        with self._lock:
            self._asked = True
            for pid in self._pids:
                stop(pid)


@dataclass(frozen=True)
class Surroundings:
    """What every notebook of a run shares: the folder to write to, environment, progress, stopper."""

    folder: Path
    environment: Mapping[str, str]
    progress: Listener
    stopper: Stopper

    def results(self, name: str) -> Path:
        """Where the notebook of this name writes its result files."""
        return self.folder / name


def execute(notebook: Notebook, given: Mapping[str, object], around: Surroundings) -> Outcome:
    """Run one notebook and say how it ended; a failing notebook is an outcome, not an exception.

    Writes `<folder>/<name>.ipynb`, whose cells are stored as they finish, and `<name>.html`.
    """
    began = time.monotonic()
    outcome = waiting(notebook, given)
    if around.stopper.asked:
        return replace(outcome, state="stopped")
    with MemoryMeter() as meter:
        failure = _attempt(notebook, given, around, meter)
    unshown = _export(around.folder / f"{notebook.name}.ipynb")
    failure = failure or unshown
    state = "done" if failure is None else "stopped" if around.stopper.asked else "failed"
    ended = replace(
        outcome,
        state=state,
        seconds=time.monotonic() - began,
        peak_bytes=meter.peak or None,
        failure=failure if state == "failed" else None,
    )
    around.progress.end(ended)
    return ended


def waiting(notebook: Notebook, given: Mapping[str, object]) -> Outcome:
    """The outcome of a notebook that has not started, with the values it will run with."""
    values = {parameter.name: parameter.default for parameter in notebook.parameters}
    return Outcome(notebook.name, notebook.title, parameters={**values, **given}, given=tuple(given))


def _attempt(
    notebook: Notebook, given: Mapping[str, object], around: Surroundings, meter: MemoryMeter
) -> Failure | None:
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    watch = _Watch(notebook.name, around, meter)
    with tempfile.TemporaryFile() as log:
        try:
            _papermill(notebook, given, watch, log)
        except PapermillExecutionError as error:
            return Failure(error.ename, _plain(error.evalue), error.cell_index + 1, _plain(*error.traceback))
        except DeadKernelError:
            return Failure("DeadKernelError", _DIED, watch.number, _tail(log))
        except Exception as error:  # whatever papermill meets is this notebook's failure and stops no other
            return Failure(type(error).__name__, _plain(str(error)), watch.number, _tail(log))
        finally:
            around.stopper.ended(meter.pid)
            _close_loop()
    return None


class _Watch:
    """Follows one notebook cell by cell."""

    def __init__(self, name: str, around: Surroundings, meter: MemoryMeter) -> None:
        self.name, self.around, self.meter = name, around, meter
        self.number: int | None = None

    def started(self, pid: int) -> None:
        self.meter.pid = pid
        self.around.stopper.started(pid)

    def begins(self, cell: object, cell_index: int) -> None:
        self.number = cell_index + 1
        self.around.progress.cell(self.name, self.number)

    def executed(self, **_: object) -> None:
        self.meter.measure()


def _papermill(notebook: Notebook, given: Mapping[str, object], watch: _Watch, log: IO[bytes]) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # its errors come back as outcomes
    around = watch.around
    results = around.results(notebook.name)
    results.mkdir(exist_ok=True)
    environment = {**os.environ, **around.environment, RESULTS_VARIABLE: str(results)}
    content = _with_parameters(notebook, given)
    around.progress.start(notebook.name, len(content.cells))
    cwd = str(notebook.path.resolve().parent)
    papermill.execute_notebook(
        content,
        _unformatted(around.folder / f"{notebook.name}.ipynb"),
        kernel_name="python3",
        progress_bar=False,
        start_timeout=180,
        iopub_timeout=120,
        kernel_manager_class=kernel_class(environment, cwd, log=log, started=watch.started),
        on_cell_start=watch.begins,
        on_cell_executed=watch.executed,
    )


def _unformatted(path: Path) -> str:
    """A path that comes out of papermill's `str.format` as it went in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _plain(*lines: str) -> str:
    return _COLOUR.sub("", "\n".join(lines))


def _tail(log: IO[bytes]) -> str:
    """The last lines of what the kernel's process printed."""
    log.seek(0)
    text = _plain(log.read().decode("utf-8", errors="replace"))
    return "\n".join(text.splitlines()[-_LOG_LINES:])


def _with_parameters(notebook: Notebook, given: Mapping[str, object]) -> NotebookNode:
    """The notebook with a cell after its parameters that sets the given values.

    Written here rather than by papermill, which turns a tuple into text.
    """
    import nbformat

    content = nbformat.read(notebook.path, as_version=4)
    content.cells = [cell for cell in content.cells if _INJECTED not in cell.metadata.get("tags", [])]
    if given:
        lines = [f"{name} = {value!r}" for name, value in given.items()]
        cell = nbformat.v4.new_code_cell("# Set from outside\n" + "\n".join(lines))
        cell.metadata["tags"] = [_INJECTED]
        tagged = [n for n, one in enumerate(content.cells) if "parameters" in one.metadata.get("tags", [])]
        content.cells.insert(tagged[0] + 1, cell)
    return content


def _export(path: Path) -> Failure | None:
    """Write the executed notebook as a page beside it, when it has been written at all."""
    from mmkd_lab.cli.export import export_html

    try:
        if path.is_file():
            export_html(path)
    except Exception as error:  # what nbconvert cannot show is this notebook's failure and stops no other
        return Failure(type(error).__name__, f"{path.name} cannot be shown as a page: {_plain(str(error))}")
    return None


def _close_loop() -> None:
    """jupyter_client leaves an event loop open in each thread that used it."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    if not loop.is_running():
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.close()
        asyncio.set_event_loop(None)
