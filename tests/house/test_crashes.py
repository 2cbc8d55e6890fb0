"""A test that crashes or never ends is a failure of the run, at once: the suite does not hang on it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house import tree

SOUND = "def test_{}(): pass\n"
CASES = {
    "crash": ("import os\ndef test_bad(): os.abort()\n", "crashed while running"),
    "endless": ("import time\ndef test_bad(): time.sleep(600)\n", "crashed while running"),
}


@pytest.mark.parametrize(("bad", "says"), CASES.values(), ids=CASES)
def test_a_lost_worker_fails_the_run(tmp_path, bad, says):
    files = {f"test_{name}.py": SOUND.format(name) for name in "abcd"} | {"test_bad.py": bad}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(tree.ROOT / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
    ]
    command += ["-n", "2", "--dist", "loadscope", "--timeout", "3", "-p", "no:nbval", str(tmp_path)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 1, found.stdout
    assert says in found.stdout
