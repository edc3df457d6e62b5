import os

import pytest

import srez.data.local
from srez.data.local import File


def _make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("offset", "count", "expected"), [(98, 5, b"bc"), (0, 2, b"\0\1"), (100, 1, b"")]
)
def test_a_file_is_read_at_any_place(tmp_path, offset, count, expected):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    file = File(tmp_path / "file")
    assert file.size == 100
    assert file.read_at(offset, count) == expected


def test_a_file_is_closed_with_its_last_use(tmp_path):
    _make(tmp_path, "file")
    file = File(tmp_path / "file")
    stream = file.stream
    assert not stream.closed
    del file
    assert stream.closed


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
    _make(tmp_path, "a", "deep/er/b", ".hidden/c", "deep/.hidden/d", "deep/.e")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to("nowhere")
    found = sorted(srez.data.local.walk(tmp_path, lambda name: name.startswith(".")))
    assert found == ["a", "deep/.e", "deep/er/b", "gone"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("a*", ["a1", "a2"]), ("[b-z]?", ["b1"]), ("**/a?", ["a1", "a2", "c/a3"]), ("nothing*", [])],
)
def test_a_pattern_stands_for_paths_in_order(here, pattern, expected):
    _make(here, "b1", "a1", "a2", "c/a3")
    assert srez.data.local.matches(pattern) == expected


def test_what_lies_above_a_path_is_its_parent(here):
    assert srez.data.local.parent(".") == str(here.parent)
    assert srez.data.local.parent("folder/") == str(here)
