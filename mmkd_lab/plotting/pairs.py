"""A gallery of paired samples: every column is one sample, every row one modality of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mmkd_lab.core.check import flat, one_of, position, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.axes import Numbers
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, fit, style

KINDS = ("image", "spectrogram", "series", "vector", "text")
_SOUND = ("speech", "audio", "sound", "voice", "mel", "spectrogram")
#: Words in names of modalities that are pictures without an axis of colours; others are steps in time.
_SEEN = ("image", "picture", "photo", "rgb", "depth", "mel", "spectrogram")
_WIDTH, _LINE = 8.4, 0.155  # inches: the figure, and a line of text
_LINES, _MOST_LABELS = 4, 3  # of a text and of labels, at most


@dataclass(frozen=True, eq=False)
class _Track:
    """One modality: its samples (n, ...), or what they say."""

    name: str
    kind: str
    shown: Any

    def height(self, column: float) -> float:
        """Inches of a row whose columns are so wide."""
        if self.kind == "text":
            return float(_LINE * max(one.count("\n") + 1 for one in self.shown))
        tall = self.shown.shape[1] / self.shown.shape[2] if self.kind == "image" else 1.0
        return float(column * (0.7 if self.kind == "vector" else tall))


def pairs_figure(
    data: Any,  # noqa: ANN401 - a PairedData, whose floor this one does not import
    *,
    count: int | None = None,
    split: str = "train",
    seed: int = 0,
    positions: Sequence[int] | None = None,
    modalities: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    seconds: float | None = None,
    title: str | None = None,
) -> LabFigure:
    """Paired samples, one column each, as pictures, spectrograms, series, bars or text.

    Args:
        data: a `PairedData` of named modalities, each (N, ...): images (N, H, W) or (N, C, H, W) with 1, 3 or
            4 channels, spectrograms (N, 1, bands, frames), series (N, steps, D), vectors (N, D), text.
        count: how many samples of `split`, drawn by `seed` with as many different classes as possible; by
            default 8, of text 4.
        positions: exactly these samples instead of drawn ones.
        modalities: which rows, in this order; by default all.
        kinds: 'image', 'spectrogram', 'series', 'vector' or 'text' by modality; by default told from data and
            name: (N, A, B) is a series, unless its name speaks of a picture.
        seconds: how long a spectrogram is; without it, time is counted in frames.

    Raises `LabError`: an unknown split, modality or kind, a position out of range, a shape that cannot be
    drawn.
    """
    require(hasattr(data, "modalities"), "data", type(data).__name__, "must be a PairedData")
    asked = list(data.modalities) if modalities is None else modalities
    names = [str(name) for name in flat("modalities", asked, "a list of modalities")]
    require(len(names) > 0, "modalities", modalities, "must name at least one modality")
    told = kinds or {}
    for name in names:
        one_of("modalities", name, list(data.modalities))
    spoken = {*data.vocabularies, *data.captions, *(name for name in told if told[name] == "text")}
    text = not spoken.isdisjoint(names)
    if positions is None:
        chosen = _drawn(data, whole("count", (4 if text else 8) if count is None else count), split, seed)
    else:
        n, of = len(data.target), "the position of a sample"
        chosen = [position("positions", one, n, of=of) for one in positions]
    require(len(chosen) > 0, "positions", positions, "must name at least one sample")
    tracks = [_track(data, name, chosen, "text" if name in spoken else told.get(name)) for name in names]
    columns = min(len(chosen), _columns(tracks))
    blocks = [range(i, min(i + columns, len(chosen))) for i in range(0, len(chosen), columns)]
    width = _WIDTH if text else min(_WIDTH, max(4.2, 1.1 * columns + 0.9))
    column = (width - 0.8) / columns - 0.18
    for track in tracks:
        if track.kind == "text":
            track.shown[:] = [_cut(one, column) for one in track.shown]
    heights = [track.height(column) for track in tracks]
    labels = [fit(_label(data, one), column + 0.05, NOTE_SIZE + 0.5, "bold") for one in chosen]
    above = 0.2 * max(label.count("\n") + 1 for label in labels)
    below = sum(0.55 if track.kind in ("spectrogram", "series", "vector") else 0.16 for track in tracks)
    figure = LabFigure((width, min(40.0, 0.55 + len(blocks) * (sum(heights) + above + below))))
    with style():
        ratios = heights * len(blocks)
        grid = figure.subplots(len(ratios), columns, squeeze=False, height_ratios=ratios)
        for b, block in enumerate(blocks):
            rows = grid[b * len(tracks) : (b + 1) * len(tracks)]
            for axes, track in zip(rows, tracks, strict=True):
                for ax in axes[len(block) :]:
                    ax.remove()
                _draw_row(axes, track, block, seconds)
            for ax, i in zip(rows[0], block, strict=False):
                ax.set_title(labels[i], loc="center", fontsize=NOTE_SIZE + 0.5)
        figure.headline(title or f"{data.name}: each column is one sample, seen as {' and '.join(names)}")
        figure.align_ylabels(grid[:, 0])
    return figure


def is_sound(name: str) -> bool:
    """Whether a modality of this name is drawn as a spectrogram, unless it is told otherwise."""
    return any(word in name.lower() for word in _SOUND)


def _drawn(data: Any, count: int, split: str, seed: int) -> list[int]:  # noqa: ANN401
    """Samples of a split in random order, one of each class before the second of any."""
    one_of("split", split, list(data.splits))
    pool = np.asarray(data.splits[split])
    most = len(pool)
    require(count <= most, "count", count, f"must be at most {most}, the size of split {split!r}")
    order = np.random.default_rng(derive(whole("seed", seed, at_least=0), "pairs")).permutation(pool)
    labels = np.asarray(data.target)[order]
    if labels.ndim > 2 or data.task.value == "regression":
        return [int(i) for i in order[:count]]
    _, label = np.unique(labels.reshape(len(order), -1), axis=0, return_inverse=True)
    label = label.reshape(-1)
    turn = pd.Series(label).groupby(label).cumcount().to_numpy()  # how many of its class came before a sample
    return [int(order[i]) for i in np.lexsort((label, turn))[:count]]


def _track(data: Any, name: str, chosen: list[int], kind: str | None) -> _Track:  # noqa: ANN401
    """Text, (n, D) vectors, (n, H, W) planes or (n, H, W, 3) colour pictures."""
    if kind == "text":
        return _Track(name, kind, [data.caption(name, one) for one in chosen])
    values = np.asarray(data.modalities[name][chosen], dtype=np.float64)
    if (
        values.ndim == 4 and values.shape[1] > 3 and values.shape[1] % 3 == 0
    ):  # frames of a clip: side by side
        n, planes, height, width = values.shape
        frames = values.reshape(n, planes // 3, 3, height, width).transpose(0, 2, 3, 1, 4)
        values = frames.reshape(n, 3, height, planes // 3 * width)
    if values.ndim == 4 and values.shape[1] in (1, 3, 4):
        values = values[:, 0] if values.shape[1] == 1 else np.moveaxis(values, 1, -1)[..., :3]
    else:
        rule = "must be a vector, one plane, 4 colour planes, or 3 of each frame per sample"
        way_out = "Leave it out with modalities=[...]."
        require(values.ndim in (2, 3), f"modalities[{name!r}]", values.shape[1:], rule, way_out)
    series = data.modalities[name].ndim == 3 and not any(word in name.lower() for word in _SEEN)
    usual = "series" if series else "spectrogram" if is_sound(name) else "image"
    usual = "vector" if values.ndim == 2 else usual
    if kind is not None:
        one_of(f"kinds[{name!r}]", kind, KINDS)
        rule = f"does not fit samples of shape {values.shape[1:]}"
        require((kind == "vector") == (values.ndim == 2), f"kinds[{name!r}]", kind, rule)
        require(kind != "series" or values.ndim == 3, f"kinds[{name!r}]", kind, rule)
    kind = kind or usual
    return _Track(name, kind, values.swapaxes(1, 2) if kind == "series" else values)


def _columns(tracks: Sequence[_Track]) -> int:
    """Columns beside each other: so many that text can be read and wide pictures can be seen."""
    wide = any(one.kind == "image" and one.shown.shape[2] > 2 * one.shown.shape[1] for one in tracks)
    return 10 if all(one.kind != "text" for one in tracks) else 2 if wide else 4


def _cut(words: str, inches: float) -> str:
    broken = fit(words, inches, NOTE_SIZE).split("\n")
    if len(broken) > _LINES:
        broken[_LINES - 1 :] = [f"{broken[_LINES - 1].rsplit(' ', 1)[0]} …"]
    return "\n".join(broken)


def _label(data: Any, where: int) -> str:  # noqa: ANN401
    label = np.asarray(data.target[where])
    if data.task.value == "regression":
        told = [f"{name} {value:.2g}" for name, value in zip(data.classes, label.reshape(-1), strict=True)]
        return ", ".join(told[:_MOST_LABELS])
    if label.ndim == 0 and label.dtype.kind in "iu":
        return str(data.classes[int(label)])
    if label.ndim != 1 or len(label) != len(data.classes):
        return f"sample {where}"
    names = [data.classes[k] for k in np.flatnonzero(label > 0.5)]
    more = f" and {len(names) - _MOST_LABELS} more" if len(names) > _MOST_LABELS else ""
    return ", ".join(names[:_MOST_LABELS]) + more if names else "(no label)"


def _draw_row(axes: Sequence[Axes], track: _Track, block: range, seconds: float | None) -> None:
    kind, values = track.kind, track.shown
    for ax in axes:
        ax.grid(visible=False)
    if kind == "text":
        for ax, i in zip(axes, block, strict=False):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.text(0.5, 1.0, values[i], ha="center", va="top", fontsize=NOTE_SIZE, transform=ax.transAxes)
        axes[0].set_ylabel(track.name, fontsize=NOTE_SIZE, rotation=0, ha="right", va="center")
        return
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    high = high if high > low else low + 1.0
    for column, (ax, i) in enumerate(zip(axes, block, strict=False)):
        if kind == "vector":
            _bars(ax, values[i], low, high)
        else:
            _picture(ax, values[i], low, high, kind)
        if kind in ("spectrogram", "series"):
            bands, frames = values.shape[1:]
            ax.set_yticks([0, bands - 1], ["1", str(bands)])
            counted = "step" if kind == "series" else "frame"
            ax.set_xlabel("seconds" if seconds else counted, fontsize=NOTE_SIZE)
            if seconds:
                _ends(ax, (-0.5, frames - 0.5), ("0", f"{seconds:.2g}"))
            else:
                _ends(ax, (0, frames - 1), ("1", str(frames)))
        if column:
            ax.tick_params(labelleft=False, left=False, labelbottom=False, bottom=False)
            ax.set_xlabel("")
    pixels = f"{'×'.join(map(str, values.shape[1:3]))} px"
    what = {"spectrogram": "mel band", "series": "number", "vector": "value"}.get(kind, pixels)
    axes[0].set_ylabel(f"{track.name}\n{what}", fontsize=NOTE_SIZE)


def _picture(ax: Axes, one: Numbers, low: float, high: float, kind: str) -> None:
    ax.spines[:].set(color=palette.GRID, visible=True)  # a white picture needs an edge
    ax.set(xticks=[], yticks=[])
    shown = np.clip((one - low) / (high - low), 0.0, 1.0) if one.ndim == 3 else one
    look: Any = {"cmap": palette.PICTURE_MAP, "origin": "upper", "aspect": "equal"}
    if kind in ("spectrogram", "series"):
        look = {"cmap": palette.SPECTROGRAM_MAP, "origin": "lower", "aspect": "auto"}
    ax.imshow(shown, vmin=low, vmax=high, interpolation="nearest", **look)


def _bars(ax: Axes, one: Numbers, low: float, high: float) -> None:
    ax.bar(np.arange(1, len(one) + 1), one, width=0.85, color=palette.INK, linewidth=0)
    ax.axhline(0.0, color=palette.QUIET, linewidth=0.8)
    ax.set_ylim(min(low, 0.0) * 1.1, max(high, 0.0) * 1.1 or 1.0)
    if len(one) > 1:
        _ends(ax, (1, len(one)), ("1", str(len(one))))
    else:
        ax.set_xticks([1])
    ax.set_xlabel("dimension", fontsize=NOTE_SIZE)
    ax.spines["bottom"].set_visible(False)


def _ends(ax: Axes, at: tuple[float, float], words: tuple[str, str]) -> None:
    """Label both ends of the horizontal axis, without reaching out of the panel."""
    ax.set_xticks(at, words)
    first, last = ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
