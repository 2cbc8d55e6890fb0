"""What the lab says is printed wherever it goes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = "import mmkd_lab; from mmkd_lab.core.stats import Interval; print(Interval(-1.0, -2.0, 0.5, 3).show())"


@pytest.mark.parametrize(("encoding", "said"), [("ascii", r"\u22121.00"), ("utf-8", "−1.00")])
def test_a_minus_sign_ends_no_program(encoding, said):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).startswith(said)


def test_a_stream_that_was_told_what_to_do_is_left_alone():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:xmlcharrefreplace"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, check=True)
    assert done.stdout.startswith(b"&#8722;1.00")
