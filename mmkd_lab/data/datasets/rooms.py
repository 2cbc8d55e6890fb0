"""rooms: small scenes in colour and depth with a class for every pixel, where it is declared which tells it.

    data = data.load("rooms", redundant=0.7, depth=0.1, rgb=0.1, synergy=0.1)
    rooms.declared(data).mean_iou("rgb")     what a network that sees colours alone can reach at most
    rooms.KINDS[(label - 1) // 2]            which sensor tells an object's class, from the class itself

`rooms_world` says what is declared, `rooms_draw` how scenes are drawn. With a student that sees colours and a
teacher that sees depth, `depth` is the teacher's own share (alpha), `rgb` the student's (beta), and
`redundant` what both see (gamma).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch

from mmkd_lab.core.check import require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import consecutive, paired
from mmkd_lab.data.datasets.recipes import Rooms
from mmkd_lab.data.datasets.rooms_draw import PLAIN, Canvas, Objects, scenes
from mmkd_lab.data.datasets.rooms_world import CLASSES, KINDS, SUFFICES, VIEWS, RoomShares
from mmkd_lab.data.making.pairing import Rows, balanced_labels
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task

__all__ = ["CLASSES", "KINDS", "SUFFICES", "VIEWS", "RoomShares", "build", "declared", "objects"]

#: The share of cells that hold an object.
_FULL = 0.85


def build(recipe: Rooms) -> PairedData:
    """The dataset. Use `data.load("rooms", ...)`.

    rgb: (N, 3, H, W) from -1 to 1 before the noise. depth: (N, 1, H, W), distances. target: (N, H, W) class
    numbers, -1 in the `void` around objects. Every split has the declared shares of its objects, to within
    one, and the two classes of a kind equally often. facts: the number of objects of each kind, by its name.

    Raises `LabError` for shares that do not add up to 1, or cells too small for an object and its void.
    """
    world, canvas = RoomShares(**{kind: getattr(recipe, kind) for kind in KINDS}), _canvas(recipe)
    sizes = (recipe.n_train, recipe.n_val, recipe.n_test)
    parts, facts = [], []
    for split, rows in consecutive(sizes).items():
        rng = np.random.default_rng(derive(recipe.seed, "rooms", split))
        found = _objects(world, len(rows), canvas.cells, rng)
        noise = (recipe.rgb_noise, recipe.depth_noise)
        parts.append(scenes(found, len(rows), canvas, noise=noise, void=recipe.void, rng=rng))
        facts.append([np.bincount(found.scene[found.kind == k], minlength=len(rows)) for k in range(4)])
    rgb, depth, label = (np.concatenate(one) for one in zip(*parts, strict=True))
    return paired(
        "rooms",
        modalities={"rgb": rgb, "depth": depth},
        target=label,
        splits=consecutive(sizes),
        classes=CLASSES,
        task=Task.DENSE,
        group=np.arange(sum(sizes)),
        recipe={**asdict(recipe), **asdict(world)},
        facts=dict(zip(KINDS, np.concatenate(facts, axis=1), strict=True)),
    )


def objects(data: PairedData) -> PairedData:
    """Every object by itself, for what takes one label a sample: estimators of shares, plain classifiers.

    rgb: (M, 3, S, S) and depth: (M, 1, S, S), its cell. target: which of its kind's two classes it is, so
    that what a view tells of it in bits is `RoomShares.information`. group: the scene, index: the cell.
    facts: 'evidence', the number of its kind. Raises `LabError` for another dataset, or a split without both
    classes.
    """
    declared(data)
    _, height, width = data.shapes["rgb"]
    canvas = Canvas(height, width, int(str(data.recipe["objects"])))
    pictures = data.batch(torch.arange(len(data))).items()
    label = canvas.cut(data.target.numpy()[:, None]).max(axis=(1, 2, 3))
    held = np.flatnonzero(label > 0)
    scene, kind = held // canvas.cells, (label[held] - 1) // 2
    group = data.sample_index.numpy()[scene]
    splits = {name: np.flatnonzero(np.isin(scene, where.numpy())) for name, where in data.splits.items()}
    return paired(
        "rooms objects",
        modalities={name: canvas.cut(one.numpy())[held] for name, one in pictures},
        target=(label[held] - 1) % 2,
        splits=splits,
        classes=("first of its kind", "second of its kind"),
        index=group * canvas.cells + held % canvas.cells,
        group=group,
        recipe=data.recipe,
        facts={"evidence": kind},
    )


def declared(data: PairedData) -> RoomShares:
    """The shares that a dataset of this kind declares. Raises `LabError` for another dataset."""
    require(data.name == "rooms", "data", data.name, "must be a dataset 'rooms'")
    given: Mapping[str, object] = data.recipe
    return RoomShares(**{kind: given[kind] for kind in KINDS})  # type: ignore[arg-type]


def _canvas(recipe: Rooms) -> Canvas:
    found = Canvas(recipe.height, recipe.width, recipe.objects)
    least = 8 + 2 * recipe.void
    shown, rule = f"{recipe.objects}, cells of {found.side} pixels", f"must leave cells of at least {least}"
    require(found.side >= least, "objects", shown, rule, "Use fewer objects, or larger scenes.")
    return found


def _objects(world: RoomShares, n: int, cells: int, rng: np.random.Generator) -> Objects:
    """The objects of n scenes, in random order."""
    places = np.sort(rng.permutation(n * cells)[: max(1, round(_FULL * n * cells))])
    kind = rng.permutation(np.repeat(np.arange(4), _counts(world, len(places))))
    which = np.zeros(len(kind), dtype=np.int64)
    for number in range(4):
        which[kind == number] = balanced_labels(int((kind == number).sum()), 2, rng)
    chance = rng.integers(0, 2, len(kind))
    # Of the parity's objects the colour is chance, and the height what then makes the class.
    colour = np.choose(kind, [which, PLAIN, which, chance])
    height = np.choose(kind, [PLAIN, which, which, which ^ chance])
    return Objects(places // cells, places % cells, kind, 1 + 2 * kind + which, colour, height)


def _counts(world: RoomShares, objects: int) -> Rows:
    """How many objects there are of each kind, by largest remainders."""
    quota = objects * np.array(list(world.shares.values()))
    found = np.floor(quota + 1e-9).astype(np.int64)
    largest = np.argsort(found - quota, kind="stable")
    found[largest[: objects - found.sum()]] += 1
    return found
