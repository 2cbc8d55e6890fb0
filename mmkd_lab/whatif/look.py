"""How a panel looks: the widget of each kind of control, and where everything stands, wide or narrow.

The panel asks for its own width, not the screen's: a notebook may stand in half a window. Where it is narrow,
as on a phone, pictures come first, side by side to be swiped, the controls under them, so that who moves a
slider sees what follows.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from mmkd_lab.whatif.model import SHARE_STEP
from mmkd_lab.whatif.ticks import Ticks

if TYPE_CHECKING:
    from mmkd_lab.whatif.model import Control
    from mmkd_lab.whatif.scene import Scene

STYLE = """<style>
.mmkd-panel {container-type: inline-size; width: 100%}
.mmkd-panel h3 {margin: 8px 0}
.mmkd-body {display: flex; flex-flow: row wrap; gap: 16px; overflow: visible}
.mmkd-left {flex: 0 1 440px; overflow: visible; gap: 6px}
.mmkd-right {flex: 1 1 430px; overflow: visible; min-width: 0}
.mmkd-row {flex-flow: row wrap; gap: 4px; flex: none}
.mmkd-pictures {flex-flow: row wrap; gap: 8px}
.mmkd-pictures > .widget-html {flex: 1 1 330px; max-width: 460px; min-width: 280px}
.mmkd-pictures .widget-html-content {line-height: 1.3}
.mmkd-sentence {min-height: 96px; max-width: 900px; flex: none}
.mmkd-sentence .widget-html-content {font-size: 15px; line-height: 1.5; white-space: normal}
.mmkd-error {color: #9B1C1C; border-left: 4px solid #9B1C1C; padding: 4px 10px; white-space: pre-wrap}
.mmkd-table table {border-collapse: collapse}
.mmkd-table td, .mmkd-table th {padding: 2px 10px; text-align: right}
.mmkd-code pre {white-space: pre-wrap; overflow-wrap: anywhere}
.mmkd-panel select, .mmkd-panel input {box-sizing: border-box; min-width: 0}
.mmkd-panel .noUi-handle:focus-visible, .mmkd-panel button:focus-visible
  {outline: 2px solid #0B57D0; outline-offset: 2px}
@container (max-width: 760px) {
  .mmkd-body {flex-flow: column; gap: 8px}
  .mmkd-left, .mmkd-right {display: contents}
  .mmkd-left > *, .mmkd-right > * {order: 4}
  .mmkd-body .mmkd-now {order: 1; flex-flow: row; overflow-x: auto; scroll-snap-type: x proximity; flex: none}
  .mmkd-body .mmkd-now > .widget-html {flex: 0 0 88%; min-width: 0; scroll-snap-align: start}
  .mmkd-body .mmkd-controls {order: 2}
  .mmkd-body .mmkd-sentence {order: 3; min-height: 0}
  .mmkd-controls .widget-label {width: 84px !important}
  .mmkd-controls .widget-readout {min-width: 44px; max-width: 48px}
  .mmkd-controls .widget-toggle-button {width: 68px !important; padding: 0 2px}
}
</style>"""

_WIDE = {"description_width": "110px"}


def row(*children: w.Widget, name: str = "row") -> w.HBox:
    """Widgets side by side, in the next line where there is no room; `name` is their class."""
    return styled(w.HBox(list(children)), name)


def styled(widget: Any, *names: str) -> Any:  # noqa: ANN401 - the widget that was given
    """The widget, with classes that STYLE knows."""
    for name in names:
        widget.add_class(f"mmkd-{name}")
    return widget


def picture(scene: Scene) -> w.HTML:
    """A scene that scales to its place."""
    return w.HTML(scene.svg())


def line(label: str, describe: str) -> w.Text:
    """A line of text that is taken when Enter is pressed."""
    return w.Text(continuous_update=False, layout=_width(420), style=_WIDE, **_named(label, describe))


def bar() -> w.IntProgress:
    """A bar that is not seen."""
    return w.IntProgress(bar_style="info", layout=_width(420, visibility="hidden"))


def lock(control: Control) -> w.ToggleButton:
    """What keeps a share where it is; `hold` says how it stands."""
    told = f"Keep {control.label} as it is while another share is moved."
    return w.ToggleButton(tooltip=told, layout=w.Layout(width="84px", flex="none"))


def hold(button: w.ToggleButton, held: bool) -> None:
    """Let a lock stand open or closed; a word and a sign tell, not the colour alone."""
    button.value = held
    button.description, button.icon = ("locked", "lock") if held else ("lock", "unlock")


def control_widget(control: Control, value: Any) -> Any:  # noqa: ANN401 - one of several kinds
    """The widget of a control, at a value."""
    told = {"description": control.label, "tooltip": control.describe, "style": _WIDE}
    told["layout"] = _width(340 if control.kind == "share" else 420)
    if control.kind == "share" or (control.kind == "slider" and not control.options):
        return w.FloatSlider(value=value, min=0.0, max=1.0, step=SHARE_STEP, readout_format=".2f", **told)
    if control.kind == "many":
        return Ticks(control.options, value, control.label, control.describe)
    if control.kind in ("choice", "flag"):
        options = control.options if control.kind == "choice" else (("yes", True), ("no", False))
        return w.Dropdown(options=options, value=value, **{**told, **_named(control.label, control.describe)})
    return w.SelectionSlider(options=_stops(control.options, value), value=value, **told)


def move(widget: Any, value: Any) -> None:  # noqa: ANN401
    """Let a control stand at a value, one between its stops, too."""
    if isinstance(widget, w.SelectionSlider) and value not in widget.options:
        widget.options = _stops(tuple(widget.options), value)
    if widget.value != value:
        widget.value = value


def _stops(options: tuple[Any, ...], value: Any) -> list[Any]:  # noqa: ANN401
    """The stops of a slider, the present value among them."""
    return sorted({*options, value})


def _named(label: str, describe: str) -> dict[str, Any]:
    """A label that tells on hover what is behind it: lists and lines show no tooltip beside a label."""
    said = f'<span title="{escape(describe, quote=True)}">{escape(label)}</span>'
    return {"description": said, "description_allow_html": True, "tooltip": describe}


def _width(pixels: int, **more: str) -> w.Layout:
    return w.Layout(width=f"{pixels}px", max_width="calc(100% - 4px)", **more)
