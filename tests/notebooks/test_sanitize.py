"""What nbval lets pass and what it stops, with the lab's own sanitize file and comparison of numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

CONFIG = Path(__file__).with_name("sanitize.cfg")

#: What a cell prints, what is stored, and whether nbval may let it pass.
CASES = {
    "other rounding": ("mean 81.40 [79.22, 83.58], 5 seeds", "mean 81.41 [79.21, 83.58], 5 seeds", True),
    "other decimals": ("mean 81.40 [79.22, 83.58], 5 seeds", "mean 80.91 [79.22, 83.58], 5 seeds", False),
    "other time": ("done in 12 s", "done in 31 s", True),
    "other padding": ("a   9.9\nb  11.5", "a  10.0\nb   11.5", True),
    "other side": ("A is better than B (+1.20)", "A is worse than B (−1.20)", False),
    "other whole number": ("mean 81.40, 5 seeds", "mean 81.40, 6 seeds", False),
    "other word": ("the image teacher reaches 81.40", "the speech teacher reaches 81.40", False),
    "other title": ("<LabFigure 8.4 x 3 in: A beats B>", "<LabFigure 8.4 x 3 in: B beats A>", False),
    "missing row": ("a 1.5\nb 2.5", "a 1.5", False),
    "missing number": ("a 1.5 2.5", "a 1.5", False),
}


@pytest.mark.kernel
def test_a_last_digit_may_move_and_nothing_else(tmp_path):
    cells = []
    for printed, stored, _ in CASES.values():
        cell = nbformat.v4.new_code_cell(f"print({printed!r})", execution_count=1)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"{stored}\n")]
        cells.append(cell)
    path = tmp_path / "cases.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-rA",
        "-p",
        "tests.notebooks.numbers",
        "-p",
        "no:cacheprovider",
    ]
    command += ["-W", "default", "--nbval-sanitize-with", str(CONFIG), "--rootdir", str(tmp_path), str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    passed = {int(n) for n in re.findall(r"^PASSED .*Cell (\d+)$", done.stdout, re.MULTILINE)}
    assert passed == {n for n, (_, _, may) in enumerate(CASES.values()) if may}, done.stdout
