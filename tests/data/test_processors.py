"""Every processor and number of threads makes the same data: generated sets, under other instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys

from mmkd_lab import data

SMALL = {"n_train": 500, "n_val": 100, "n_test": 100}
ASKED = [("gaussian", {"stream": "independent"}), ("av_digits", SMALL), ("shapes_vl", SMALL)]
NARROW = {
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
    "PYTHONWARNINGS": "ignore",
}


def test_data_are_the_same_on_a_narrow_processor_with_two_threads() -> None:
    asked = [*ASKED, ("av_mnist", {**SMALL, "noise": "pink"})] if os.environ.get("MMKD_LAB_MIRROR") else ASKED
    code = f"from mmkd_lab import data\nfor n, p in {asked!r}: print(data.load(n, **p).fingerprint)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **NARROW}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [data.load(name, **given).fingerprint for name, given in asked]
