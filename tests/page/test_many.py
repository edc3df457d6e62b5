"""Many pictures at once: what is done where there is no room or no time for all."""

import shutil
from pathlib import Path
from unittest.mock import Mock

import gradio as gr
import numpy as np
import pytest

from srez.page import many, visitors
from srez.page.many import MAX_FILES, Many, _gather
from srez.page.visitors import Visitors
from srez.pictures.image import write_image
from tests.page.conftest import VISITOR


@pytest.fixture
def tab(tmp_path, monkeypatch):
    """The tab with four pictures, and no networks: a result is its picture's copy."""

    def enlarged(jobs, faces, quiet):
        for job in jobs:
            job.comparison.parent.mkdir(parents=True, exist_ok=True)
            for path in (job.target, job.comparison):
                shutil.copy(job.source, path)
        return []

    monkeypatch.setattr("srez.photo.output.enlarge_all", enlarged)
    (tmp_path / "server").mkdir()
    tab = Many(Visitors(tmp_path / "server"), lambda: Mock(at_once=1))
    tab.paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    for path in tab.paths:
        write_image(path, np.zeros((4, 4, 3), np.uint8))
    return tab


def test_many_of_one_name_are_all_there_and_take_no_disk(tmp_path):
    paths = [tmp_path / str(number) / "face.png" for number in range(3)]
    for path in paths:
        path.parent.mkdir()
        path.write_text(path.parent.name)
    _gather([*paths, paths[0]], tmp_path / "inputs")
    found = {path.name: path.read_text() for path in (tmp_path / "inputs").iterdir()}
    assert found == {"face.png": "0", "2_face.png": "1", "3_face.png": "2", "4_face.png": "0"}
    assert paths[0].stat().st_nlink == 3


def test_what_there_is_no_time_for_is_counted_and_the_rest_is_given(tab, monkeypatch):
    times = iter([0, 1, 2, many.MAX_SECONDS + 1])
    monkeypatch.setattr(many.time, "monotonic", lambda: next(times))
    words, results, archive = tab.sharpen_all(tab.paths, VISITOR)
    assert words == "2 results made.\n\nThey take more than 30 minutes. Not made: 2."
    assert len(results) == 2 and Path(archive).is_file()


def test_what_there_is_no_room_for_is_counted_and_the_rest_is_given(tab, monkeypatch):
    def full(session):
        if len(list(tab._visitors.folder.rglob("results/?.png"))) == 3:
            raise visitors.refused("Full")

    monkeypatch.setattr(tab._visitors, "check_room", full)
    words, results, _ = tab.sharpen_all(tab.paths, VISITOR)
    assert words == "3 results made.\n\nFull. Not made: 1." and len(results) == 3


def test_a_visitor_who_leaves_is_waited_for_no_longer(tab, monkeypatch):
    monkeypatch.setattr(tab._visitors, "check_room", tab._visitors.leave)
    with pytest.raises(gr.Error, match="A picture is gone: upload it again"):
        tab.sharpen_all(tab.paths, VISITOR)
    assert not list(tab._visitors.folder.rglob("*.png"))


def test_a_picture_that_is_gone_meanwhile_is_a_line(tab):
    Path(tab.paths[1]).unlink()
    with pytest.raises(gr.Error, match="A picture is gone: upload it again"):
        tab.sharpen_all(tab.paths, VISITOR)


def test_too_many_pictures_are_refused_before_anything_is_written(tab):
    with pytest.raises(gr.Error, match=f"{MAX_FILES + 1} pictures: give {MAX_FILES} at most"):
        tab.sharpen_all([*tab.paths, *["x.png"] * (MAX_FILES - 3)], VISITOR)
    assert not list(tab._visitors.folder.iterdir())
