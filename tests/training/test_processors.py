"""What one processor's kernels do, another's do too: a crash there must be a failure here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tests.training import processors

KERNELS = {
    "narrow": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oldest": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
}


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_encoder_trains_under_the_kernels_of_other_processors(kernels, tmp_path):
    """Those of AVX2 once wrote beyond their memory, and brought the process down."""
    path = tmp_path / "logits.pt"
    command = [sys.executable, "-m", "tests.training.processors", str(path)]
    done = subprocess.run(
        command, env={**os.environ, **KERNELS[kernels]}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(path, weights_only=True)
    for one, spec in zip(found["double"], processors.SPECS, strict=True):
        torch.testing.assert_close(one, processors.train(spec), rtol=0, atol=1e-9)
    # In single precision a later digit is another: that it trains at all is what is asked here.
    assert all(one.isfinite().all() for one in found["single"])
