"""What importing and compiling the worlds does to its surroundings: nothing that was not asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmkd_lab

PACKAGE = Path(mmkd_lab.__file__).parent
TRAIN = """
from mmkd_lab.data.datasets.gaussian import FIGURE2, worlds
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds
fit = fit_worlds(worlds(FIGURE2[0], [0]), recipe=WorldsRecipe(steps=2))
import mmkd_lab
print(mmkd_lab.__file__)
"""


def python(code, *, cwd=None, **environment):
    """Run code in a fresh interpreter in which any warning is an error."""
    known = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**known, **environment},
        timeout=300,
        cwd=cwd,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    return found.stdout


def machine_code(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*.nb[ic]"))


def test_imports_are_silent_and_numba_waits_for_the_kernel():
    modules = "mmkd_lab.data.datasets.gaussian, mmkd_lab.training.worlds, mmkd_lab.study.worlds"
    said = python(
        f"import sys, {modules}; print('numba' in sys.modules); import mmkd_lab.training.linear_kernel"
    )
    assert said == "False\n"


@pytest.mark.long
def test_the_cache_goes_where_it_is_told(tmp_path):
    """With NUMBA_CACHE_DIR nothing is written beside the source, and the second run compiles nothing."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    shutil.copytree(PACKAGE, home / "mmkd_lab", ignore=shutil.ignore_patterns("__pycache__", "_shipped"))
    settings = {"PYTHONPATH": str(home), "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(home.rglob("*"))
    assert python(TRAIN, cwd=home, **settings) == f"{home / 'mmkd_lab' / '__init__.py'}\n"
    assert sorted(home.rglob("*")) == before
    kept = machine_code(cache)
    assert len(kept) > 0
    stamps = {name: (cache / name).stat().st_mtime_ns for name in kept}
    assert python(TRAIN, cwd=home, **settings) == f"{home / 'mmkd_lab' / '__init__.py'}\n"
    assert {name: (cache / name).stat().st_mtime_ns for name in machine_code(cache)} == stamps
