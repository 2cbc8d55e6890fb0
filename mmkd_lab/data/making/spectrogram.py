"""Log-mel spectrograms of short recordings: one definition for every speech dataset of the lab."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Count, NonNegative, config

Array = npt.NDArray[np.float64]

_BLOCK = 2**19  # samples transformed at a time: what stays in a processor's cache


@config
class MelSpec:
    """How a waveform becomes (mel, frames).

    Args:
        rate: sampling rate in Hz.
        window: length of the periodic Hann window and of the FFT, in samples.
        hop: step between frames, in samples.
        mel: number of triangular mel bands (HTK scale, 2595 log10(1 + f / 700)) from `low` Hz to rate / 2.
        frames: number of frames; the recording fills `samples` samples.
        low: lower edge of the lowest band in Hz.
    """

    rate: Count = 8000
    window: Count = 512
    hop: Count = 256
    mel: Count = 28
    frames: Count = 28
    low: NonNegative = 60.0

    def __post_init__(self) -> None:
        require(self.low < self.rate / 2, "low", self.low, f"must lie in [0, {self.rate / 2:g}) Hz")

    @property
    def samples(self) -> int:
        """The length of waveform that the frames cover, in samples."""
        return self.window + (self.frames - 1) * self.hop

    @cached_property
    def filters(self) -> Array:
        """(window // 2 + 1, mel) triangles of height one. Bands narrower than a bin keep the nearest."""
        frequencies = np.fft.rfftfreq(self.window, 1 / self.rate)
        ends = _to_mel(np.array([self.low, self.rate / 2]))
        edges = _to_hertz(np.linspace(ends[0], ends[1], self.mel + 2))
        left, centre, right = edges[:-2], edges[1:-1], edges[2:]
        up = (frequencies[:, None] - left) / (centre - left)
        down = (right - frequencies[:, None]) / (right - centre)
        bank = np.clip(np.minimum(up, down), 0.0, None)
        nearest = np.abs(frequencies[:, None] - centre).argmin(axis=0)
        empty = bank.sum(axis=0) == 0
        bank[nearest[empty], np.flatnonzero(empty)] = 1.0
        return bank

    def power(self, waves: npt.NDArray[np.floating]) -> Array:
        """(N, samples) waveforms -> (N, mel, frames) mel power. Raises `LabError` for another length."""
        require(
            waves.ndim == 2 and waves.shape[1] == self.samples,
            "waves",
            waves.shape,
            f"must be (N, {self.samples}), the {self.frames} frames of this spectrogram",
        )
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        out = np.empty((len(waves), self.mel, self.frames))
        rows = max(1, _BLOCK // (self.window * self.frames))
        for start in range(0, len(waves), rows):
            out[start : start + rows] = self._power(waves[start : start + rows].astype(np.float64), hann)
        return out

    def _power(self, waves: Array, hann: Array) -> Array:
        from scipy.fft import rfft

        framed = np.lib.stride_tricks.sliding_window_view(waves, self.window, axis=1)[:, :: self.hop]
        spectrum = rfft(framed * hann, axis=-1, overwrite_x=True)
        energy = np.square(spectrum.real)
        energy += np.square(spectrum.imag)
        return np.asarray((energy @ self.filters).swapaxes(1, 2))


def decibels(power: Array, *, floor: float) -> Array:
    """10 log10 of (N, mel, frames) power relative to each sample's largest cell, cut at -`floor` dB.

    A sample of silence is -`floor` everywhere.
    """
    peak = power.reshape(len(power), -1).max(axis=1).reshape(-1, *[1] * (power.ndim - 1))
    relative = np.divide(power, peak, out=np.zeros_like(power), where=peak > 0)
    return np.asarray(10.0 * np.log10(np.maximum(relative, 10.0 ** (-floor / 10.0))))


def _to_mel(hertz: Array) -> Array:
    return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))


def _to_hertz(mel: Array) -> Array:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
