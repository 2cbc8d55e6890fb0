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

from mmkd_lab.cli.kernel import kernel_class, resident
from mmkd_lab.cli.library import Notebook
from mmkd_lab.cli.record import Failure, Outcome
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.places import RESULTS_VARIABLE
from mmkd_lab.core.progress import PROGRESS_VARIABLE, Told, last_told

if TYPE_CHECKING:
    from nbformat import NotebookNode

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_INJECTED = "injected-parameters"
_LOG_LINES = 40
_LOOK_EVERY = 0.25  # seconds
_DIED = "the kernel died: it was killed, crashed, or ran out of memory"


class Listener:
    """Is told how notebooks get on, from several threads, and knows whether they shall stop.

    A copy in another process tells nobody, and is never stopped.
    """

    stopped = False

    def start(self, outcome: Outcome, cells: int) -> None:
        """A notebook of so many cells begins."""

    def kernel(self, name: str, pid: int | None) -> None:
        """It has a kernel of this process id, or none any more."""

    def cell(self, name: str, number: int) -> None:
        """Its cell `number`, from 1, begins."""

    def job(self, name: str, told: Told) -> None:
        """What the running cell tells of its own work."""

    def __reduce__(self) -> tuple[type[Listener], tuple[()]]:
        return Listener, ()


@dataclass(frozen=True)
class Surroundings:
    """What the notebooks of a run share; `sanitize` takes active content out of their pages."""

    folder: Path
    environment: Mapping[str, str]
    listener: Listener
    sanitize: bool = False


def waiting(notebook: Notebook, given: Mapping[str, object]) -> Outcome:
    """The outcome of a notebook that has not started, with the values it will run with."""
    values = {parameter.name: parameter.default for parameter in notebook.parameters}
    return Outcome(notebook.name, notebook.title, parameters={**values, **given}, given=tuple(given))


def execute(notebook: Notebook, outcome: Outcome, around: Surroundings) -> Outcome:
    """Run one notebook as `outcome` says; how it ended, failures included, is the outcome returned.

    Writes `<folder>/<outcome.name>.ipynb`, whose cells are stored as they finish, and `<outcome.name>.html`.
    """
    began = time.monotonic()
    if around.listener.stopped:
        return replace(outcome, state="stopped")
    with _Watch(outcome.name, around) as watch:
        failure = _attempt(notebook, outcome, watch)
    path = around.folder / f"{outcome.name}.ipynb"
    try:
        if path.is_file():
            export_html(path, sanitize=around.sanitize)
    except Exception as error:  # what nbconvert cannot show is this notebook's failure and stops no other
        text = f"{path.name} cannot be shown as a page: {_plain(str(error))}"
        failure = failure or Failure(type(error).__name__, text)
    state = "done" if failure is None else "stopped" if around.listener.stopped else "failed"
    return replace(
        outcome,
        state=state,
        seconds=time.monotonic() - began,
        peak_bytes=watch.peak or None,
        failure=failure if state == "failed" else None,
    )


def export_html(path: Path, *, sanitize: bool = False) -> Path:
    """Write the executed notebook at `path` as `<name>.html` beside it; returns its path.

    Images are inside the page. Nothing is fetched from elsewhere, except MathJax when the text has formulas:
    a script that cannot be reached would hold the page back. The page holds what the cells' outputs hold,
    scripts among them; `sanitize` takes out all that is active.
    """
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    formulas = any("$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    elsewhere = dict.fromkeys(["require_js_url", "jquery_url", *([] if formulas else ["mathjax_url"])], "")
    exporter = HTMLExporter(embed_images=True, sanitize_html=sanitize, **elsewhere)
    return write_text(path.with_suffix(".html"), exporter.from_notebook_node(notebook)[0])


class _Watch:
    """Follows one notebook: its cells, its kernel's peak memory, and what its cells tell of their work."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name, self.around = name, around
        self.file = around.folder.resolve() / f".{name}.progress"
        self.number: int | None = None
        self.peak = self._size = 0
        self._pid: int | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if self._pid is not None:
            self.around.listener.kernel(self.name, None)
        self.file.unlink(missing_ok=True)

    def started(self, pid: int) -> None:
        self._pid = pid
        self.around.listener.kernel(self.name, pid)

    def begins(self, cell: object, cell_index: int) -> None:
        self.number = cell_index + 1
        self.around.listener.cell(self.name, self.number)

    def measure(self, **_: object) -> None:
        if self._pid is not None:
            self.peak = max(self.peak, resident(self._pid))

    def _loop(self) -> None:
        while not self._done.wait(_LOOK_EVERY):
            self.measure()
            size = self.file.stat().st_size if self.file.exists() else 0
            if size != self._size and (told := last_told(self.file)):
                self._size = size
                self.around.listener.job(self.name, told)


def _attempt(notebook: Notebook, outcome: Outcome, watch: _Watch) -> Failure | None:
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryFile() as log:
        try:
            _papermill(notebook, outcome, watch, log)
        except PapermillExecutionError as error:
            return Failure(error.ename, _plain(error.evalue), error.cell_index + 1, _plain(*error.traceback))
        except Exception as error:  # whatever papermill meets is this notebook's failure and stops no other
            text = _DIED if isinstance(error, DeadKernelError) else _plain(str(error))
            log.seek(0)
            printed = _plain(log.read().decode("utf-8", errors="replace")).splitlines()
            tail = "\n".join(printed[-_LOG_LINES:])
            return Failure(type(error).__name__, text, watch.number, tail)
        finally:
            _close_loop()
    return None


def _papermill(notebook: Notebook, outcome: Outcome, watch: _Watch, log: IO[bytes]) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # its errors come back as outcomes
    around = watch.around
    (results := around.folder / outcome.name).mkdir(exist_ok=True)
    own = {RESULTS_VARIABLE: str(results), PROGRESS_VARIABLE: str(watch.file)}
    content = _with_parameters(notebook, {name: outcome.parameters[name] for name in outcome.given})
    around.listener.start(outcome, len(content.cells))
    cwd = str(notebook.path.resolve().parent)
    environment = {**os.environ, **around.environment, **own}
    target = str(around.folder / f"{outcome.name}.ipynb")
    papermill.execute_notebook(
        content,
        target.replace("{", "{{").replace("}", "}}"),  # papermill calls str.format on it
        kernel_name="python3",
        progress_bar=False,
        start_timeout=180,
        iopub_timeout=120,
        kernel_manager_class=kernel_class(environment, cwd, log=log, started=watch.started),
        on_cell_start=watch.begins,
        on_cell_executed=watch.measure,
    )


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


def _plain(*lines: str) -> str:
    return _COLOUR.sub("", "\n".join(lines))


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
