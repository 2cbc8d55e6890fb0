"""Attribution maps: every column is one sample, above what was explained, below what counted in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from mmkd_lab.core.check import LabError, one_of, real, require
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

Numbers = npt.NDArray[np.float64]

KINDS = ("image", "spectrogram", "columns", "tokens")
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
    size: tuple[float, float] | None = None,
) -> LabFigure:
    """Attribution maps of a few samples, on one colour scale that is symmetric around zero.

    Args:
        values: (N, ...) attributions: (N, H, W) or (N, C, H, W) for maps, whose channels are summed; (N, D)
            for feature columns and tokens.
        inputs: what was explained, of the same shape; drawn in a row above. None for none.
        kind: 'image', 'spectrogram' (bands upwards), 'columns' or 'tokens'; by default 'columns' for (N, D)
            and 'image' for the rest.
        labels: N titles, one per column.
        tokens: N lists of D words, for kind='tokens'.
        title: the headline.
        clip: the percentile of |values| at which the scale ends, so that single cells do not wash out the
            rest; by default 99.5 for maps and 100 for bars.
        size: width and height in inches.

    Raises:
        LabError: no array of numbers, no sample or more than 16, values that are not finite, shapes that do
            not go together, a kind that does not fit the shape, a number of labels or words that differs from
            the samples.
    """
    maps = _planes(values)
    seen = None if inputs is None else _inputs(inputs, np.shape(values))
    drawn = _checked(maps, kind, labels, tokens)
    sound = drawn == "spectrogram"
    picture = palette.SPECTROGRAM_MAP if sound else palette.PICTURE_MAP
    share = (100.0 if maps.ndim == 2 else 99.5) if clip is None else clip
    limit = float(np.percentile(np.abs(maps), real("clip", share, above=0.0, at_most=100.0))) or 1.0
    n, flat = len(maps), maps.ndim == 2
    figure = LabFigure(size or _size(maps, drawn, with_inputs=seen is not None and not flat))
    with style():
        rows = 2 if seen is not None and not flat else 1
        grid = figure.subplots(rows, n, squeeze=False) if not flat else figure.subplots(n, 1, squeeze=False).T
        shown = None
        for i in range(n):
            if flat:
                _bars(grid[0, i], maps[i], limit, None if tokens is None else tokens[i])
            else:
                shown = _image(
                    grid[-1, i], maps[i], sound=sound, vmin=-limit, vmax=limit, cmap=palette.ATTRIBUTION_MAP
                )
                if seen is not None:
                    _image(grid[0, i], seen[i], sound=sound, cmap=picture)
            if labels is not None:
                grid[0, i].set_title(labels[i], loc="center" if not flat else "left")
        if shown is not None:
            bar = figure.colorbar(shown, ax=list(grid[-1]), shrink=0.9, pad=0.015)
            bar.set_label("attribution", fontsize=NOTE_SIZE)
            bar.outline.set_visible(False)
        if rows == 2:
            grid[0, 0].set_ylabel("input")
            grid[1, 0].set_ylabel("attribution")
        if title is not None:
            figure.headline(title)
        figure.note(_note(maps, limit))
    return figure


def _planes(values: npt.ArrayLike) -> Numbers:
    found = _numbers("values", values)
    rule = "must be (N, D), (N, H, W) or (N, C, H, W)"
    require(found.ndim in (2, 3, 4) and found.size > 0, "values", found.shape, rule)
    require(bool(np.isfinite(found).all()), "values", "NaN or infinite values", "must be finite")
    return found.sum(1) if found.ndim == 4 else found


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


def _checked(
    maps: Numbers, kind: str | None, labels: Sequence[str] | None, tokens: Sequence[Sequence[str]] | None
) -> str:
    """The kind, when labels and words go with it."""
    n, flat = len(maps), maps.ndim == 2
    require(n <= _MOST, "values", f"{n} samples", f"must hold at most {_MOST} samples", "Slice them first.")
    require(labels is None or len(labels) == n, "labels", labels, f"must be {n}, one per sample")
    kind = ("columns" if flat else "image") if kind is None else kind
    one_of("kind", kind, KINDS)
    fits = (kind in ("columns", "tokens")) == flat
    require(fits, "kind", kind, f"does not fit {'(N, D)' if flat else '(N, H, W)'} values")
    if tokens is not None:
        require(kind == "tokens", "tokens", "given", f"belongs to kind='tokens', and the kind is {kind!r}")
        sound = len(tokens) == n and all(len(words) == maps.shape[1] for words in tokens)
        rule = f"must be {n} lists of {maps.shape[1]} words"
        require(sound, "tokens", [len(words) for words in tokens], rule)
    return kind


def _image(ax: Axes, one: Numbers, *, sound: bool, **colours: Any) -> AxesImage:  # noqa: ANN401
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    place: Any = {"origin": "lower", "aspect": "auto"} if sound else {"origin": "upper", "aspect": "equal"}
    return ax.imshow(one, interpolation="nearest", **place, **colours)


def _bars(ax: Axes, one: Numbers, limit: float, words: Sequence[str] | None) -> None:
    places = np.arange(len(one))
    colours = [palette.FOR if value >= 0 else palette.AGAINST for value in one]
    ax.bar(places, np.clip(one, -limit, limit), width=0.85, color=colours, linewidth=0)
    ax.axhline(0.0, color=palette.INK, linewidth=1.1)
    ax.set_ylim(-1.05 * limit, 1.05 * limit)
    ax.set_xlim(-0.6, len(one) - 0.4)
    ax.grid(visible=False, axis="x")
    ax.set_ylabel("attribution", fontsize=NOTE_SIZE)
    if words is not None:
        ax.set_xticks(places, list(words), rotation=0 if len(one) <= 10 else 60)


def _note(maps: Numbers, limit: float) -> str:
    beyond = int((np.abs(maps) > limit).sum())
    cut = (
        f"; {beyond} of {maps.size:,} cells lie beyond and are drawn at the end of the scale"
        if beyond
        else ""
    )
    return f"Green counts for the class, purple against it. One scale, ±{limit:.3g}{cut}."


def _size(maps: Numbers, kind: str, *, with_inputs: bool) -> tuple[float, float]:
    n = len(maps)
    if maps.ndim == 2:
        return 7.0, min(20.0, 1.1 + 1.35 * n)
    side = min(2.2, 8.6 / n)
    tall = side * (1.0 if kind == "spectrogram" else maps.shape[1] / maps.shape[2])
    return max(4.0, side * n + 1.3), min(20.0, 1.1 + (2 if with_inputs else 1) * (tall + 0.1))
