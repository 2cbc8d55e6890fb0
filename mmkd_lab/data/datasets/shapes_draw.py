"""The pictures of shapes_vl: one large shape in a colour, small shapes that mean nothing, noise.

Values run from -1 (black) to 1 (white); the background is mid grey, so that 0 everywhere is an empty picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.data.making.pairing import Rows
from mmkd_lab.data.making.scale import on_grid

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]

#: By number; shape s begins the count of class s.
SHAPES = ("square", "triangle", "disc", "cross")
#: Red, green and blue from 0 to 1, by class; the last is the colour that means no class.
COLOURS: Floats = np.array(
    [[0.85, 0.12, 0.12], [0.10, 0.60, 0.20], [0.15, 0.30, 0.90], [0.95, 0.85, 0.10], [0.95, 0.95, 0.95]]
)
PLAIN = 4
#: Violet, cyan and pink: of the small shapes, never of a class.
OTHERS: Floats = np.array([[0.50, 0.20, 0.70], [0.10, 0.75, 0.80], [0.95, 0.55, 0.75]])
BACKGROUND = 0.5
#: Half the side of the large shape and of the small ones, as a share of the picture's side.
LARGE, SMALL = (0.20, 0.26), 0.09


def mask(shape: str, size: int, top: Floats, left: Floats, half: Floats) -> Masks:
    """(N, size, size): the pixels of a shape with its centre at (top, left), `half` pixels to each side."""
    pixel = np.arange(size) + 0.5
    down = (pixel[None, :, None] - top[:, None, None]) / half[:, None, None]
    right = (pixel[None, None, :] - left[:, None, None]) / half[:, None, None]
    inside = (np.abs(down) <= 1) & (np.abs(right) <= 1)
    if shape == "square":
        return np.asarray(inside)
    if shape == "disc":
        return np.asarray(down**2 + right**2 <= 1)
    if shape == "triangle":
        return np.asarray(inside & (2 * np.abs(right) <= down + 1))
    return np.asarray(inside & ((np.abs(down) <= 0.34) | (np.abs(right) <= 0.34)))


def pictures(
    shape: Rows, colour: Rows, *, size: int, noise: float, distractors: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(N, 3, size, size) from -1 to 1 before the noise. The large shape is on top and whole.

    Args:
        shape: (N,) numbers of `SHAPES`.
        colour: (N,) rows of `COLOURS`.
        size: height and width in pixels.
        noise: sd of Gaussian noise where white is 1 and black is 0.
        distractors: small shapes in each picture.
        rng: the stream of places, sizes and noise.
    """
    n = len(shape)
    canvas = np.full((n, size, size, 3), BACKGROUND)
    for _ in range(distractors):
        half = np.full(n, SMALL * size)
        places = [rng.uniform(half, size - half) for _ in range(2)]
        _paint(canvas, rng.integers(0, len(SHAPES), n), places, half, OTHERS[rng.integers(0, len(OTHERS), n)])
    half = rng.uniform(*LARGE, n) * size
    _paint(canvas, shape, [rng.uniform(half, size - half) for _ in range(2)], half, COLOURS[colour])
    canvas += noise * rng.standard_normal(canvas.shape)
    return on_grid(np.ascontiguousarray(np.moveaxis(2.0 * canvas - 1.0, -1, 1)))


def _paint(canvas: Floats, shape: Rows, places: list[Floats], half: Floats, colour: Floats) -> None:
    top, left = places
    for number, name in enumerate(SHAPES):
        rows = np.flatnonzero(shape == number)
        found = mask(name, canvas.shape[1], top[rows], left[rows], half[rows])
        which, down, right = np.nonzero(found)
        canvas[rows[which], down, right] = colour[rows[which]]
