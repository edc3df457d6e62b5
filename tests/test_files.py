import concurrent.futures
import errno
import os
from unittest import mock

import numpy as np
import pytest

from srez import files
from srez.files import atomic_path, locked, set_aside, write_text
from srez.pictures.image import write_image


@pytest.mark.parametrize("place", ["weights", "srez/weights"])
def test_what_comes_with_srez_lies_beside_its_package_or_within(tmp_path, monkeypatch, place):
    (tmp_path / place).mkdir(parents=True)
    monkeypatch.setattr("importlib.resources.files", lambda name: tmp_path / name)
    assert files.resource("weights") == tmp_path / place


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


@pytest.mark.parametrize("filename", [None, "temporary"])
def test_an_error_in_writing_names_the_file_and_others_stay(tmp_path, filename):
    path = tmp_path / "out.png"
    full = pytest.raises(OSError, match="No space left on device: '.*out.png'$")
    with full as caught, atomic_path(path) as temporary:
        name = [temporary] if filename else []
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *name)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="^another: x$"), atomic_path(path):
        raise OSError("another: x")


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


def _refusing(number):
    return mock.Mock(side_effect=OSError(number, os.strerror(number)))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_on_a_file_system_it_goes_on_with_a_warning(
    tmp_path, monkeypatch, capsys, number
):
    monkeypatch.setattr("fcntl.flock", _refusing(number))
    with files.locked(tmp_path / "lock") as file:
        file.write("held")
    assert f"lock: no locks on this file system ({os.strerror(number)})" in capsys.readouterr().err


def test_an_error_of_a_lock_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", _refusing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), files.locked(tmp_path / "lock"):
        pass


def test_a_folder_that_cant_be_brought_to_the_disk_is_no_error_but_a_broken_disk_is(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("os.fsync", _refusing(errno.EINVAL))
    files.to_disk(tmp_path)
    monkeypatch.setattr("os.fsync", _refusing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        files.to_disk(tmp_path)


def test_of_a_link_the_folder_itself_is_set_aside_and_the_link_stays(tmp_path):
    disk = tmp_path / "disk" / "checkpoint"
    disk.mkdir(parents=True)
    (disk / "a").touch()
    link = tmp_path / "checkpoint"
    link.symlink_to(disk)
    assert set_aside([link]) == {disk: disk.with_name("checkpoint.1")}
    assert link.is_symlink()
    assert list(link.iterdir()) == []
    assert (disk.with_name("checkpoint.1") / "a").exists()


def test_a_folder_that_cant_be_renamed_leaves_the_others_in_place(tmp_path, monkeypatch):
    for name in ("train", "checkpoint"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").touch()
    rename = os.rename

    def refusing(old, new):
        if str(old).endswith("checkpoint"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rename(old, new)

    monkeypatch.setattr("os.rename", refusing)
    with pytest.raises(OSError, match="checkpoint can't be moved aside .*: move what is in it"):
        set_aside([tmp_path / "train", tmp_path / "checkpoint"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "train"]
