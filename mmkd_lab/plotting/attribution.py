"""Attribution maps of samples, and the saliency of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from mmkd_lab.core.check import LabError, one_of, real, require, whole
from mmkd_lab.plotting import palette, tables
from mmkd_lab.plotting.axes import Numbers, zero_line
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

BARS, PICTURES = ("columns", "tokens"), ("image", "spectrogram")
_MOST = 16


def maps_figure(
    values: npt.ArrayLike,
    *,
    inputs: npt.ArrayLike | None = None,
    kind: str | None = None,
    labels: Sequence[str] | None = None,
    tokens: Sequence[Sequence[str]] | None = None,
    title: str | None = None,
    clip: float | None = None,
) -> LabFigure:
    """Attribution maps of a few samples, one a column, on one colour scale that is symmetric around zero.

    Args:
        values: (N, ...) attributions: (N, H, W) or (N, C, H, W) for maps, whose channels are summed; (N, D)
            for feature columns and tokens.
        inputs: what was explained, of the same shape; drawn in a row above. None for none.
        kind: 'image', 'spectrogram' (bands upwards), 'columns' or 'tokens'; by default 'columns' for (N, D)
            and 'image' for the rest.
        labels: N titles, one per column.
        tokens: N lists of D words, for kind='tokens'.
        clip: the percentile of |values| at which the scale ends, so that single cells do not wash out the
            rest; by default 99.5 for maps and 100 for bars.

    Raises `LabError`: no array of numbers, no sample or more than 16, values that are not finite, a kind,
    inputs, labels or tokens that do not go with the values.
    """
    found = _numbers("values", values)
    sound = found.ndim in (2, 3, 4) and found.size > 0 and len(found) <= _MOST
    rule = f"must be (N, D), (N, H, W) or (N, C, H, W) of at most {_MOST} samples"
    require(sound, "values", found.shape, rule, "Slice them first.")
    require(bool(np.isfinite(found).all()), "values", "NaN or infinite values", "must be finite")
    maps = found.sum(1) if found.ndim == 4 else found
    n, bars = len(maps), maps.ndim == 2
    kind = kind or ("columns" if bars else "image")
    one_of("kind", kind, BARS if bars else PICTURES)
    require(labels is None or len(labels) == n, "labels", labels, f"must be {n}, one per sample")
    if tokens is not None:
        fits = kind == "tokens" and [len(words) for words in tokens] == [maps.shape[1]] * n
        rule = "must be as many words as values, per sample, with kind='tokens'"
        require(fits, "tokens", [len(words) for words in tokens], rule)
    seen = None if inputs is None else _inputs(inputs, found.shape)
    share = real("clip", (100.0 if bars else 99.5) if clip is None else clip, above=0.0, at_most=100.0)
    limit = float(np.percentile(np.abs(maps), share)) or 1.0
    rows = 1 if seen is None or bars else 2
    figure = LabFigure(_size(maps, kind, rows))
    with style():
        grid = figure.subplots(n if bars else rows, 1 if bars else n, squeeze=False)
        for ax, label in zip(grid.flat, labels or (), strict=False):
            ax.set_title(label, loc="left" if bars else "center")
        if bars:
            for i, ax in enumerate(grid.flat):
                _bars(ax, maps[i], limit, None if tokens is None else tokens[i])
        else:
            scale: Any = {"vmin": -limit, "vmax": limit, "cmap": palette.ATTRIBUTION_MAP}
            shown = [_image(ax, one, kind, **scale) for ax, one in zip(grid[-1], maps, strict=True)]
            bar = figure.colorbar(shown[-1], ax=list(grid[-1]), shrink=0.9, pad=0.015)
            bar.set_label("attribution", fontsize=NOTE_SIZE)
            bar.outline.set_visible(False)
        if rows == 2 and seen is not None:
            picture = palette.SPECTROGRAM_MAP if kind == "spectrogram" else palette.PICTURE_MAP
            for ax, one in zip(grid[0], seen, strict=True):
                _image(ax, one, kind, cmap=picture)
            grid[0, 0].set_ylabel("input")
            grid[1, 0].set_ylabel("attribution")
        if title is not None:
            figure.headline(title)
        note = f"Green counts for the class, purple against it. One scale, ±{limit:.3g}"
        if beyond := int((np.abs(maps) > limit).sum()):
            note += f"; {beyond} of {maps.size:,} cells lie beyond and are drawn at the end of the scale"
        figure.note(f"{note}.")
    return figure


def _numbers(name: str, values: npt.ArrayLike) -> Numbers:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is of a tensor that needs gradients
        way_out = f"Of attribution maps give maps.{name}."
        raise LabError(name, type(values).__name__, "must be an array of numbers", way_out) from error


def _inputs(inputs: npt.ArrayLike, shape: tuple[int, ...]) -> Numbers:
    found = _numbers("inputs", inputs)
    require(found.shape == shape, "inputs", found.shape, f"must have the shape of values, {shape}")
    if found.ndim == 4 and found.shape[1] == 3:
        low, high = found.min(), found.max()
        return np.moveaxis((found - low) / ((high - low) or 1.0), 1, -1)
    return found.mean(1) if found.ndim == 4 else found


def _image(ax: Axes, one: Numbers, kind: str, **colours: Any) -> AxesImage:  # noqa: ANN401
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    up: Any = {"origin": "lower", "aspect": "auto"} if kind == "spectrogram" else {"aspect": "equal"}
    return ax.imshow(one, interpolation="nearest", **{"origin": "upper", **up}, **colours)


def _bars(ax: Axes, one: Numbers, limit: float, words: Sequence[str] | None) -> None:
    places = np.arange(len(one))
    colours = [palette.FOR if value >= 0 else palette.AGAINST for value in one]
    ax.bar(places, np.clip(one, -limit, limit), width=0.85, color=colours, linewidth=0)
    ax.axhline(0.0, color=palette.INK, linewidth=1.1)
    ax.set(xlim=(-0.6, len(one) - 0.4), ylim=(-1.05 * limit, 1.05 * limit))
    ax.grid(visible=False, axis="x")
    ax.set_ylabel("attribution", fontsize=NOTE_SIZE)
    if words is not None:
        ax.set_xticks(places, list(words), rotation=0 if len(one) <= 10 else 60)


def _size(maps: Numbers, kind: str, rows: int) -> tuple[float, float]:
    n = len(maps)
    if maps.ndim == 2:
        return 7.0, min(20.0, 1.1 + 1.35 * n)
    side = min(2.2, 8.6 / n)
    tall = side * (1.0 if kind == "spectrogram" else maps.shape[1] / maps.shape[2])
    return max(4.0, side * n + 1.3), min(20.0, 1.1 + rows * (tall + 0.1))


def saliency_figure(table: pd.DataFrame, *, keep: int | None = None, title: str | None = None) -> LabFigure:
    """The signed saliency of each channel (MFH, Algorithm 1) by rank, and beside it by |W| where known.

    Args:
        table: of a `ChannelSaliency`: one row per channel with `saliency`, `rank` (from 1), perhaps
            `magnitude`.
        keep: how many of the first are kept; they have the colour of what both modalities share, the others
            that of the teacher. All are kept when None.

    Raises `LabError`: a column that is missing, no channels, more to keep than there are.
    """
    tables.has_columns(table, ("saliency", "rank"))
    n = len(table)
    kept = n if keep is None else whole("keep", keep)
    require(kept <= n, "keep", keep, f"must be at most {n}, the number of channels")
    ranked = table.sort_values("rank")
    colours = np.where(ranked["rank"] <= kept, palette.SHARED, palette.TEACHER)
    panels = 2 if "magnitude" in table.columns else 1
    figure = LabFigure((4.6 * panels, 3.6))
    with style():
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for ax in axes:
            zero_line(ax, vertical=False)
        axes[0].bar(ranked["rank"], ranked["saliency"], color=colours, width=0.8)
        axes[0].set(xlabel="channel, by rank", ylabel="saliency, D − D₀ (squared logits)")
        if panels == 2:
            axes[1].scatter(ranked["magnitude"], ranked["saliency"], s=18, color=colours, linewidths=0)
            axes[1].set_xlabel("weight of the channel in the head, |W|")
        if kept < n:
            said: Any = {"fontsize": NOTE_SIZE + 1, "ha": "right", "transform": axes[0].transAxes}
            axes[0].text(0.97, 0.93, f"{kept} kept", color=palette.SHARED, **said)
            axes[0].text(0.97, 0.84, f"{n - kept} removed", color=palette.TEACHER, **said)
        figure.headline(title or "Channels of the teacher, by what they share with the student")
        below = f"{n} channels, {int((ranked['saliency'] < 0).sum())} below 0: permuting one of those over"
        figure.note(f"{below} the samples brings the teacher closer to the student.")
    return figure
