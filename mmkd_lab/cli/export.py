"""An executed notebook as one HTML page."""

from __future__ import annotations

from pathlib import Path

from mmkd_lab.core.atomic import write_text


def export_html(path: Path, *, sanitize: bool = False) -> Path:
    """Write `<name>.html` beside the executed notebook at `path`; returns its path.

    Images are inside the page. Nothing is fetched from elsewhere, except MathJax when the text has formulas:
    a script that cannot be reached would hold the page back. The page holds what the cells' outputs hold,
    scripts among them; `sanitize` takes out all that is active.
    """
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    formulas = any("$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    elsewhere = {} if formulas else {"mathjax_url": ""}
    exporter = HTMLExporter(
        embed_images=True, sanitize_html=sanitize, require_js_url="", jquery_url="", **elsewhere
    )
    body, _ = exporter.from_notebook_node(notebook)
    return write_text(path.with_suffix(".html"), body)
