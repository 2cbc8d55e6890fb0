"""The scenes of rooms: objects on a floor, as a colour picture, as depth, and as a map of classes.

A scene is cut into square cells, and each cell may hold one object. All scenes are drawn together, cell by
cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.data.datasets.shapes_draw import SHAPES, mask
from mmkd_lab.data.making.pairing import Rows
from mmkd_lab.data.making.scale import on_grid

Floats = npt.NDArray[np.float64]
Pictures = npt.NDArray[np.float32]

#: Red, green and blue from 0 to 1: red, blue, and what says nothing.
COLOURS: Floats = np.array([[0.80, 0.25, 0.25], [0.25, 0.30, 0.85], [0.70, 0.70, 0.70]])
#: Above the floor: low, high, and what says nothing.
HEIGHTS: Floats = np.array([0.4, 0.8, 0.6])
#: The number, in `COLOURS` and `HEIGHTS`, of what says nothing.
PLAIN = 2
#: Half the side of an object, as a share of its cell's side without the void.
HALF = (0.34, 0.48)
#: How dark or bright the floor is, how bright the light, and how far the floor falls to a side, in units of
#: height.
_FLOOR, _LIGHT, _TILT = (0.25, 0.45), (0.85, 1.15), 0.3


@dataclass(frozen=True, eq=False)
class Objects:
    """Columns of objects: scene, cell, kind, class number, and rows of `COLOURS` and `HEIGHTS`."""

    scene: Rows
    cell: Rows
    kind: Rows
    label: Rows
    colour: Rows
    height: Rows


@dataclass(frozen=True)
class Canvas:
    """Scenes of so many pixels, cut into `rows` times `columns` cells of `side` pixels."""

    height: int
    width: int
    objects: int

    @property
    def side(self) -> int:
        """Of a cell."""
        return min(self.height, self.width) // self.objects

    @property
    def columns(self) -> int:
        """Cells beside each other."""
        return self.width // self.side

    @property
    def cells(self) -> int:
        """Of a scene."""
        return (self.height // self.side) * self.columns

    def cut(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """(N, C, H, W) -> (N · cells, C, side, side), cell by cell of one scene after the other."""
        (n, c), s, down = values.shape[:2], self.side, self.height // self.side
        whole = values[..., : down * s, : self.columns * s].reshape(n, c, down, s, self.columns, s)
        return np.moveaxis(whole, (2, 4), (1, 2)).reshape(-1, c, s, s)


def scenes(
    found: Objects,
    n: int,
    canvas: Canvas,
    *,
    noise: tuple[float, float],
    void: int,
    rng: np.random.Generator,
) -> tuple[Pictures, Pictures, Rows]:
    """(n, 3, H, W) colours from -1 to 1 and (n, 1, H, W) distances before the noise, (n, H, W) class numbers.

    noise: its sd in colours, where white is 1 and black 0, and in distances, where a high object stands 0.4
    nearer than a low one. void: pixels around each object that have no class, -1.
    """
    h, w = canvas.height, canvas.width
    colour = np.broadcast_to(rng.uniform(*_FLOOR, n)[:, None, None, None], (n, h, w, 3)).copy()
    height, label = np.zeros((n, h, w)), np.zeros((n, h, w), dtype=np.int64)
    for cell in range(canvas.cells):
        some = np.flatnonzero(found.cell == cell)
        inside, around = _outlines(found.kind[some], canvas.side, void, rng)
        top, left = (canvas.side * part for part in divmod(cell, canvas.columns))
        at = (found.scene[some], slice(top, top + canvas.side), slice(left, left + canvas.side))
        colour[at] = np.where(inside[..., None], COLOURS[found.colour[some]][:, None, None], colour[at])
        height[at] = np.where(inside, HEIGHTS[found.height[some]][:, None, None], height[at])
        label[at] = np.where(inside, found.label[some][:, None, None], np.where(around, -1, label[at]))
    colour *= rng.uniform(*_LIGHT, n)[:, None, None, None]
    colour += noise[0] * rng.standard_normal(colour.shape)
    fall = rng.uniform(-_TILT, _TILT, (n, 2))
    down, right = (np.arange(side) / side - 0.5 for side in (h, w))
    distance = fall[:, 0, None, None] * down[:, None] + fall[:, 1, None, None] * right - height
    distance += noise[1] * rng.standard_normal(distance.shape)
    return (
        on_grid(np.ascontiguousarray(np.moveaxis(2.0 * colour - 1.0, -1, 1))),
        on_grid(distance[:, None]),
        label,
    )


def _outlines(
    kind: Rows, side: int, void: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(m, side, side) the pixels of objects of these kinds, each in its cell, and those around them."""
    half = rng.uniform(*HALF, len(kind)) * (side - 2 * void)
    room = side / 2 - half - void
    top, left = (side / 2 + rng.uniform(-room, room) for _ in range(2))
    inside, wide = (np.zeros((len(kind), side, side), dtype=bool) for _ in range(2))
    for number, shape in enumerate(SHAPES):
        some = kind == number
        inside[some] = mask(shape, side, top[some], left[some], half[some])
        for down in range(-void, void + 1):
            for right in range(-void, void + 1):
                wide[some] |= mask(shape, side, top[some] + down, left[some] + right, half[some])
    return inside, wide & ~inside
