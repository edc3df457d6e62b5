"""The notebook, executed against a clone of what is committed."""

import shutil

import nbclient
import nbformat
import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "srez.ipynb"


def test_the_notebook_has_ten_cells_and_no_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert len(cells) == 10
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, faces):
    monkeypatch.setenv("SREZ", str(ROOT))
    dataset = tmp_path / "faces"
    for copy in ("a", "b", "c"):  # enough for a batch of 16 besides the test faces
        shutil.copytree(faces, dataset / copy)
    monkeypatch.setenv("DATASET", f"{dataset}/a,{dataset}/b,{dataset}/c")
    monkeypatch.setenv("MINUTES", "0.05")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=280, kernel_name="python3", resources=resources
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 4
    made = {path.name for path in (tmp_path / "srez").iterdir()}
    assert {"sharp_photo.png", "own.png", "own.keras", "run.zip"} <= made
