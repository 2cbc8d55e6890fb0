"""Scenes with a class for every pixel: inputs, truth, what networks answer, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from mmkd_lab.core.check import position, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style

_COLUMN, _LEGEND = 1.15, 0.24  # inches: a picture, and a line of the legend
_IN_A_LINE = 5
Maps = npt.NDArray[np.int64]
Colours = npt.NDArray[np.float64]


def scenes_figure(
    data: Any,  # noqa: ANN401 - a PairedData, whose floor this one does not import
    answers: Mapping[str, Any],
    *,
    count: int = 4,
    split: str = "test",
    seed: int = 0,
    positions: list[int] | None = None,
    title: str | None = None,
) -> LabFigure:
    """One scene a row: its modalities, the truth, each answer, and where the first two answers differ.

    Args:
        data: a `PairedData` of a dense task with pictures (N, C, H, W) of 1 or at least 3 channels, of which
            the first three are shown.
        answers: {name: logits (n, K, H, W) or class numbers (n, H, W)} of the n samples of `split`, in its
            order, such as {'teacher': ..., 'student': ...}; one at least. Of one alone, where it is wrong.
        count: how many scenes, drawn by `seed`.
        positions: exactly these of the split, counted from 0, instead of drawn ones.
        title: of the figure.

    Pixels without a class are white. Raises `LabError` for another task, an answer of another shape, a
    position out of range.
    """
    target = np.asarray(data.target[data.splits[split]])
    require(target.ndim == 3, "data", target.shape, "must have a class for every pixel, (N, H, W)")
    require(len(answers) > 0, "answers", dict(answers), "must hold at least one answer")
    said = {name: _classes(name, one, target) for name, one in answers.items()}
    chosen = _chosen(len(target), count, seed, positions)
    pictures = {
        name: _pictures(data, name, np.asarray(data.splits[split])[chosen]) for name in data.modalities
    }
    columns = [*pictures, "truth", *said, "difference" if len(said) > 1 else "wrong"]
    lines = -(-len(data.classes) // _IN_A_LINE) + 1
    tall = target.shape[1] / target.shape[2]
    figure = LabFigure((_COLUMN * len(columns) + 0.3, _COLUMN * tall * len(chosen) + 0.75 + _LEGEND * lines))
    colours = _colours(len(data.classes))
    with style():
        grid = figure.subplots(len(chosen), len(columns), squeeze=False)
        for row, i in enumerate(chosen):
            maps = [_painted(one[i], target[i], colours) for one in (target, *said.values())]
            shown = [*(one[row] for one in pictures.values()), *maps, _apart(said, target, i)]
            for ax, one in zip(grid[row], shown, strict=True):
                _show(ax, one)
        for ax, name in zip(grid[0], columns, strict=True):
            ax.set_title(name, loc="center", fontsize=NOTE_SIZE + 0.5)
        names = [Patch(color=colour, label=one) for one, colour in zip(data.classes, colours, strict=True)]
        keys = [Patch(color=colour, label=one) for one, colour in _keys(list(said)).items()]
        figure.legend(
            handles=[*names, *keys],
            loc="outside lower center",
            ncols=_IN_A_LINE,
            fontsize=NOTE_SIZE,
            frameon=False,
            handlelength=1.0,
            columnspacing=1.0,
        )
        figure.headline(title or f"{data.name}: each row is one scene")
    return figure


def _classes(name: str, answer: Any, target: Maps) -> Maps:  # noqa: ANN401
    """Class numbers (n, H, W), also of logits."""
    values = np.asarray(answer)
    found = values.argmax(1) if values.ndim == 4 else values
    rule = f"must be class numbers {target.shape}, or logits with an axis of classes more"
    require(found.shape == target.shape, f"answers[{name!r}]", values.shape, rule)
    return found.astype(np.int64)


def _chosen(n: int, count: int, seed: int, positions: list[int] | None) -> list[int]:
    if positions is not None:
        require(len(positions) > 0, "positions", positions, "must name at least one scene")
        return [position("positions", one, n, of="the position of a scene in the split") for one in positions]
    require(whole("count", count) <= n, "count", count, f"must be at most {n}, the scenes of the split")
    order = np.random.default_rng(derive(whole("seed", seed, at_least=0), "scenes")).permutation(n)
    return [int(i) for i in order[:count]]


def _pictures(data: Any, name: str, where: Maps) -> Colours:  # noqa: ANN401
    """(n, H, W, 3) or (n, H, W), from 0 to 1 by the percentiles of what is shown."""
    values = np.asarray(data.modalities[name][where], dtype=np.float64)
    fits = values.ndim == 4 and (values.shape[1] == 1 or values.shape[1] >= 3)
    require(fits, f"modalities[{name!r}]", values.shape[1:], "must be a picture of 1 or at least 3 channels")
    values = values[:, 0] if values.shape[1] == 1 else np.moveaxis(values[:, :3], 1, -1)
    low, high = np.percentile(values, [0.5, 99.5])
    found: Colours = np.clip((values - low) / (high - low or 1.0), 0.0, 1.0)
    return found


def _colours(classes: int) -> Colours:
    """(K, 3): the first class is calm, the others are told apart as far as colours go."""
    many = colormaps["tab20"](np.arange(classes - 1) % 20)[:, :3]
    return np.concatenate([[palette.soft(palette.QUIET, 0.35)], many])


def _painted(classes: Maps, target: Maps, colours: Colours) -> Colours:
    return np.where((target < 0)[..., None], 1.0, colours[classes.clip(min=0)])


def _keys(names: list[str]) -> dict[str, str]:
    """What the colours of the last column mean, in the order of `_apart`'s numbers."""
    if len(names) < 2:
        return {"right": palette.GRID, "wrong": palette.INK}
    first, second = (f"only {one} right" for one in names[:2])
    return {
        "both right": palette.GRID,
        first: palette.TEACHER,
        second: palette.STUDENT,
        "both wrong": palette.INK,
    }


def _apart(said: Mapping[str, Maps], target: Maps, i: int) -> Colours:
    right = [one[i] == target[i] for one in list(said.values())[:2]]
    number = sum((~one) * 2**bit for bit, one in enumerate(reversed(right)))
    keys = np.array([to_rgb(colour) for colour in _keys(list(said)).values()])
    return _painted(np.asarray(number), target[i], keys)


def _show(ax: Axes, one: Colours) -> None:
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color=palette.GRID, visible=True)
    ax.imshow(one, cmap=palette.PICTURE_MAP, vmin=0.0, vmax=1.0, interpolation="nearest")
