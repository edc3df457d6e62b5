import concurrent.futures
import errno
import os
from unittest import mock

import numpy as np
import pytest

from srez import files
from srez.files import atomic_path, locked, write_text
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


def test_a_link_is_written_through_and_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old.png").write_text("old")
    for link, target in (("a.png", "disk/old.png"), ("b.png", "disk/new.png"), ("c.png", "a.png")):
        (tmp_path / link).symlink_to(target)
        write_text(tmp_path / link, link)
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / link).read_text() == link
    assert (tmp_path / "disk" / "old.png").read_text() == "c.png"
    assert sorted(os.listdir(tmp_path / "disk")) == ["new.png", "old.png"]


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone" / "a.png")
    with pytest.raises(OSError, match=r"No such file or directory: '.*/a.png'$") as caught:
        write_text(tmp_path / "a.png", "new")
    assert "gone" not in str(caught.value)


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
