"""eo_patch: one satellite scene of eo-learn's example data, in optical bands and height, with land cover.

A scene of 101 × 100 pixels is cut into square blocks; a block is a sample, and blocks, never pixels, are
split. Blocks beside each other are alike, and all are of one place on a few days: what is found here is about
this scene alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import consecutive, facts_of, paired
from mmkd_lab.data.content import array_set
from mmkd_lab.data.datasets.recipes import EoPatch
from mmkd_lab.data.making.scale import on_grid
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task

#: The numbers in the file of the classes that are kept; the others have too few pixels (at most 11).
NUMBERS = (2, 3, 4, 8)
CLASSES = ("forest", "grassland", "shrubland", "artificial surface")


def build(recipe: EoPatch) -> PairedData:
    """The dataset. Use `data.load("eo_patch", ...)`.

    optical: (N, 65, S, S) reflectances of 5 dates by 13 bands. height: (N, 3, S, S) metres, and their slopes
    downwards and to the right. Each channel is standardised by the pixels of the training blocks, rounded to
    a grid. target: (N, S, S), -1 where the file has no class or one that is left out. Blocks in the order in
    which they were drawn; index: the number of the block, row by row; pixels beyond the last whole block are
    dropped. Slopes at the rim of a block look one pixel into the next.

    Raises `DamagedFile` when the file is missing or damaged.
    """
    found, side = array_set("eo_patch", mirror=recipe.mirror, path=recipe.path), recipe.block
    height = found["height"].astype(np.float64)
    layers = {
        "optical": found["optical"].reshape(-1, *height.shape).astype(np.float64),
        "height": np.stack([height, *np.gradient(height)]),
    }
    kept = np.full(256, -1, dtype=np.int64)
    kept[list(NUMBERS)] = np.arange(len(NUMBERS))
    target = _blocks(kept[found.whole("label")][None], side)[:, 0]
    order = np.random.default_rng(derive(recipe.seed, "eo_patch", "split")).permutation(len(target))
    n_train, n_val = (round(share * len(order)) for share in (1 - recipe.val - recipe.test, recipe.val))
    splits = consecutive((n_train, n_val, len(order) - n_train - n_val))
    return paired(
        "eo_patch",
        modalities={
            name: _standard(_blocks(one, side)[order], splits["train"]) for name, one in layers.items()
        },
        target=target[order],
        splits=splits,
        classes=CLASSES,
        task=Task.DENSE,
        index=order,
        recipe=facts_of(recipe, [found.file]),
    )


def _blocks(layers: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.generic]:
    """(C, H, W) -> (N, C, side, side), row by row."""
    c, rows, columns = len(layers), layers.shape[1] // side, layers.shape[2] // side
    cut = layers[:, : rows * side, : columns * side].reshape(c, rows, side, columns, side)
    return np.moveaxis(cut, (1, 3), (0, 1)).reshape(-1, c, side, side)


def _standard(blocks: npt.NDArray[np.generic], train: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    values = blocks.astype(np.float64)
    mean, sd = (f(values[train], axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    return on_grid((values - mean) / np.where(sd > 0, sd, 1.0))
