"""Importing the package, asking for help and listing load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house import tree

HEAVY = {
    *("torch", "pandas", "matplotlib", "numba", "numpy", "scipy", "sklearn", "lightning_fabric", "captum"),
    *("papermill", "nbclient", "nbformat", "nbconvert", "jupyter_client", "IPython", "ipywidgets"),
    *("pooch", "jinja2", "tqdm", "psutil"),
}


def _loaded(code: str) -> set[str]:
    script = f"import sys, io, contextlib, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tree.ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(found.stdout.splitlines()[-1])) & HEAVY


@pytest.mark.parametrize(
    "code",
    [
        "import mmkd_lab",
        "import mmkd_lab.cli",
        "import mmkd_lab.cli.command",
        "from mmkd_lab.cli import main\nwith contextlib.suppress(SystemExit): main(['--help'])",
        "from mmkd_lab.cli import main\nmain(['list'])",
    ],
    ids=["package", "cli", "runs", "help", "list"],
)
def test_loads_nothing_heavy(code):
    assert _loaded(code) == set()


def test_a_heavy_import_is_seen():
    assert "numpy" in _loaded("import mmkd_lab.core.stats")


def test_listing_datasets_loads_no_torch():
    assert "torch" not in _loaded("from mmkd_lab.cli import main\nmain(['data', 'list'])")
