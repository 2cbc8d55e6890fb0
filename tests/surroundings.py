"""What every test finds around it: fresh folders of its own, the mirror of published files, one thread.

A pytest plugin, so that the stored notebooks run in the same surroundings. Workers of pytest-xdist inherit
them from the process that started them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]
_MARK = "MMKD_LAB_TEST_FOLDER"
_FOLDERS = ("MMKD_LAB_STORE", "MMKD_LAB_DATA", "MMKD_LAB_RESULTS", "NUMBA_CACHE_DIR", "MMKD_LAB_PREPARED")


def _prepare() -> None:
    if _MARK in os.environ:
        return
    root = Path(tempfile.mkdtemp(prefix="mmkd-lab-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    os.environ[_MARK] = str(root)
    for name in _FOLDERS:
        os.environ[name] = str(root / name.lower())
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors are slower on more threads
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["MMKD_LAB_STATIC"] = "1"  # stored notebooks hold pictures in place of panels
    paths = [str(_CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # kernels and other processes test this code, too
    beside = _CHECKOUT.parent / "shared" / "data" / "mirror"
    if "MMKD_LAB_MIRROR" not in os.environ and beside.is_dir():
        os.environ["MMKD_LAB_MIRROR"] = str(beside)


_prepare()
