"""A gallery of paired samples: every column is one sample, every row one modality of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from mmkd_lab.core.check import LabError, flat, mapping, one_of, position, real, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

KINDS = ("image", "spectrogram", "vector")
_SOUND = ("speech", "audio", "sound", "voice", "mel", "spectrogram")
_ROOM = {"image": 1.0, "spectrogram": 1.0, "vector": 0.7}  # height of a row, relative to its width


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


def pairs_figure(
    data: Paired,
    *,
    count: int = 8,
    split: str = "train",
    seed: int = 0,
    positions: Sequence[int] | None = None,
    modalities: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    seconds: float | None = None,
    title: str | None = None,
    size: tuple[float, float] | None = None,
) -> LabFigure:
    """Paired samples, one column each, as pictures, spectrograms or bars.

    Args:
        data: a dataset of named modalities, each (N, ...): images (N, H, W), (N, 1, H, W) or (N, 3, H, W),
            spectrograms (N, 1, bands, frames), vectors (N, D).
        count: how many samples, drawn from the split with as many different classes as possible.
        split: where they are drawn from.
        seed: which ones are drawn.
        positions: exactly these samples instead of drawn ones.
        modalities: which rows, in this order; by default all.
        kinds: 'image', 'spectrogram' or 'vector' by modality; by default told from shape and name.
        seconds: how long a spectrogram is; without it, time is counted in frames.
        title: the headline; by default the dataset's name and what a column is.
        size: width and height in inches.

    Raises:
        LabError: an unknown split, modality or kind, a position out of range, a shape that cannot be drawn.
    """
    lacking = [name for name in ("modalities", "target", "classes", "splits") if not hasattr(data, name)]
    require(not lacking, "data", type(data).__name__, f"must be a PairedData; this has no {lacking}")
    if seconds is not None:
        real("seconds", seconds, above=0.0)
    names = list(data.modalities)
    if modalities is not None:
        names = [str(name) for name in flat("modalities", modalities, "a list of modalities")]
    require(len(names) > 0, "modalities", modalities, "must name at least one modality")
    for name in names:
        one_of("modalities", name, list(data.modalities))
    chosen = _chosen(data, count, split, seed) if positions is None else _checked(data, positions)
    shown = {name: _rows(name, data.modalities[name], chosen) for name in names}
    told = {} if kinds is None else mapping("kinds", kinds, "{modality: kind}")
    drawn = {name: _kind(name, values, told) for name, values in shown.items()}
    figure = LabFigure(size or _size(len(chosen), [(drawn[name], shown[name].shape[1:]) for name in names]))
    with style():
        heights = [_height(drawn[name], shown[name].shape[1:]) for name in names]
        grid = figure.subplots(len(names), len(chosen), squeeze=False, height_ratios=heights)
        for axes, name in zip(grid, names, strict=True):
            _draw_row(axes, name, shown[name], drawn[name], seconds)
        for ax, position in zip(grid[0], chosen, strict=True):
            ax.set_title(_label(data, position), loc="center")
        figure.headline(title or f"{data.name}: each column is one sample, seen as {' and '.join(names)}")
        figure.align_ylabels(grid[:, 0])
    return figure


def _draw_row(
    axes: Sequence[Axes], name: str, values: npt.NDArray[np.float64], kind: str, seconds: float | None
) -> None:
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    high = high if high > low else low + 1.0
    for column, (ax, one) in enumerate(zip(axes, values, strict=True)):
        ax.grid(visible=False)
        if kind == "vector":
            _bars(ax, one, low, high)
        else:
            _picture(ax, one, low, high, sound=kind == "spectrogram")
        if kind == "spectrogram":
            _time_and_frequency(ax, one.shape, seconds)
        if column:
            ax.tick_params(labelleft=False, left=False, labelbottom=False, bottom=False)
            ax.set_xlabel("")
    axes[0].set_ylabel(f"{name}\n{_axis(kind, values.shape[1:])}", fontsize=NOTE_SIZE)


def _axis(kind: str, shape: tuple[int, ...]) -> str:
    if kind == "spectrogram":
        return "mel band"
    return f"{shape[-2]}×{shape[-1]} px" if kind == "image" else "value"


def _picture(ax: Axes, one: npt.NDArray[np.float64], low: float, high: float, *, sound: bool) -> None:
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set(xticks=[], yticks=[])
    if one.ndim == 3:  # three colour planes
        ax.imshow(np.clip((np.moveaxis(one, 0, -1) - low) / (high - low), 0, 1), interpolation="nearest")
        return
    ax.imshow(
        one,
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
        ax.set_xlabel("frame", fontsize=NOTE_SIZE)
    else:
        _ends(ax, [-0.5, frames - 0.5], ["0", f"{seconds:.2g}"])
        ax.set_xlabel("seconds", fontsize=NOTE_SIZE)


def _ends(ax: Axes, at: list[float], words: list[str]) -> None:
    """Label both ends of the horizontal axis, without reaching out of the panel."""
    ax.set_xticks(at, words)
    first, last = ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def _bars(ax: Axes, one: npt.NDArray[np.float64], low: float, high: float) -> None:
    ax.bar(np.arange(1, len(one) + 1), one, width=0.85, color=palette.INK, linewidth=0)
    ax.axhline(0.0, color=palette.QUIET, linewidth=0.8)
    ax.set_ylim(min(low, 0.0) * 1.1, max(high, 0.0) * 1.1 or 1.0)
    if len(one) > 1:
        _ends(ax, [1, len(one)], ["1", str(len(one))])
    else:
        ax.set_xticks([1])
    ax.set_xlabel("dimension", fontsize=NOTE_SIZE)
    ax.spines["bottom"].set_visible(False)


def _chosen(data: Paired, count: int, split: str, seed: int) -> list[int]:
    whole("count", count)
    one_of("split", split, list(data.splits))
    pool = np.asarray(data.splits[split])
    require(count <= len(pool), "count", count, f"must be at most {len(pool)}, the size of split {split!r}")
    order = np.random.default_rng(derive(whole("seed", seed, at_least=0), "pairs")).permutation(pool)
    labels = np.asarray(data.target)[order]
    if labels.ndim > 1 or labels.dtype.kind not in "iu":
        return [int(i) for i in order[:count]]
    turn = np.zeros(len(order), dtype=np.int64)  # how many of its class came before a sample
    for label in np.unique(labels):
        turn[labels == label] = np.arange(int((labels == label).sum()))
    first = np.lexsort((labels, turn))[:count]
    return [int(order[i]) for i in first]


def _checked(data: Paired, positions: Sequence[int]) -> list[int]:
    listed = flat("positions", positions, "a list of positions")
    require(len(listed) > 0, "positions", positions, "must name at least one sample")
    return [position("positions", one, len(data.target), of="the position of a sample") for one in listed]


def _rows(name: str, values: Any, chosen: list[int]) -> npt.NDArray[np.float64]:  # noqa: ANN401 - tensor or array
    picked = np.asarray(values[chosen], dtype=np.float64)
    if picked.ndim == 4 and picked.shape[1] == 1:
        picked = picked[:, 0]
    rgb = picked.ndim == 4 and picked.shape[1] == 3
    if not (picked.ndim in (2, 3) or rgb):
        rule = "must be a vector, one plane, or three colour planes per sample"
        raise LabError(f"modalities[{name!r}]", picked.shape[1:], rule, "Leave it out with modalities=[...].")
    return picked


def _kind(name: str, values: npt.NDArray[np.float64], kinds: Mapping[str, str]) -> str:
    if name in kinds:
        one_of(f"kinds[{name!r}]", kinds[name], KINDS)
        fits = (kinds[name] == "vector") == (values.ndim == 2)
        require(fits, f"kinds[{name!r}]", kinds[name], f"does not fit samples of shape {values.shape[1:]}")
        return kinds[name]
    if values.ndim == 2:
        return "vector"
    return "spectrogram" if any(word in name.lower() for word in _SOUND) else "image"


def _label(data: Paired, position: int) -> str:
    label = np.asarray(data.target[position])
    if label.ndim or label.dtype.kind not in "iu":
        return f"sample {position}"
    return data.classes[int(label)]


def _height(kind: str, shape: tuple[int, ...]) -> float:
    return shape[-2] / shape[-1] if kind == "image" else _ROOM[kind]


def _size(columns: int, rows: list[tuple[str, tuple[int, ...]]]) -> tuple[float, float]:
    width = min(8.4, max(4.2, 1.1 * columns + 0.9))
    column = (width - 0.8) / columns - 0.18
    below = {"image": 0.16, "spectrogram": 0.55, "vector": 0.55}
    return width, min(20.0, 0.75 + sum(_height(kind, shape) * column + below[kind] for kind, shape in rows))
