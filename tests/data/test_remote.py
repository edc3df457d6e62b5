import itertools

import pytest
import tensorflow as tf

import srez.data.remote
from srez.data.parts import PARTITION
from srez.data.source import open_source
from srez.data.split import split_source
from tests.odd_files import zipped

_NUMBERS = itertools.count()


@pytest.fixture
def place():
    """A folder of TensorFlow's file system in memory."""
    return f"ram://srez{next(_NUMBERS)}"


def _write(path, content):
    tf.io.gfile.makedirs(srez.data.remote.parent(path))
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)


def _zip(path, tmp_path, entries):
    _write(path, zipped(tmp_path / "some.zip", entries).read_bytes())


def test_a_remote_folder_gives_what_the_same_folder_here_gives(place, faces):
    for path in faces.iterdir():
        _write(f"{place}/faces/deep/{path.name}", path.read_bytes())
    _write(f"{place}/faces/.hidden/x.jpg", b"x")
    _write(f"{place}/faces/notes.txt", b"x")
    here, there = open_source(faces), open_source(f"{place}/faces")
    assert there.names == [f"deep/{name}" for name in here.names]
    assert [there.read(number) for number in (0, 7)] == [here.read(number) for number in (0, 7)]
    tf.io.gfile.remove(f"{place}/faces/deep/00.jpg")
    assert there.identities.tolist() == [-1, *here.identities[1:].tolist()]


def test_remote_zips_are_found_by_a_pattern_and_read_in_place_also_with_local_parts(
    place, tmp_path
):
    for shard in range(3):
        entries = [(f"{shard}{number}.jpg", f"{shard}{number}" * 9) for number in range(5)]
        _zip(f"{place}/shards/faces-{shard}.zip", tmp_path, entries)
    zipped(tmp_path / "local.zip", [("zz.jpg", "zz" * 9)])
    source = open_source(f"{tmp_path}/local.zip,{place}/shards/faces-*.zip")
    assert len(source.names) == 16
    for number in (14, 0, 15, 7):
        assert source.read(number).decode() == source.names[number][:2] * 9


def test_the_list_of_the_split_beside_remote_zips_counts(place, tmp_path):
    _zip(f"{place}/a.zip", tmp_path, [(f"{number}.jpg", b"x") for number in range(9)])
    _write(f"{place}/{PARTITION}", b"3.jpg 2\n")
    assert split_source(open_source(f"{place}/a.zip"), 1, 0, 4).test.tolist() == [3]


def test_what_is_not_there_is_one_line(place, tmp_path):
    _zip(f"{place}/a.zip", tmp_path, [("a.jpg", b"x")])
    for name, message in [("b.zip", "does not exist"), ("b*.zip", "matches nothing")]:
        with pytest.raises(FileNotFoundError, match=message):
            open_source(f"{place}/{name}")
    with pytest.raises(OSError, match="^ram://nowhere/x: ") as caught:
        srez.data.remote.read_file("ram://nowhere/x")
    assert "\n" not in str(caught.value)


def test_a_remote_file_that_is_too_large_is_refused(place, monkeypatch):
    monkeypatch.setattr(srez.data.remote, "MAX_BYTES", 10)
    _write(f"{place}/a.jpg", bytes(11))
    with pytest.raises(OSError, match=r"^a\.jpg: larger than"):
        srez.data.remote.read_file(f"{place}/a.jpg", "a.jpg")


def test_a_remote_zip_that_is_cut_off_is_told(place, tmp_path):
    data = zipped(tmp_path / "a.zip", [("a.jpg", b"x" * 99)]).read_bytes()
    _write(f"{place}/a.zip", data[:-30])
    with pytest.raises(OSError, match=f"--dataset={place}/a.zip is no whole zip"):
        open_source(f"{place}/a.zip")
