"""How the compiled loop is cut to a processor: vectors, registers, and the tiles that fit them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import llvmlite.binding


@dataclass(frozen=True)
class Machine:
    """What tiles are cut to: floats in a vector, vector registers, most runs that share a load."""

    lanes: int
    registers: int
    most_runs: int


@functools.cache
def machine() -> Machine:
    """The vector unit of this processor."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return Machine(lanes=16, registers=32, most_runs=8)
    if features.get("avx"):
        return Machine(lanes=8, registers=16, most_runs=6)
    return Machine(lanes=4, registers=32 if features.get("neon") else 16, most_runs=4)


@dataclass(frozen=True)
class Tile:
    """The register tiles for a group of runs: `samples` vectors by runs, and `features` by runs."""

    runs: int
    samples: int
    features: int
    lanes: int

    @classmethod
    def fit(cls, unit: Machine, *, runs: int, blocks: int, features: int) -> Tile:
        """The largest tiles whose accumulators and operands stay in registers, evened out over the input."""
        most_samples = max(1, min(14, (unit.registers - 2) // (runs + 1)))
        most_features = max(1, min(unit.lanes, unit.registers // 2) // runs)
        return cls(runs, _even(blocks, most_samples), _even(features, most_features), unit.lanes)


def _even(total: int, most: int) -> int:
    """The tile size that covers `total` in as few tiles as `most` allows, each this size or one less."""
    return -(-total // -(-total // most))
