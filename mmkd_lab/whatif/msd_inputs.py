"""One sample of the MSD panel: what the networks read of each modality, and what of it counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmkd_lab.data.text import PAD
from mmkd_lab.plotting.pairs import is_sound
from mmkd_lab.plotting.palette import (
    AGAINST,
    ATTRIBUTION_MAP,
    FOR,
    INK,
    PAPER,
    PICTURE_MAP,
    QUIET,
    SPECTROGRAM_MAP,
)
from mmkd_lab.whatif.msd_draw import COLOUR, WIDTH, called, headline
from mmkd_lab.whatif.msd_sample import WHO, Numbers, Sample
from mmkd_lab.whatif.msd_state import INSTEAD
from mmkd_lab.whatif.msd_train import Trained
from mmkd_lab.whatif.scene import Area, Label, Mark, Path, Pixels, Point, Scene, lines, text_width

_TEXT = 72.0  # where words begin


def pixels(
    values: Numbers, low: float, high: float, colours: str, *, up: bool = False
) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, 3) values as colours; the first row lowest where `up`."""
    from matplotlib import colormaps

    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    seen = share if share.ndim == 3 else colormaps[colours](share)[..., :3]
    found: npt.NDArray[np.uint8] = np.ascontiguousarray(
        np.round(255 * (seen[::-1] if up else seen)), dtype=np.uint8
    )
    return found


def plane(values: Numbers, *, sums: bool = False) -> Numbers:
    """One sample as a picture: three channels in colour, others meaned, or all summed up for `sums`."""
    if values.ndim < 2:
        return values.reshape(1, -1)
    if values.ndim == 2:
        return values
    if values.ndim == 3 and len(values) == 3 and not sums:
        return np.moveaxis(values, 0, -1)
    if values.ndim == 3:
        return np.asarray(values.sum(0) if sums else values.mean(0))
    return values.reshape(len(values), -1)


def inputs(trained: Trained, sample: Sample, removal: str) -> Scene:
    """What the networks get of each modality, and beside it what counts for the true class."""
    label = trained.data.classes[sample.label]
    title = f"Sample {sample.place} of {sample.of}: class “{label}”"
    marks: list[Mark] = [headline(title)]
    y = 34.0
    for name in trained.modalities:
        text = name in trained.data.vocabularies
        head = (
            name if name in sample.seen else f"{name}, removed: {_instead(removal, text=text)} in its place"
        )
        marks.append(Label(12, y + 14, head, 12, INK, bold=True))
        draw = _text if text else _plane
        drawn, height = draw(trained, sample, name)
        part = Scene(WIDTH, height, tuple(drawn))
        marks += part.moved(0, y + 20)
        y += height + 24
    note = f"Green, + and a whole line count for “{label}”; purple, − and a dashed line against it (logits)."
    marks += lines(note, 12, y + 12, WIDTH - 24, size=10.5, colour=QUIET)
    left = called(sample.seen, trained.modalities)
    return Scene(WIDTH, y + 34, tuple(marks), f"{title}, given {left}, with attribution maps.")


def _instead(removal: str, *, text: bool) -> str:
    return "padding" if text and removal == "zeros" else INSTEAD[removal]


def _limit(sample: Sample, name: str, share: float) -> float:
    """Where the colour scale of a modality's two maps ends."""
    both = np.concatenate([np.abs(plane(sample.maps[who][name], sums=True)).ravel() for who in WHO])
    return float(np.percentile(both, share)) or 1.0


def _plane(trained: Trained, sample: Sample, name: str) -> tuple[list[Mark], float]:
    seen, up = plane(sample.x[name]), is_sound(name)
    width = 128.0
    height = float(np.clip(width * seen.shape[0] / seen.shape[1], 28.0, width))
    look = SPECTROGRAM_MAP if up else PICTURE_MAP
    x, marks = 12.0, list[Mark]()
    marks.append(Label(x, 12, "the networks read", 10.5, QUIET))
    marks.append(Pixels(x, 18, width, height, pixels(seen, *trained.ranges[name], look, up=up)))
    if name not in sample.seen:
        return [*marks, *_crossed(x, 18, width, height)], height + 24
    limit = _limit(sample, name, 99.5)
    for i, who in enumerate(WHO):
        left, found = x + (width + 10) * (i + 1), plane(sample.maps[who][name], sums=True)
        head = f"{who}: {found.sum():+.2f} in all".replace("-", "−")
        marks.append(Label(left, 12, head, 10.5, COLOUR[who], bold=True))
        shown = pixels(found, -limit, limit, ATTRIBUTION_MAP, up=up)
        marks.append(Pixels(left, 18, width, height, shown))
        marks += _strongest((found[::-1] if up else found) / limit, (left, 18), (width, height))
    return marks, height + 24


def _strongest(found: Numbers, at: Point, size: tuple[float, float]) -> list[Mark]:
    """A sign at the cell that counts most for the class, and at the one most against it."""
    rows, columns = found.shape
    marks: list[Mark] = []
    for sign, cell in (("+", int(found.argmax())), ("−", int(found.argmin()))):
        value = float(found.ravel()[cell])
        if (value > 0) == (sign == "+") and value:
            x = at[0] + size[0] * (cell % columns + 0.5) / columns
            y = at[1] + size[1] * (cell // columns + 0.5) / rows
            colour = PAPER if abs(value) > 0.6 else INK
            marks.append(Label(x, y + 5, sign, 15, colour, "middle", bold=True))
    return marks


def _crossed(x: float, y: float, width: float, height: float) -> list[Mark]:
    ends: list[tuple[Point, Point]] = [((x, y), (x + width, y + height)), ((x, y + height), (x + width, y))]
    box = ((x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y))
    crossed: list[Mark] = [Path(each, AGAINST, 2.0) for each in ends]
    words = Label(x + width + 20, y + height / 2 + 4, "removed: nothing of it to explain", 11, QUIET)
    return [Path(box, QUIET, 1.0), *crossed, words]


def _text(trained: Trained, sample: Sample, name: str) -> tuple[list[Mark], float]:
    """The words, twice: coloured and marked by what counts for teacher and student; struck out if removed."""
    words = trained.data.vocabularies[name].words
    said = [(i, words[int(one)]) for i, one in enumerate(sample.given[name]) if int(one) != PAD]
    if name not in sample.seen:
        return _tokens([word for _, word in said], None, 1.0, 0.0)
    limit, y, marks = _limit(sample, name, 100.0), 0.0, list[Mark]()
    for who in WHO:
        marks.append(Label(12, y + 16, who, 11, COLOUR[who], bold=True))
        values = [float(sample.maps[who][name][i]) for i, _ in said]
        drawn, height = _tokens([word for _, word in said], values, limit, y)
        marks, y = [*marks, *drawn], y + height
    return marks, y


def _tokens(
    words: Sequence[str], values: Sequence[float] | None, limit: float, top: float
) -> tuple[list[Mark], float]:
    """Label in lines from `top` on, coloured by their values, or struck out: marks, and their height."""
    x, y, marks = _TEXT, top + 16, list[Mark]()
    for i, word in enumerate(words):
        number = "" if values is None else f"{values[i]:+.2f}".replace("-", "−")
        width = max(text_width(word, 12.0), text_width(number, 9.5)) + 8
        if x + width > WIDTH - 8 and x > _TEXT:
            x, y = _TEXT, y + (20 if values is None else 36)
        if values is None:
            marks += [Label(x + 4, y, word, 12, QUIET), Path(((x, y - 4), (x + width, y - 4)), AGAINST, 1.6)]
        else:
            marks += _token(word, number, (x, y, width), values[i] / limit)
        x += width + 4
    return marks, y + (8 if values is None else 22) - top


def _token(word: str, number: str, at: tuple[float, float, float], share: float) -> list[Mark]:
    x, y, width = at
    colour = FOR if share >= 0 else AGAINST
    box = [(x, y - 13), (x + width, y - 13), (x + width, y + 4), (x, y + 4)]
    return [
        Area(box, colour, 0.5 * min(abs(share), 1.0)),
        Path(((x, y + 5), (x + width, y + 5)), colour, 1.8, dashed=share < 0),
        Label(x + width / 2, y, word, 12, INK, "middle"),
        Label(x + width / 2, y + 17, number, 9.5, colour, "middle"),
    ]
