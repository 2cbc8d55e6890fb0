"""Pictures with their text: every panel is one sample, its label above and what was written below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from mmkd_lab.core.check import LabError, flat, one_of, position, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.canvas import NOTE_SIZE, LabFigure, style
from mmkd_lab.plotting.pairs import Paired

_WIDTH = 8.4  # inches
_LINE = 0.15  # inches of a line of text
_MOST_LABELS = 3


class Captioned(Paired, Protocol):
    """What the gallery needs of a dataset; `data.PairedData` has it."""

    def caption(self, modality: str, position: int) -> str: ...  # noqa: D102


def captions_figure(
    data: Captioned,
    *,
    count: int = 8,
    split: str = "train",
    seed: int = 0,
    positions: Sequence[int] | None = None,
    image: str = "image",
    text: str = "text",
    notes: Sequence[str] | None = None,
    lines: int = 4,
    title: str | None = None,
) -> LabFigure:
    """Samples of an image and a text modality: the picture, its label, and the text.

    Args:
        data: a dataset with pictures (N, C, H, W) and a modality of text. Of one channel grey is shown, of
            more the first three as red, green and blue.
        count: how many samples, drawn from the split with as many different labels as possible.
        split: where they are drawn from.
        seed: which ones are drawn.
        positions: exactly these samples instead of drawn ones.
        image: the modality of pictures.
        text: the modality of text.
        notes: a remark for each sample, behind its label.
        lines: lines of text at most; what does not fit ends in '…'.
        title: the headline; by default the dataset's name and what a panel is.

    Raises:
        LabError: no dataset with captions, an unknown split or modality, a position out of range, pictures
            of another shape, or another number of notes than samples.
    """
    lacking = [
        name for name in ("modalities", "target", "classes", "splits", "caption") if not hasattr(data, name)
    ]
    require(not lacking, "data", type(data).__name__, f"must be a PairedData; this has no {lacking}")
    one_of("image", image, list(data.modalities))
    whole("lines", lines)
    chosen = _drawn(data, count, split, seed) if positions is None else _checked(data, positions)
    remarks = _notes(notes, len(chosen))
    pictures = _pictures(image, data.modalities[image], chosen)
    said = [data.caption(text, one) for one in chosen]
    tall, wide = pictures.shape[1:3]
    columns = min(len(chosen), 2 if wide > 2 * tall else 4)
    rows = -(-len(chosen) // columns)
    room = _WIDTH / columns - 0.25
    most = min(lines, max(-(-len(one) // int(room * 13)) + 1 for one in said))
    figure = LabFigure((_WIDTH, 0.6 + rows * (room * tall / wide + 0.4 + _LINE * most)))
    with style():
        grid = figure.subplots(rows, columns, squeeze=False)
        low, high = (float(v) for v in np.percentile(pictures, [0.5, 99.5]))
        scaled = np.clip((pictures - low) / (high - low if high > low else 1.0), 0.0, 1.0)
        for ax in grid.flat[len(chosen) :]:
            ax.remove()
        for ax, one, words, remark, where in zip(grid.flat, scaled, said, remarks, chosen, strict=False):
            _panel(ax, one)
            above = figure.fit(
                _label(data, where) + remark, size=NOTE_SIZE, weight="bold", share=0.93 / columns
            )
            ax.set_title(above, loc="center", fontsize=NOTE_SIZE)
            ax.set_xlabel(_cut(figure, words, 0.93 / columns, lines), fontsize=NOTE_SIZE)
        figure.headline(title or f"{data.name}: each panel is one sample, its label above, its text below")
    return figure


def _panel(ax: Axes, one: npt.NDArray[np.float64]) -> None:
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color=palette.GRID)  # a white picture needs an edge
    ax.imshow(one, cmap=palette.PICTURE_MAP, vmin=0.0, vmax=1.0, interpolation="nearest")


def _cut(figure: LabFigure, words: str, share: float, lines: int) -> str:
    broken = figure.fit(words, size=NOTE_SIZE, share=share).split("\n")
    if len(broken) <= lines:
        return "\n".join(broken)
    last = broken[lines - 1]
    return "\n".join([*broken[: lines - 1], f"{last.rsplit(' ', 1)[0]} …"])


def _pictures(name: str, values: Any, chosen: list[int]) -> npt.NDArray[np.float64]:  # noqa: ANN401 - tensor or array
    picked = np.asarray(values[chosen], dtype=np.float64)
    if picked.ndim != 4 or picked.shape[1] not in (1, 3, 4):
        raise LabError(f"modalities[{name!r}]", picked.shape[1:], "must be pictures of 1, 3 or 4 channels")
    planes = np.moveaxis(picked, 1, -1)
    return planes[..., 0] if picked.shape[1] == 1 else planes[..., :3]


def _label(data: Captioned, where: int) -> str:
    label = np.asarray(data.target[where])
    if label.ndim == 0:
        return data.classes[int(label)]
    names = [data.classes[k] for k in np.flatnonzero(label > 0.5)]
    more = f" and {len(names) - _MOST_LABELS} more" if len(names) > _MOST_LABELS else ""
    return ", ".join(names[:_MOST_LABELS]) + more if names else "(no label)"


def _notes(notes: Sequence[str] | None, count: int) -> list[str]:
    if notes is None:
        return [""] * count
    listed = flat("notes", notes, "a list of remarks")
    require(
        len(listed) == count, "notes", f"{len(listed)} remarks", f"must be one for each of {count} samples"
    )
    return [f" ({one})" for one in listed]


def _drawn(data: Captioned, count: int, split: str, seed: int) -> list[int]:
    whole("count", count)
    one_of("split", split, list(data.splits))
    pool = np.asarray(data.splits[split])
    require(count <= len(pool), "count", count, f"must be at most {len(pool)}, the size of split {split!r}")
    order = np.random.default_rng(derive(whole("seed", seed, at_least=0), "captions")).permutation(pool)
    rows = np.asarray(data.target)[order].reshape(len(order), -1)
    _, label = np.unique(rows, axis=0, return_inverse=True)
    turn = np.zeros(len(order), dtype=np.int64)  # how many of its label came before a sample
    for one in np.unique(label):
        turn[label.reshape(-1) == one] = np.arange(int((label == one).sum()))
    first = np.lexsort((np.arange(len(order)), turn))[:count]
    return [int(order[i]) for i in first]


def _checked(data: Captioned, positions: Sequence[int]) -> list[int]:
    listed = flat("positions", positions, "a list of positions")
    require(len(listed) > 0, "positions", positions, "must name at least one sample")
    return [position("positions", one, len(data.target), of="the position of a sample") for one in listed]
