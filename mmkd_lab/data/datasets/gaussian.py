"""MFH's Gaussian worlds: paired data whose shares alpha, beta and gamma are declared, not estimated.

    worlds(FIGURE2, range(10))      60 worlds at once, stacked along a leading axis
    worlds(FIGURE2, range(10))[3]   one of them as paired data

`World` says what a world is; here its numbers are drawn, exactly as published. Source: Xue et al. 2023 (MFH).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import SPLITS, paired
from mmkd_lab.data.datasets import recipes
from mmkd_lab.data.datasets.gaussian_world import (
    FIGURE2,
    FIGURE3,
    PARTS,
    TABLE2,
    VIEWS,
    World,
    bayes_accuracy,
    information,
)
from mmkd_lab.data.paired import PairedData

__all__ = [
    "FIGURE2",
    "FIGURE3",
    "PARTS",
    "TABLE2",
    "VIEWS",
    "World",
    "Worlds",
    "bayes_accuracy",
    "build",
    "information",
    "worlds",
]

Floats = npt.NDArray[np.float32]

#: The released code draws this many hyperplane coordinates, whatever the number of latents.
_DRAWN_HYPERPLANE = 500
_LARGEST_NUMPY_SEED = 2**32 - 1
_MOST_VALUES = 10**10


@dataclass(frozen=True, eq=False)
class Worlds:
    """W worlds of one shape, stacked along a leading axis, with the world and the seed that made each.

    a: (W, N, width_a), N = n_train + n_val + n_test in this order. b: (W, N, width_b). target: (W, N) int64,
    0 or 1. hyperplane: the actual delta of each, (latents,) float64.
    """

    specs: tuple[World, ...]
    seeds: tuple[int, ...]
    a: Floats
    b: Floats
    target: npt.NDArray[np.int64]
    hyperplane: tuple[npt.NDArray[np.float64], ...]

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def _splits(self) -> list[str]:
        return [name for name in SPLITS if name != "val" or self.specs[0].n_val]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when any value or label of any world changes."""
        return digest_arrays([("a", self.a), ("b", self.b), ("target", self.target)])

    def rows(self, split: str) -> slice:
        """The samples of a split. Raises `LabError` when there is none of this name."""
        first = self.specs[0]
        one_of("split", split, self._splits)
        ends = {"train": first.n_train, "val": first.n_train + first.n_val}
        begin = {"train": 0, "val": first.n_train, "test": ends["val"]}[split]
        return slice(begin, ends.get(split, first.n_train + first.n_val + first.n_test))

    def modality(self, view: str) -> Floats:
        """(W, N, width) of view 'a', 'b' or 'ab' (both side by side)."""
        one_of("view", view, ("a", "b", "ab"))
        return {"a": self.a, "b": self.b}[view] if view != "ab" else np.concatenate([self.a, self.b], axis=2)

    def only(self, modality: str, *parts: str) -> Worlds:
        """The same worlds, every column of a modality outside `parts` set to 0: nothing is learned of it.

        `worlds.only("a", "shared")` gives the modality-general teacher of MFH's Table 2.
        """
        one_of("modality", modality, ("a", "b"))
        require(len(parts) > 0, "parts", parts, f"must name at least one of {check.listing(PARTS)}")
        full = self.modality(modality)
        kept = np.zeros_like(full)
        for i, spec in enumerate(self.specs):
            columns = np.concatenate([spec.columns(modality, part) for part in parts])
            kept[i][:, columns] = full[i][:, columns]
        return replace(self, a=kept) if modality == "a" else replace(self, b=kept)

    def bayes_accuracy(self, view: str) -> npt.NDArray[np.float64]:
        """(W,) percent, from the actual hyperplanes; see `World.bayes_accuracy`."""
        return np.array([s.bayes_accuracy(view, d) for s, d in zip(self.specs, self.hyperplane, strict=True)])

    def information(self, view: str) -> npt.NDArray[np.float64]:
        """(W,) bits, from the actual hyperplanes; see `World.information`."""
        return np.array([s.information(view, d) for s, d in zip(self.specs, self.hyperplane, strict=True)])

    def __iter__(self) -> Iterator[PairedData]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> PairedData:
        """World i with modalities 'a' and 'b'. Raises `LabError` when there is no such world."""
        back = isinstance(i, int) and -len(self) <= i < 0
        i = check.position("i", i + len(self) if back else i, len(self), of="a world's position")
        positions = np.arange(self.a.shape[1])
        return paired(
            "gaussian",
            modalities={"a": self.a[i], "b": self.b[i]},
            target=self.target[i],
            splits={name: positions[self.rows(name)] for name in self._splits},
            classes=("negative", "positive"),
            recipe={**asdict(self.specs[i]), "seed": self.seeds[i]},
        )


#: Numbers drawn before, by what determines them: a dict that the caller keeps and empties.
Pool = dict[tuple[object, ...], "_Draws"]


def worlds(specs: World | Iterable[World], seeds: Iterable[int], *, pool: Pool | None = None) -> Worlds:
    """Draw every world for every seed: W = specs x seeds, the seeds of the first world first.

    Worlds that differ in their shares alone are made of the same numbers; with a `pool` these are drawn once
    for many calls.

    Raises `LabError` for no world, worlds that differ in widths or sample counts, or a bad seed.
    """
    kinds = _kinds(specs)
    chosen = check.seeds("seeds", seeds)
    require(max(chosen) < _LARGEST_NUMPY_SEED, "seeds", max(chosen), f"must be below {_LARGEST_NUMPY_SEED}")
    pool = {} if pool is None else pool
    width_a, width_b, *counts = kinds[0].shape
    size, n = len(kinds) * len(chosen), sum(counts)
    held = size * n * (width_a + width_b) + n * max(kind.latents for kind in kinds)
    rule = f"must come to at most {_MOST_VALUES:,} values, 40 GB; these need {held:.3g}"
    require(held <= _MOST_VALUES, "specs and seeds", f"{len(kinds)} and {len(chosen)}", rule, "Ask for less.")
    a, b = (np.empty((size, n, width), dtype=np.float32) for width in (width_a, width_b))
    target = np.empty((size, n), dtype=np.int64)
    deltas = []
    for i, (spec, seed) in enumerate((spec, seed) for spec in kinds for seed in chosen):
        key = (seed, spec.latents, spec.hyperplane, spec.stream, spec.shape)
        drawn = pool.get(key) or pool.setdefault(key, _draw(spec, seed))
        a[i], b[i], target[i] = drawn.noise_a, drawn.noise_b, drawn.target
        seen_a, seen_b = (drawn.latents[:, spec.seen(view)] for view in ("a", "b"))
        a[i][:, spec.offset_a : spec.offset_a + seen_a.shape[1]] = seen_a
        b[i][:, : seen_b.shape[1]] = seen_b
        deltas.append(drawn.hyperplane)
    repeated = tuple(spec for spec in kinds for _ in chosen)
    return Worlds(repeated, chosen * len(kinds), a, b, target, tuple(deltas))


def build(recipe: recipes.Gaussian) -> PairedData:
    """The dataset: one world, modalities 'a' and 'b'. Use `data.load("gaussian", ...)`."""
    world = World(**{one.name: getattr(recipe, one.name) for one in fields(World)})
    return worlds(world, [recipe.seed])[0]


def _kinds(specs: World | Iterable[World]) -> tuple[World, ...]:
    rule, way_out = "a World or a list of them", "For example FIGURE2, or World(...)."
    listed = [specs] if isinstance(specs, World) else check.flat("specs", specs, rule, way_out)
    kinds = tuple(check.of_type("specs", spec, World, rule, way_out) for spec in listed)
    require(len(kinds) > 0, "specs", kinds, "must hold at least one world")
    rule = f"must agree in widths and sample counts, {kinds[0].shape} in the first"
    for kind in kinds:
        require(kind.shape == kinds[0].shape, "specs", kind.shape, rule, "Call worlds() once for each shape.")
    return kinds


@dataclass(frozen=True)
class _Draws:
    hyperplane: npt.NDArray[np.float64]
    latents: Floats
    noise_a: Floats
    noise_b: Floats
    target: npt.NDArray[np.int64]


def _draw(spec: World, seed: int) -> _Draws:
    """Replay numpy's legacy stream of a seed.

    'figures': the hyperplane, then for each set latents, noise of b, noise of a; the test set is seeded anew.
    'table2': for each set latents, noise of a, noise of b, all in one stream.
    """
    stream = np.random.RandomState(seed)
    delta = np.ones(spec.latents)
    if spec.hyperplane == "random":
        delta = stream.randn(max(_DRAWN_HYPERPLANE, spec.latents))[: spec.latents]
    sets = [_draw_set(spec, stream, n) for n in (spec.n_train, spec.n_val) if n]
    sets.append(_draw_set(spec, _test_stream(spec, seed, stream), spec.n_test))
    z, noise_b, noise_a = (np.concatenate(rows) for rows in zip(*sets, strict=True))
    target = (z @ delta > 0).astype(np.int64)
    return _Draws(delta, z.astype(np.float32), noise_a.astype(np.float32), noise_b.astype(np.float32), target)


def _draw_set(spec: World, stream: np.random.RandomState, n: int) -> tuple[npt.NDArray[np.float64], ...]:
    z = stream.randn(n, spec.latents)
    if spec.stream == "table2":
        noise_a = stream.randn(n, spec.width_a)
        return z, stream.randn(n, spec.width_b), noise_a
    return z, stream.randn(n, spec.width_b), stream.randn(n, spec.width_a)


def _test_stream(spec: World, seed: int, stream: np.random.RandomState) -> np.random.RandomState:
    if spec.stream == "table2":
        return stream
    if spec.stream == "figures":
        return np.random.RandomState(seed + 1)
    return np.random.RandomState(derive(seed, "gaussian", "test") % 2**32)
