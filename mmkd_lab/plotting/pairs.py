"""A gallery of paired samples: every column is one sample, every row one modality of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from mmkd_lab.core.check import flat, mapping, one_of, position, real, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, fit, style

Numbers = npt.NDArray[np.float64]

KINDS = ("image", "spectrogram", "vector", "text")
_SOUND = ("speech", "audio", "sound", "voice", "mel", "spectrogram")
_WIDTH, _LINE = 8.4, 0.155  # inches: the figure, and a line of text
_MOST_LABELS = 3


class Paired(Protocol):
    """What the gallery needs of a dataset; `data.PairedData` has it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def modalities(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def target(self) -> Any: ...  # noqa: ANN401, D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def splits(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def vocabularies(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def captions(self) -> Mapping[str, Any]: ...  # noqa: D102
    def caption(self, modality: str, position: int) -> str: ...  # noqa: D102


def pairs_figure(
    data: Paired,
    *,
    count: int | None = None,
    split: str = "train",
    seed: int = 0,
    positions: Sequence[int] | None = None,
    modalities: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    seconds: float | None = None,
    notes: Sequence[str] | None = None,
    lines: int = 4,
    title: str | None = None,
) -> LabFigure:
    """Paired samples, one column each, as pictures, spectrograms, bars or text.

    Args:
        data: a dataset of named modalities, each (N, ...): images (N, H, W) or (N, C, H, W) with 1, 3 or 4
            channels, spectrograms (N, 1, bands, frames), vectors (N, D), text.
        count: how many samples, drawn from the split with as many different classes as possible; by default
            8, of text 4.
        split: where they are drawn from.
        seed: which ones are drawn.
        positions: exactly these samples instead of drawn ones.
        modalities: which rows, in this order; by default all.
        kinds: 'image', 'spectrogram', 'vector' or 'text' by modality; by default told from data and name.
        seconds: how long a spectrogram is; without it, time is counted in frames.
        notes: a remark for each sample, behind its label.
        lines: lines of text at most; what does not fit ends in '…'.
        title: the headline; by default the dataset's name and what a column is.

    Raises:
        LabError: an unknown split, modality or kind, a position out of range, a shape that cannot be drawn,
            another number of notes than samples.
    """
    lacking = [name for name in ("modalities", "target", "classes", "splits") if not hasattr(data, name)]
    require(not lacking, "data", type(data).__name__, f"must be a PairedData; this has no {lacking}")
    if seconds is not None:
        real("seconds", seconds, above=0.0)
    whole("lines", lines)
    told = {} if kinds is None else mapping("kinds", kinds, "{modality: kind}")
    names = list(data.modalities)
    if modalities is not None:
        names = [str(name) for name in flat("modalities", modalities, "a list of modalities")]
    require(len(names) > 0, "modalities", modalities, "must name at least one modality")
    for name in names:
        one_of("modalities", name, list(data.modalities))
    text = [
        name for name in names if told.get(name) == "text" or name in {*data.vocabularies, *data.captions}
    ]
    count = (4 if text else 8) if count is None else count
    chosen = _drawn(data, count, split, seed) if positions is None else _checked(data, positions)
    shown = {name: _rows(name, data.modalities[name], chosen) for name in names if name not in text}
    drawn = {name: "text" if name in text else _kind(name, shown[name], told) for name in names}
    columns = min(len(chosen), _columns(shown, drawn))
    blocks = [range(i, min(i + columns, len(chosen))) for i in range(0, len(chosen), columns)]
    width = min(_WIDTH, max(4.2, 1.1 * columns + 0.9)) if not text else _WIDTH
    column = (width - 0.8) / columns - 0.18
    said = {name: [_cut(data.caption(name, one), column, lines) for one in chosen] for name in text}
    heights = [_height(drawn[name], shown.get(name), said.get(name), column) for name in names]
    labels = [fit(label, column + 0.05, NOTE_SIZE + 0.5, "bold") for label in _labels(data, chosen, notes)]
    above = 0.2 * max(label.count("\n") + 1 for label in labels)
    below = sum(0.55 if drawn[name] in ("spectrogram", "vector") else 0.16 for name in names)
    figure = LabFigure((width, min(40.0, 0.55 + len(blocks) * (sum(heights) + above + below))))
    with style():
        ratios = heights * len(blocks)
        grid = figure.subplots(len(ratios), columns, squeeze=False, height_ratios=ratios)
        for b, block in enumerate(blocks):
            rows = grid[b * len(names) : (b + 1) * len(names)]
            for axes, name in zip(rows, names, strict=True):
                for ax in axes[len(block) :]:
                    ax.remove()
                if name in text:
                    _say(axes, name, [said[name][i] for i in block])
                else:
                    _draw_row(axes, name, shown[name], block, drawn[name], seconds)
            for ax, i in zip(rows[0], block, strict=False):
                ax.set_title(labels[i], loc="center", fontsize=NOTE_SIZE + 0.5)
        figure.headline(title or f"{data.name}: each column is one sample, seen as {' and '.join(names)}")
        figure.align_ylabels(grid[:, 0])
    return figure


def _columns(shown: Mapping[str, Numbers], drawn: Mapping[str, str]) -> int:
    """Columns beside each other: so many that text can be read and wide pictures can be seen."""
    wide = any(drawn[name] == "image" and one.shape[2] > 2 * one.shape[1] for name, one in shown.items())
    return 10 if "text" not in drawn.values() else 2 if wide else 4


def _height(kind: str, values: Numbers | None, said: Sequence[str] | None, column: float) -> float:
    if said is not None or values is None:
        return _LINE * max(one.count("\n") + 1 for one in said or [""])
    if kind == "image":
        return float(column * values.shape[1] / values.shape[2])
    return column * (0.7 if kind == "vector" else 1.0)


def _draw_row(
    axes: Sequence[Axes], name: str, values: Numbers, block: range, kind: str, seconds: float | None
) -> None:
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    high = high if high > low else low + 1.0
    for column, (ax, i) in enumerate(zip(axes, block, strict=False)):
        ax.grid(visible=False)
        if kind == "vector":
            _bars(ax, values[i], low, high)
        else:
            _picture(ax, values[i], low, high, sound=kind == "spectrogram")
        if kind == "spectrogram":
            _time_and_frequency(ax, values.shape[1:], seconds)
        if column:
            ax.tick_params(labelleft=False, left=False, labelbottom=False, bottom=False)
            ax.set_xlabel("")
    what = {"spectrogram": "mel band", "vector": "value"}.get(
        kind, "×".join(map(str, values.shape[1:3])) + " px"
    )
    axes[0].set_ylabel(f"{name}\n{what}", fontsize=NOTE_SIZE)


def _say(axes: Sequence[Axes], name: str, texts: Sequence[str]) -> None:
    for ax, text in zip(axes, texts, strict=False):
        ax.grid(visible=False)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.text(0.5, 1.0, text, ha="center", va="top", fontsize=NOTE_SIZE, transform=ax.transAxes)
    axes[0].set_ylabel(name, fontsize=NOTE_SIZE, rotation=0, ha="right", va="center")


def _picture(ax: Axes, one: Numbers, low: float, high: float, *, sound: bool) -> None:
    ax.spines[:].set(color=palette.GRID, visible=True)  # a white picture needs an edge
    ax.set(xticks=[], yticks=[])
    ax.imshow(
        np.clip((one - low) / (high - low), 0.0, 1.0) if one.ndim == 3 else one,
        cmap=palette.SPECTROGRAM_MAP if sound else palette.PICTURE_MAP,
        vmin=low,
        vmax=high,
        origin="lower" if sound else "upper",
        aspect="auto" if sound else "equal",
        interpolation="nearest",
    )


def _time_and_frequency(ax: Axes, shape: tuple[int, ...], seconds: float | None) -> None:
    bands, frames = shape
    ax.set_yticks([0, bands - 1], ["1", str(bands)])
    if seconds is None:
        _ends(ax, [0, frames - 1], ["1", str(frames)])
    else:
        _ends(ax, [-0.5, frames - 0.5], ["0", f"{seconds:.2g}"])
    ax.set_xlabel("frame" if seconds is None else "seconds", fontsize=NOTE_SIZE)


def _ends(ax: Axes, at: list[float], words: list[str]) -> None:
    """Label both ends of the horizontal axis, without reaching out of the panel."""
    ax.set_xticks(at, words)
    first, last = ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def _bars(ax: Axes, one: Numbers, low: float, high: float) -> None:
    ax.bar(np.arange(1, len(one) + 1), one, width=0.85, color=palette.INK, linewidth=0)
    ax.axhline(0.0, color=palette.QUIET, linewidth=0.8)
    ax.set_ylim(min(low, 0.0) * 1.1, max(high, 0.0) * 1.1 or 1.0)
    if len(one) > 1:
        _ends(ax, [1, len(one)], ["1", str(len(one))])
    else:
        ax.set_xticks([1])
    ax.set_xlabel("dimension", fontsize=NOTE_SIZE)
    ax.spines["bottom"].set_visible(False)


def _cut(words: str, inches: float, lines: int) -> str:
    broken = fit(words, inches, NOTE_SIZE).split("\n")
    if len(broken) <= lines:
        return "\n".join(broken)
    return "\n".join([*broken[: lines - 1], f"{broken[lines - 1].rsplit(' ', 1)[0]} …"])


def _rows(name: str, values: Any, chosen: list[int]) -> Numbers:  # noqa: ANN401 - tensor or array
    """(n, D) vectors, (n, H, W) planes or (n, H, W, 3) colour pictures."""
    picked = np.asarray(values[chosen], dtype=np.float64)
    if picked.ndim == 4 and picked.shape[1] in (1, 3, 4):
        return picked[:, 0] if picked.shape[1] == 1 else np.moveaxis(picked, 1, -1)[..., :3]
    rule = "must be a vector, one plane, or 3 or 4 colour planes per sample"
    way_out = "Leave it out with modalities=[...]."
    require(picked.ndim in (2, 3), f"modalities[{name!r}]", picked.shape[1:], rule, way_out)
    return picked


def _kind(name: str, values: Numbers, kinds: Mapping[str, str]) -> str:
    if name in kinds:
        one_of(f"kinds[{name!r}]", kinds[name], KINDS)
        fits = (kinds[name] == "vector") == (values.ndim == 2)
        require(fits, f"kinds[{name!r}]", kinds[name], f"does not fit samples of shape {values.shape[1:]}")
        return str(kinds[name])
    if values.ndim == 2:
        return "vector"
    return "spectrogram" if any(word in name.lower() for word in _SOUND) else "image"


def _labels(data: Paired, chosen: list[int], notes: Sequence[str] | None) -> list[str]:
    remarks = [""] * len(chosen)
    if notes is not None:
        remarks = [f" ({one})" for one in flat("notes", notes, "a list of remarks")]
        rule = f"must be one for each of {len(chosen)} samples"
        require(len(remarks) == len(chosen), "notes", f"{len(remarks)} remarks", rule)
    return [_label(data, one) + remark for one, remark in zip(chosen, remarks, strict=True)]


def _label(data: Paired, where: int) -> str:
    label = np.asarray(data.target[where])
    if label.ndim == 0 and label.dtype.kind in "iu":
        return data.classes[int(label)]
    if label.ndim != 1 or len(label) != len(data.classes):
        return f"sample {where}"
    names = [data.classes[k] for k in np.flatnonzero(label > 0.5)]
    more = f" and {len(names) - _MOST_LABELS} more" if len(names) > _MOST_LABELS else ""
    return ", ".join(names[:_MOST_LABELS]) + more if names else "(no label)"


def _drawn(data: Paired, count: int, split: str, seed: int) -> list[int]:
    whole("count", count)
    one_of("split", split, list(data.splits))
    pool = np.asarray(data.splits[split])
    require(count <= len(pool), "count", count, f"must be at most {len(pool)}, the size of split {split!r}")
    order = np.random.default_rng(derive(whole("seed", seed, at_least=0), "pairs")).permutation(pool)
    labels = np.asarray(data.target)[order]
    if labels.ndim > 2:
        return [int(i) for i in order[:count]]
    _, label = np.unique(labels.reshape(len(order), -1), axis=0, return_inverse=True)
    turn = np.zeros(len(order), dtype=np.int64)  # how many of its class came before a sample
    for one in np.unique(label):
        turn[label.reshape(-1) == one] = np.arange(int((label == one).sum()))
    first = np.lexsort((label.reshape(-1), turn))[:count]
    return [int(order[i]) for i in first]


def _checked(data: Paired, positions: Sequence[int]) -> list[int]:
    listed = flat("positions", positions, "a list of positions")
    require(len(listed) > 0, "positions", positions, "must name at least one sample")
    return [position("positions", one, len(data.target), of="the position of a sample") for one in listed]
