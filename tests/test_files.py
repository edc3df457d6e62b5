import concurrent.futures
import os

import numpy as np
import pytest

from srez.files import atomic_path, locked, set_aside, write_text
from srez.pictures.image import write_image


def test_many_threads_write_with_the_usual_permissions(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(100)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: write_image(path, np.zeros((4, 4, 3))), paths))
    (tmp_path / "plain").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_what_a_killed_write_leaves_is_hidden(tmp_path):
    with atomic_path(tmp_path / "out.png"):
        [name] = os.listdir(tmp_path)  # all that is there until the block ends
        assert name.startswith(".")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "out.png").write_text("old")
    with pytest.raises(TypeError):
        write_image(tmp_path / "out.png", np.zeros((4, 4, 5)))
    assert os.listdir(tmp_path) == ["out.png"]
    assert (tmp_path / "out.png").read_text() == "old"


def test_folders_are_set_aside_under_one_free_number(tmp_path):
    for name in ("train", "checkpoint", "train.1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    set_aside([tmp_path / "train", tmp_path / "checkpoint"])
    names = {path.name: (path / "file").read_text() for path in tmp_path.iterdir()}
    assert names == {"train.1": "train.1", "train.2": "train", "checkpoint.2": "checkpoint"}


def test_empty_and_missing_folders_and_a_lock_alone_stay(tmp_path):
    folders = [tmp_path / name for name in ("train", "checkpoint", "nowhere")]
    for folder in folders[:2]:
        folder.mkdir()
    (folders[1] / "lock").touch()
    assert set_aside(folders, but=("lock",)) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "train"]


def test_a_folder_in_another_is_set_aside_with_it(tmp_path):
    outer, inner = tmp_path / "train", tmp_path / "train" / "checkpoint"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    set_aside([outer, inner, outer])
    assert (tmp_path / "train.1" / "checkpoint.1" / "file").exists()


def test_text_keeps_the_bytes_of_odd_names(tmp_path):
    write_text(tmp_path / "a.txt", "é \udcff\n")
    assert (tmp_path / "a.txt").read_bytes() == "é ".encode() + b"\xff\n"


def test_a_file_is_held_by_one_process_at_a_time(tmp_path):
    with locked(tmp_path / "lock") as file:
        file.write("me")
        file.flush()
        with pytest.raises(BlockingIOError) as caught, locked(tmp_path / "lock"):
            pass
        assert caught.value.holder == "me"
    with locked(tmp_path / "lock"):
        pass
