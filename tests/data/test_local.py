import os

import srez.data.local
from srez.data.local import LocalFile


def _make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_file_is_closed_with_its_last_use(tmp_path):
    _make(tmp_path, "file")
    file = LocalFile(tmp_path / "file")
    stream = file.stream
    assert not stream.closed
    del file
    assert stream.closed


def test_the_stamp_tells_a_changed_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    stamps = [srez.data.local.stamp(path)]
    assert (LocalFile(path).stamp, LocalFile(path).size) == (stamps[0], 3)
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
