"""A notebook of a panel under papermill as it comes, where nobody has asked for the static twin."""

from __future__ import annotations

import json

import nbformat
import papermill
import pytest

CELLS = (
    "from mmkd_lab import whatif",
    "panel = whatif.world(gamma=gamma)\npanel.show()",
    "panel.state.gamma",
)


@pytest.mark.kernel
def test_a_panel_leaves_its_widgets_and_no_error(tmp_path, monkeypatch):
    monkeypatch.delenv("MMKD_LAB_STATIC", raising=False)
    parameters = nbformat.v4.new_code_cell("gamma = 0.2", metadata={"tags": ["parameters"]})
    cells = [parameters, *map(nbformat.v4.new_code_cell, CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(made, tmp_path / "in.ipynb")
    where = [str(tmp_path / name) for name in ("in.ipynb", "out.ipynb")]
    found = papermill.execute_notebook(*where, parameters={"gamma": 0.4}, progress_bar=False)
    outputs = [output for cell in found.cells for output in cell.get("outputs", ())]
    shown = [set(output.get("data", ())) for output in outputs]
    assert {"application/vnd.jupyter.widget-view+json", "text/plain"} in shown
    assert json.loads(outputs[-1]["data"]["text/plain"]) == 0.4
    assert all(output["output_type"] != "error" for output in outputs)
    held = found.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert any("<svg" in str(one["state"].get("value")) for one in held.values())
