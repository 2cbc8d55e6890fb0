"""CPU time, peak memory, and what one core can do at best."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mmkd_lab.training.worlds_machine import machine
from mmkd_lab.training.worlds_tiles import Vectors

T = TypeVar("T")

_CHAINS = 12


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of this process, all threads, and the result."""
    before = time.process_time()
    found = function()
    return time.process_time() - before, found


def best(function: Callable[[], T], repeats: int) -> tuple[float, T]:
    """The fewest CPU seconds of `repeats` calls, and the last result."""
    runs = [timed(function) for _ in range(repeats)]
    return min(seconds for seconds, _ in runs), runs[-1][1]


def peak_memory() -> float:
    """MB this process has held at most."""
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@intrinsic(prefer_literal=True)
def _burst(typing: Any, seed: Any, rounds: Any, lanes: Any) -> Any:  # noqa: ANN401
    """`rounds` times 12 independent vector multiply-adds; one lane of their sum, so that none is dropped."""
    width = lanes.literal_value

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        v = Vectors(context, builder, width)
        addend, places = v.splat(values[0]), v.accumulators(_CHAINS)
        with cgutils.for_range(builder, values[1]):
            for place in places:
                old = builder.load(place)
                builder.store(v.fma(old, old, addend), place)
        total = builder.load(places[0])
        for place in places[1:]:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.float32(types.float32, types.intp, lanes), emit


def fma_rate(*, rounds: int = 10_000_000, repeats: int = 5) -> float:
    """GFLOP per second of one core computing from registers alone, a multiply-add being two operations."""
    lanes = machine().lanes

    @numba.njit
    def burst(seed: float, rounds: int) -> float:
        return _burst(numba.float32(seed), rounds, lanes)

    burst(0.0, 1)
    seconds, _ = best(lambda: burst(0.0, rounds), repeats)
    return 2e-9 * lanes * _CHAINS * rounds / seconds


def product_rate(*, size: int = 1024, repeats: int = 5) -> float:
    """GFLOP per second of torch's float32 matrix product, on as many threads as torch has."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    seconds, _ = best(lambda: torch.mm(a, b), repeats + 1)
    return 2e-9 * size**3 / seconds
