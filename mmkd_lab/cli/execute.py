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
from mmkd_lab.cli.progress import Silent
from mmkd_lab.cli.record import Failure, Outcome
from mmkd_lab.core.places import RESULTS_VARIABLE
from mmkd_lab.core.progress import PROGRESS_VARIABLE, last_told

if TYPE_CHECKING:
    from nbformat import NotebookNode

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_INJECTED = "injected-parameters"
_LOG_LINES = 40
_DIED = "the kernel died: it was killed, crashed, or ran out of memory"


class Stopper:
    """Ends every kernel at once when the user interrupts, and lets no new one start.

    A copy in another process knows of none: `copied` tells that there is one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pids: set[int] = set()
        self.asked = self.copied = False

    def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
        self.copied = True
        return Stopper, ()

    def started(self, pid: int) -> None:
        """A kernel runs; it is ended at once if stopping was already asked for."""
        with self._lock:
            self._pids.add(pid)
            if self.asked:
                stop(pid)

    def ended(self, pid: int | None) -> None:
        """A kernel is gone."""
        with self._lock:
            self._pids.discard(pid or 0)

    def stop(self) -> None:
        """End all kernels."""
        self.asked = True  # without the lock: a signal may come while this very thread holds it
        for pid in tuple(self._pids):
            stop(pid)


@dataclass(frozen=True)
class Surroundings:
    """What every notebook of a run shares: where it writes, its environment, who is told, who may stop it.

    `sanitize`: whether active content is taken out of the notebooks' pages.
    """

    folder: Path
    environment: Mapping[str, str]
    progress: Silent
    stopper: Stopper
    sanitize: bool = False


def execute(notebook: Notebook, outcome: Outcome, around: Surroundings) -> Outcome:
    """Run one notebook and say how it ended; a failing notebook is an outcome, not an exception.

    Args:
        notebook: the file to run.
        outcome: what it is called and given, from `waiting`.
        around: what it shares with others.

    Writes `<folder>/<outcome.name>.ipynb`, whose cells are stored as they finish, and `<outcome.name>.html`.
    """
    began = time.monotonic()
    if around.stopper.asked:
        return replace(outcome, state="stopped")
    watch = _Watch(outcome.name, around)
    with MemoryMeter(watch.look) as watch.meter:
        failure = _attempt(notebook, outcome, watch)
    unshown = _export(around.folder / f"{outcome.name}.ipynb", sanitize=around.sanitize)
    failure = failure or unshown
    state = "done" if failure is None else "stopped" if around.stopper.asked else "failed"
    return replace(
        outcome,
        state=state,
        seconds=time.monotonic() - began,
        peak_bytes=watch.meter.peak or None,
        failure=failure if state == "failed" else None,
    )


def waiting(notebook: Notebook, given: Mapping[str, object]) -> Outcome:
    """The outcome of a notebook that has not started, with the values it will run with."""
    values = {parameter.name: parameter.default for parameter in notebook.parameters}
    return Outcome(notebook.name, notebook.title, parameters={**values, **given}, given=tuple(given))


def _attempt(notebook: Notebook, outcome: Outcome, watch: _Watch) -> Failure | None:
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryFile() as log:
        try:
            _papermill(notebook, outcome, watch, log)
        except PapermillExecutionError as error:
            return Failure(error.ename, _plain(error.evalue), error.cell_index + 1, _plain(*error.traceback))
        except DeadKernelError:
            return Failure("DeadKernelError", _DIED, watch.number, _tail(log))
        except Exception as error:  # whatever papermill meets is this notebook's failure and stops no other
            return Failure(type(error).__name__, _plain(str(error)), watch.number, _tail(log))
        finally:
            watch.ended()
            _close_loop()
    return None


class _Watch:
    """Follows one notebook cell by cell, and what its cells tell of their own work."""

    meter: MemoryMeter

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name, self.around = name, around
        self.number: int | None = None
        self.file = around.folder.resolve() / f".{name}.progress"
        self._size = 0

    def started(self, pid: int) -> None:
        self.meter.pid = pid
        self.around.stopper.started(pid)

    def begins(self, cell: object, cell_index: int) -> None:
        self.number = cell_index + 1
        self.around.progress.cell(self.name, self.number)

    def executed(self, **_: object) -> None:
        self.meter.measure()

    def look(self) -> None:
        """Pass on what the kernel told since the last look."""
        size = self.file.stat().st_size if self.file.exists() else 0
        if size != self._size and (told := last_told(self.file)):
            self._size = size
            self.around.progress.job(self.name, told)

    def ended(self) -> None:
        self.around.stopper.ended(self.meter.pid)
        self.file.unlink(missing_ok=True)


def _papermill(notebook: Notebook, outcome: Outcome, watch: _Watch, log: IO[bytes]) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # its errors come back as outcomes
    around = watch.around
    results = around.folder / outcome.name
    results.mkdir(exist_ok=True)
    own = {RESULTS_VARIABLE: str(results), PROGRESS_VARIABLE: str(watch.file)}
    content = _with_parameters(notebook, {name: outcome.parameters[name] for name in outcome.given})
    around.progress.start(outcome, len(content.cells))
    cwd = str(notebook.path.resolve().parent)
    environment = {**os.environ, **around.environment, **own}
    papermill.execute_notebook(
        content,
        _unformatted(around.folder / f"{outcome.name}.ipynb"),
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


def _export(path: Path, *, sanitize: bool) -> Failure | None:
    """Write the executed notebook as a page beside it, when it has been written at all."""
    from mmkd_lab.cli.export import export_html

    try:
        if path.is_file():
            export_html(path, sanitize=sanitize)
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
