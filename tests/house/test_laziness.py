"""Importing the package, asking for help and listing load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.house import tree

HEAVY = {
    *("torch", "pandas", "matplotlib", "numba", "numpy", "scipy", "sklearn", "lightning_fabric", "captum"),
    *("papermill", "nbclient", "nbformat", "nbconvert", "jupyter_client", "IPython", "ipywidgets"),
    *("pooch", "jinja2", "tqdm", "psutil", "joblib", "torchmetrics"),
}
LIGHT = """
import mmkd_lab
import mmkd_lab.cli.command
from mmkd_lab.cli import main
with contextlib.suppress(SystemExit): main(['--help'])
main(['list'])
"""


def _loaded(code: str) -> set[str]:
    script = f"import sys, io, contextlib, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tree.ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(found.stdout.splitlines()[-1]))


def test_what_only_looks_loads_nothing_heavy():
    assert _loaded(LIGHT) & HEAVY == set()
    assert "pydantic" not in _loaded("import mmkd_lab.cli.command")


def test_a_heavy_import_is_seen():
    assert "numpy" in _loaded("import mmkd_lab.core.stats")


def test_listing_datasets_loads_no_torch():
    assert "torch" not in _loaded("from mmkd_lab.cli import main\nmain(['data', 'list'])")


def test_training_loads_neither_torchmetrics_nor_transformers():
    code = "import torch\nfrom mmkd_lab.training.device import make_fabric\n"
    loaded = _loaded(f"{code}make_fabric(torch.device('cpu'), '64-true')\nimport lightning_fabric")
    assert "lightning_fabric" in loaded
    assert not {"torchmetrics", "transformers"} & loaded
