"""The compiled loop that trains linear worlds, cut to the registers of this processor.

A step has two passes over an input that is stored feature by feature, samples contiguous in whole vectors of
`lanes` floats. Each pass is built of tiles whose accumulators stay in registers:

    _residuals   for `samples` vectors of samples and all runs: z = w . x, then scale * sigmoid(z) - target
    _descent     for `features` features and all runs: w -= rate * sum over samples of residual * x

Both emit vector instructions directly, since a compiler left to itself picks narrower vectors and spills.
Everything compiled stands in this one file: numba looks only at its date when it decides whether the
machine code on disk is still good.
"""

# ruff: noqa: ANN401 - what numba and llvmlite hand to an intrinsic has no public types

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mmkd_lab.training.worlds_machine import Tile

_F32, _I32, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)

_LOG2E = 1.4426950408889634
#: exp(-87) is the last that float32 holds with all its digits.
_FARTHEST = 87.0
#: Added to a float below 2^22 in size, it leaves the nearest whole number in the lowest bits.
_ROUNDER = 1.5 * 2**23
#: 2^f on [-1/2, 1/2], relative error 7.5e-8; 1/d on [1, 2], relative error 1/99. Best in the largest error.
_EXP2 = (0.0013276472, 0.00967554135, 0.0555071327, 0.240221197, 0.693146967, 1.0000000717)
_RECIPROCAL = (32 / 99, -144 / 99, 210 / 99)


class Vectors:
    """Emits vector code at a numba call site; every float value is a vector of `lanes`."""

    def __init__(self, context: Any, builder: Any, lanes: int) -> None:
        self.context, self.builder, self.lanes = context, builder, lanes
        self.floats, self.ints = ir.VectorType(_F32, lanes), ir.VectorType(_I32, lanes)

    def data(self, kind: Any, value: Any) -> Any:
        """The address of an array's first element."""
        return self.context.make_array(kind)(self.context, self.builder, value).data

    def at(self, *terms: Any) -> Any:
        """The position ((t0 * t1 + t2) * t3 + t4) ...: times and plus the next term in turn."""
        b = self.builder
        values = [_INDEX(term) if isinstance(term, int) else term for term in terms]
        place = values[0]
        for i, value in enumerate(values[1:]):
            place = b.add(place, value) if i % 2 else b.mul(place, value)
        return place

    def load(self, data: Any, place: Any) -> Any:
        """`lanes` floats of an array, from `place` on."""
        found = self.builder.load(self._address(data, place))
        found.align = 4
        return found

    def store(self, value: Any, data: Any, place: Any) -> None:
        """Put a vector into an array, from `place` on."""
        self.builder.store(value, self._address(data, place), align=4)

    def _address(self, data: Any, place: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [place]), self.floats.as_pointer())

    def splat(self, scalar: Any) -> Any:
        """The same float in every lane."""
        one = self.builder.insert_element(ir.Constant(self.floats, ir.Undefined), scalar, _I32(0))
        return self._shuffle(one, one, [0] * self.lanes)

    def broadcast(self, data: Any, place: Any) -> Any:
        """One float of an array in every lane."""
        return self.splat(self.builder.load(self.builder.gep(data, [place])))

    def constant(self, value: float) -> Any:
        """A number known now, in every lane."""
        return ir.Constant(self.floats, [float(np.float32(value))] * self.lanes)

    def call(self, name: str, *operands: Any) -> Any:
        """An LLVM intrinsic on float vectors, such as llvm.fabs."""
        kind = ir.FunctionType(self.floats, [self.floats] * len(operands))
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"{name}.v{self.lanes}f32")
        return self.builder.call(function, operands)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c with one rounding."""
        return self.call("llvm.fma", a, b, c)

    def polynomial(self, coefficients: tuple[float, ...], x: Any) -> Any:
        """Horner's rule, highest power first."""
        total = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.fma(total, x, self.constant(coefficient))
        return total

    def accumulators(self, count: int) -> list[Any]:
        """Vectors of zeros to add to; LLVM keeps them in registers when there are few enough."""
        zero = self.constant(0.0)
        found = [cgutils.alloca_once(self.builder, self.floats) for _ in range(count)]
        for place in found:
            self.builder.store(zero, place)
        return found

    def add_to(self, place: Any, a: Any, b: Any) -> None:
        """Add a * b to an accumulator."""
        self.builder.store(self.fma(a, b, self.builder.load(place)), place)

    def residual(self, z: Any, scale: Any, target: Any) -> Any:
        """scale * (sigmoid(z) - 1/2) - target, to about 1e-7, without branches or division.

        sigmoid(|z|) = 1 / (1 + e), e = exp(-|z|); the sign is put back at the end.
        """
        b = self.builder
        size = self.call("llvm.minnum", self.call("llvm.fabs", z), self.constant(_FARTHEST))
        shifted = self.fma(size, self.constant(-_LOG2E), self.constant(_ROUNDER))
        whole = b.fsub(shifted, self.constant(_ROUNDER))
        part = self.fma(size, self.constant(-_LOG2E), b.fneg(whole))
        mantissa = b.bitcast(self.polynomial(_EXP2, part), self.ints)
        exponent = b.shl(b.bitcast(shifted, self.ints), ir.Constant(self.ints, [23] * self.lanes))
        one_more = b.fadd(b.bitcast(b.add(mantissa, exponent), self.floats), self.constant(1.0))
        centred = b.fsub(self.reciprocal(one_more), self.constant(0.5))
        return self.fma(scale, self.call("llvm.copysign", centred, z), b.fneg(target))

    def reciprocal(self, d: Any) -> Any:
        """1 / d for d in [1, 2]: a parabola good to 1 %, then Newton's rule twice."""
        guess, minus = self.polynomial(_RECIPROCAL, d), self.builder.fneg(d)
        for _ in range(2):
            guess = self.fma(guess, self.fma(minus, guess, self.constant(1.0)), guess)
        return guess

    def sums(self, vectors: list[Any]) -> Any:
        """Lane i holds the sum over lanes of vectors[i]; the lanes past the last vector hold nothing of use.

        Two vectors merge into one whose halves (quarters, ...) belong to either: a transposition by
        additions.
        """
        width = 1
        while width < len(vectors):
            width *= 2
        vectors = vectors + [self.constant(0.0)] * (width - len(vectors))
        apart = width
        while apart > 1:
            apart //= 2
            vectors = [self._merge(vectors[i], vectors[i + apart], apart) for i in range(apart)]
        total = vectors[0]
        while width < self.lanes:
            swapped = self._shuffle(total, total, [i ^ width for i in range(self.lanes)])
            total = self.builder.fadd(total, swapped)
            width *= 2
        return total

    def _merge(self, a: Any, b: Any, apart: int) -> Any:
        """Lanes with the bit `apart` unset: a[i] + a[i + apart]; the others: b[i - apart] + b[i]."""
        own = [i + self.lanes if i & apart else i for i in range(self.lanes)]
        partner = [(i ^ apart) + self.lanes if i & apart else i ^ apart for i in range(self.lanes)]
        return self.builder.fadd(self._shuffle(a, b, own), self._shuffle(a, b, partner))

    def _shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        return self.builder.shuffle_vector(a, b, ir.Constant(self.ints, order))


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _residuals(
    typing: Any,
    x: Any,
    w: Any,
    target: Any,
    residual: Any,
    scale: Any,
    sizes: Any,
    samples: Any,
    runs: Any,
    lanes: Any,
) -> Any:
    """residual[block, run] = scale[run] * (sigmoid(w[:, run] . x[:, block]) - 1/2) - target[block, run].

    `sizes` is (first block, blocks, features).
    """
    S, R, L = (literal.literal_value for literal in (samples, runs, lanes))

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        v = Vectors(context, builder, L)
        data_x, data_w, data_t, data_r, data_s = (v.data(signature.args[i], values[i]) for i in range(5))
        first, blocks, features = cgutils.unpack_tuple(builder, values[5], 3)
        z = v.accumulators(S * R)
        with cgutils.for_range(builder, features) as loop:
            row = builder.add(builder.mul(loop.index, blocks), first)
            inputs = [v.load(data_x, v.at(row, L, s * L)) for s in range(S)]
            for r in range(R):
                weight = v.broadcast(data_w, v.at(loop.index, R, r))
                for s in range(S):
                    v.add_to(z[s * R + r], inputs[s], weight)
        scales = [v.broadcast(data_s, _INDEX(r)) for r in range(R)]
        for i, total in enumerate(z):
            place = v.at(first, R * L, i * L)
            found = v.residual(builder.load(total), scales[i % R], v.load(data_t, place))
            v.store(found, data_r, place)
        return context.get_dummy_value()

    return types.none(x, w, target, residual, scale, sizes, samples, runs, lanes), emit


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _descent(
    typing: Any, x: Any, w: Any, residual: Any, rate: Any, sizes: Any, features: Any, runs: Any, lanes: Any
) -> Any:
    """w[feature, run] -= rate * sum over samples of residual[sample, run] * x[feature, sample].

    `sizes` is (first feature, blocks).
    """
    F, R, L = (literal.literal_value for literal in (features, runs, lanes))

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if F == 0:
            return context.get_dummy_value()
        v = Vectors(context, builder, L)
        data_x, data_w, data_r = (v.data(signature.args[i], values[i]) for i in range(3))
        first, blocks = cgutils.unpack_tuple(builder, values[4], 2)
        gradient = v.accumulators(F * R)
        with cgutils.for_range(builder, blocks) as loop:
            pulls = [v.load(data_r, v.at(loop.index, R * L, r * L)) for r in range(R)]
            for f in range(F):
                row = builder.add(first, _INDEX(f))
                inputs = v.load(data_x, v.at(row, blocks, loop.index, L))
                for r in range(R):
                    v.add_to(gradient[f * R + r], inputs, pulls[r])
        sums = v.sums([builder.load(total) for total in gradient])
        place = v.at(first, R)
        old = v.load(data_w, place)
        new = v.fma(sums, v.splat(builder.fneg(values[3])), old)
        mine = ir.Constant(ir.VectorType(ir.IntType(1), L), [i < F * R for i in range(L)])
        v.store(builder.select(mine, new, old), data_w, place)
        return context.get_dummy_value()

    return types.none(x, w, residual, rate, sizes, features, runs, lanes), emit


@functools.cache
def compiled(tile: Tile) -> Callable[..., None]:
    """The training loop for one tile shape; numba keeps the machine code on disk.

    Called with x (features, blocks, lanes), w (features, runs, and one vector of room), target and residual
    (blocks, runs, lanes), all flat, scale (runs,), rate, steps, blocks and features. It moves w in place.
    """
    R, L, S, F = tile.runs, tile.lanes, tile.samples, tile.features
    S_LESS, F_LESS = S - 1, F - 1

    def descend(
        x: Any,
        w: Any,
        target: Any,
        residual: Any,
        scale: Any,
        rate: Any,
        steps: Any,
        blocks: Any,
        features: Any,
    ) -> None:
        sample_tiles, feature_tiles = -(-blocks // S), -(-features // F)
        large_samples = blocks - sample_tiles * S_LESS
        large_features = features - feature_tiles * F_LESS
        for _ in range(steps):
            at = 0
            for _ in range(large_samples):
                _residuals(x, w, target, residual, scale, (at, blocks, features), S, R, L)
                at += S
            for _ in range(sample_tiles - large_samples):
                _residuals(x, w, target, residual, scale, (at, blocks, features), S_LESS, R, L)
                at += S_LESS
            at = 0
            for _ in range(large_features):
                _descent(x, w, residual, rate, (at, blocks), F, R, L)
                at += F
            for _ in range(feature_tiles - large_features):
                _descent(x, w, residual, rate, (at, blocks), F_LESS, R, L)
                at += F_LESS

    loop: Callable[..., None] = numba.njit(cache=True, nogil=True)(descend)
    return loop
