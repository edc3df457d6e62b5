import os

import pytest

import srez.data.local
from srez.data.local import File


def _is_hidden(name):
    return name.startswith(".")


def test_a_file_is_read_at_any_place(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    file = File(tmp_path / "file")
    assert file.size == 100
    assert file.read_at(98, 5) == b"bc"
    assert file.read_at(0, 2) == b"\0\1"
    assert file.read_at(100, 1) == b""


def test_the_descriptor_is_closed_with_the_last_use_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    file = File(tmp_path / "file")
    descriptor = file._descriptor
    os.fstat(descriptor)
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_the_stamp_tells_a_changed_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    stamps = [srez.data.local.stamp(path)]
    assert File(path).stamp == stamps[0]
    os.utime(path, ns=(0, 10**18))
    stamps.append(srez.data.local.stamp(path))
    path.write_bytes(b"three")
    stamps.append(srez.data.local.stamp(path))
    assert len(set(map(tuple, stamps))) == 3


def test_all_files_below_a_folder_are_found_and_no_hidden_ones(tmp_path):
    for name in ("a", "deep/er/b", ".hidden/c", "deep/.hidden/d", "deep/.e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to("nowhere")
    found = sorted(srez.data.local.walk(tmp_path, _is_hidden))
    assert found == ["a", "deep/.e", "deep/er/b", "gone"]


def test_a_pattern_stands_for_paths_in_order(here):
    for name in ("b1", "a1", "a2", "c/a3"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    assert srez.data.local.matches("a*") == ["a1", "a2"]
    assert srez.data.local.matches("[b-z]?") == ["b1"]
    assert srez.data.local.matches("**/a?") == ["a1", "a2", "c/a3"]
    assert srez.data.local.matches("nothing*") == []


def test_what_lies_above_a_path_is_its_parent(here):
    assert srez.data.local.parent(".") == str(here.parent)
    assert srez.data.local.parent("folder/") == str(here)
    assert srez.data.local.size("nowhere") == -1
