"""A panel: the controls of a laboratory and its answers, as core widgets, live in JupyterLab and Voila.

The browser's messages are answered at once; a thread of its own makes the answers, the newest state's alone.
Pictures are SVG in `HTML` widgets: no output area is used, which notebooks that are tested could not hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from IPython.display import display as _untyped_display

from mmkd_lab.core.check import LabError
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.places import nobody_watches
from mmkd_lab.whatif import look
from mmkd_lab.whatif.answer import KINDS, Answer, compare
from mmkd_lab.whatif.history import History
from mmkd_lab.whatif.work import Worker

if TYPE_CHECKING:
    from mmkd_lab.whatif.model import Action, Control, Laboratory, Stopped

_display: Callable[[object], object] = _untyped_display


def show(laboratory: Laboratory[Any], over: Mapping[str, Sequence[Any]]) -> None:
    """Display a laboratory: its panel, or where MMKD_LAB_STATIC=1 its static twin over a control's values."""
    if nobody_watches():
        scene, told = laboratory.twin(**over)
        _display(scene.figure())
        print("\n".join(told))
    else:
        _display(LivePanel(laboratory).box)


class LivePanel:
    """The widgets of one laboratory.

    Attributes:
        box: what is displayed.
        controls: {field: its widget}; setting a value is moving the control.
        buttons: {name: Button}: 'undo', 'redo', 'reset', 'pin', 'stop', 'png', 'svg', 'csv', and actions.
        answer: the newest one.
    """

    def __init__(self, laboratory: Laboratory[Any]) -> None:
        self.laboratory = laboratory
        self.history: History[Any] = History([laboratory.state])
        self.answer: Answer | None = None
        self.pinned: Answer | None = None
        self._quiet = False
        self._moving = threading.RLock()  # the browser's messages and the answers both move controls
        self._pictures: dict[str, w.HTML] = {}
        self._make_outputs()
        self.controls: dict[str, Any] = {}
        self.locks: dict[str, w.ToggleButton] = {}
        self.buttons = {name: self._button(*told) for name, told in _BUTTONS.items()}
        self.actions = {one.name: self._action(one) for one in laboratory.actions}
        self.link = look.line("link", "Restores this state: change it or paste one, and press Enter.")
        self.link.observe(lambda change: self._opened(change["new"]), "value")
        self._knobs = look.styled(w.VBox(), "controls")
        self._make_controls()
        self.box = self._laid_out()
        self.worker: Worker[tuple[Any, str]] = Worker(self._answers, self._shown, self._failed, self._idle)
        self._refresh()
        self._shown(next(iter(laboratory.answers(self.state, lambda: False))))
        self.worker.ask((self.state, ""), first=False)

    @property
    def state(self) -> Any:  # noqa: ANN401 - each laboratory has its own
        """The state that the controls stand at."""
        return self.history.now

    def wait(self, seconds: float = 600.0) -> bool:
        """Until everything asked for is shown; whether that came to be."""
        return self.worker.wait(seconds)

    # Widgets.

    def _make_outputs(self) -> None:
        self.sentence = look.styled(w.HTML(), "sentence")
        self.message = w.HTML()
        self.compared = look.styled(w.HTML(), "table")
        self.code = look.styled(w.HTML(), "code")
        self.progress, self.doing = look.bar(), w.Label()
        self.now = look.styled(w.HBox(), "pictures", "now")
        self.before = look.styled(w.HBox(), "pictures")
        self.before_title = w.HTML()

    def _make_controls(self) -> None:
        known = self.laboratory.controls(self.state)
        at = partial(self.laboratory.value, self.state)
        made = {control.name: look.control_widget(control, at(control.name)) for control in known}
        for name, widget in made.items():
            widget.observe(partial(self._moved, name), "value")
        self.controls = made
        self._options = {control.name: control for control in known}
        shares = [control for control in known if control.kind == "share"]
        self.locks = {control.name: self._lock(control) for control in shares}
        rows = [self._row(control) for control in known if not control.more]
        more = [self._row(control) for control in known if control.more]
        if more:
            rows.append(w.Accordion([w.VBox(more)], titles=("more",), selected_index=None))
        self._knobs.children = rows

    def _row(self, control: Control) -> w.Widget:
        widget = self.controls[control.name]
        return w.HBox([widget, self.locks[control.name]]) if control.name in self.locks else widget

    def _lock(self, control: Control) -> w.ToggleButton:
        lock = look.lock(control)
        look.hold(lock, control.name in self.state.locked)
        lock.observe(lambda _: self._locked(), "value")
        return lock

    def _button(self, label: str, told: str, does: str) -> w.Button:
        button = w.Button(description=label, tooltip=told, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._guarded(getattr(self, does)))
        return button

    def _action(self, action: Action) -> w.Button:
        button = w.Button(description=action.label, tooltip=action.describe, button_style="primary")
        button.layout.width = "auto"
        button.on_click(lambda _: self.worker.ask((self.state, action.name)))
        return button

    def _laid_out(self) -> w.VBox:
        states = look.row(*self.actions.values(), *(self.buttons[name] for name in _STATES))
        exports = look.row(*(self.buttons[name] for name in ("code", *KINDS)))
        work = look.styled(w.VBox([self.progress, self.doing]), "work")
        left = w.VBox([self._knobs, states, exports, self.link, work, self.message, self.code])
        right = w.VBox([self.sentence, self.now, self.before_title, self.before, self.compared])
        head = w.HTML(f"{look.STYLE}<h3>{escape(self.laboratory.title)}</h3>")
        body = look.row(look.styled(left, "left"), look.styled(right, "right"), name="body")
        return look.styled(w.VBox([head, body]), "panel")

    # What a person does.

    def _moved(self, name: str, change: dict[str, Any]) -> None:
        self._heard(lambda: self._go(self.laboratory.change(self.state, name, change["new"]), name))

    def _locked(self) -> None:
        held = tuple(name for name, lock in self.locks.items() if lock.value)
        self._heard(lambda: self._go(self.laboratory.change(self.state, "locked", held), ""))

    def _opened(self, link: str) -> None:
        if link.strip():
            self._heard(lambda: self._go(self.laboratory.restore(link), ""))

    def _undo(self) -> None:
        self.history.step(-1)
        self._arrive()

    def _redo(self) -> None:
        self.history.step(1)
        self._arrive()

    def _reset(self) -> None:
        self._go(self.laboratory.state, "")

    def _stop(self) -> None:
        self.worker.stop()
        self._say("Stopped. Move a control to go on.")

    def _pin(self) -> None:
        """Keep the present answer beside those to come; once more lets it go."""
        self.pinned = None if self.pinned is not None else self.answer
        self.buttons["pin"].description = "pin" if self.pinned is None else "unpin"
        scenes = {} if self.pinned is None else self.pinned.scenes
        told = "" if self.pinned is None else f"<h4>Pinned</h4><p>{escape(self.pinned.sentence)}</p>"
        self.before_title.value = told
        self.before.children = [look.picture(scene) for scene in scenes.values()]
        self._compare()

    def _show_code(self) -> None:
        laboratory = self.laboratory
        told = f"{laboratory.python(self.state)}\n\n{laboratory.command(self.state)}"
        self.code.value = "" if self.code.value else f"<pre>{escape(told)}</pre>"

    def _export(self, kind: Any) -> None:  # noqa: ANN401
        if self.answer is not None:
            mark = digest(self.laboratory.link(self.state))[:8]  # another state never takes this one's place
            where = self.answer.save(f"what_if_{self.laboratory.name}_{mark}", kind)
            self._say(f"Written: {where}")

    def _export_png(self) -> None:
        self._export("png")

    def _export_svg(self) -> None:
        self._export("svg")

    def _export_csv(self) -> None:
        self._export("csv")

    # What follows.

    def _go(self, state: Any, name: str) -> None:  # noqa: ANN401
        self.history.push(state, name)
        self._arrive()

    def _arrive(self) -> None:
        """The controls take the present state's values, and its answers are asked for."""
        self._say("")
        self._refresh()
        self.worker.ask((self.state, ""))

    def _refresh(self) -> None:
        with self._moving:
            self._take_state()

    def _take_state(self) -> None:
        self._quiet = True
        try:
            if self._known() != self._options:
                self._make_controls()
            for name, widget in self.controls.items():
                look.move(widget, self.laboratory.value(self.state, name))
            for name, lock in self.locks.items():
                look.hold(lock, name in self.state.locked)
            self.link.value = self.laboratory.link(self.state)
        finally:
            self._quiet = False
        self.buttons["undo"].disabled = self.history.at == 0
        self.buttons["redo"].disabled = self.history.at == len(self.history.states) - 1
        if self.code.value:
            self.code.value = ""
            self._show_code()

    def _known(self) -> dict[str, Control]:
        return {one.name: one for one in self.laboratory.controls(self.state)}

    def _answers(self, request: tuple[Any, str], stopped: Stopped) -> Iterator[Answer]:
        state, action = request
        if not action:
            return self.laboratory.answers(state, stopped)
        return self.laboratory.act(action, state, stopped)

    def _shown(self, answer: Answer) -> None:
        if list(answer.scenes) != list(self._pictures):
            self._pictures = {name: look.picture(scene) for name, scene in answer.scenes.items()}
            self.now.children = list(self._pictures.values())
        for name, scene in answer.scenes.items():
            self._pictures[name].value = scene.svg()
        notes = "".join(f"<br><small>{escape(note)}</small>" for note in answer.notes)
        self.sentence.value = f'<div role="status" aria-live="polite">{escape(answer.sentence)}{notes}</div>'
        self.answer = answer
        if self._known() != self._options:  # what was read and trained has controls of its own
            self._refresh()
        self._tell(answer)
        self._compare()

    def _tell(self, answer: Answer) -> None:
        doing = answer.doing
        self.progress.layout.visibility = "hidden" if doing is None else "visible"
        if doing is not None:
            self.progress.max, self.progress.value = max(doing.total, 1), doing.done
        self.doing.value = "" if doing is None else f"{doing.done} of {doing.total} {doing.what}"

    def _compare(self) -> None:
        if self.pinned is None or self.answer is None or not self.answer.numbers:
            self.compared.value = ""
            return
        table = compare(self.pinned, self.answer).to_html(index=False, border=0)
        self.compared.value = f"<h4>Pinned, now, difference</h4>{table}"

    def _failed(self, error: Exception) -> None:
        told = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
        self.message.value = f'<div class="mmkd-error" role="alert">{escape(told)}</div>'
        self._idle()

    def _idle(self) -> None:
        self.progress.layout.visibility, self.doing.value = "hidden", ""

    def _heard(self, does: Callable[[], None]) -> None:
        """Do what a control asks for, unless the panel itself has moved it."""
        with self._moving:
            if not self._quiet:
                self._guarded(does)

    def _guarded(self, does: Callable[[], None]) -> None:
        try:
            does()
        except Exception as error:  # a control that cannot be moved there says why and goes back
            self._refresh()
            self._failed(error)

    def _say(self, text: str) -> None:
        self.message.value = escape(text)


_STATES = ("undo", "redo", "reset", "pin", "stop")
_BUTTONS = {
    "undo": ("undo", "Back to the state before.", "_undo"),
    "redo": ("redo", "Forward again.", "_redo"),
    "reset": ("reset", "Where this panel began.", "_reset"),
    "pin": ("pin", "Keep this beside what comes.", "_pin"),
    "stop": ("stop", "End what is being worked on.", "_stop"),
    "code": ("code", "The Python call and the papermill command that give this state again.", "_show_code"),
    "png": ("save PNG", "Write the pictures as a PNG file.", "_export_png"),
    "svg": ("save SVG", "Write the pictures as an SVG file.", "_export_svg"),
    "csv": ("save CSV", "Write the table as a CSV file.", "_export_csv"),
}
