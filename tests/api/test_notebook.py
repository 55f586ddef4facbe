"""The notebook of the documentation, executed in a kernel of its own, its function in processes."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def outputs(cell):
    return [output.get("data", {}) for output in cell.get("outputs", [])]


def test_the_notebook_of_the_documentation_runs_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("seeds=5", "seeds=2").replace("n_steps=200", "n_steps=40")
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources=where).execute()
    compared = next(cell for cell in notebook.cells if "hpo_bench.compare(" in cell.source)
    *told, shown = outputs(compared)  # what takes long is told, too
    assert any("8 of 8 runs" in each.get("text/html", "") for each in told)
    assert "<table>" in shown["text/html"]
    assert "data:image/svg+xml;base64," in shown["text/html"]
    assert (tmp_path / "spirals.html").exists()
    assert (tmp_path / "hpo-bench.db").exists()
