"""Every processor and number of threads makes the same data: generated sets, under other instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_CODE = """
import os
from mmkd_lab import data

small = {"n_train": 500, "n_val": 100, "n_test": 100}
asked = [("gaussian", {"stream": "independent"}), ("av_digits", small), ("shapes_vl", small)]
if os.environ.get("MMKD_LAB_MIRROR"):
    asked += [("av_mnist", {**small, "noise": "pink"})]
for name, given in asked:
    print(name, data.load(name, **given).fingerprint)
"""


def _made(**variables: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def here() -> str:
    """As this processor makes them."""
    return _made()


@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        {
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "OPENBLAS_CORETYPE": "Prescott",
            "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
            "PYTHONWARNINGS": "ignore",
        },
    ],
    ids=["two threads", "without wide instructions"],
)
def test_data_are_the_same_everywhere(variables: dict[str, str], here: str) -> None:
    assert _made(**variables) == here
