import zlib

import numpy as np

from srez_source import open_source
from srez_zip import DEFLATED, STORED
from tests.odd_files import jpeg, zipped


def _places(dataset):
    source = open_source(dataset)
    return source, source.locate(source.identities)


def test_a_folder_s_pictures_have_paths_below_it_and_sizes(tmp_path, monkeypatch):
    (tmp_path / "faces" / "below").mkdir(parents=True)
    for name in ("b.jpg", "below/a.jpg"):
        (tmp_path / "faces" / name).write_bytes(jpeg())
    monkeypatch.chdir(tmp_path)
    _, places = _places("faces")
    assert places.paths == [bytes(tmp_path / "faces")]
    assert places.names == [b"b.jpg", b"below/a.jpg"]
    assert places.zip_sizes.tolist() == [-1]
    assert places.entries[:, 4].tolist() == [len(jpeg())] * 2


def test_a_zip_s_pictures_are_where_the_entry_says(tmp_path):
    for compression, kind in ((0, STORED), (8, DEFLATED)):
        path = zipped(
            tmp_path / f"{kind}.zip", [("b.jpg", jpeg(1)), ("a.jpg", jpeg(2))], compression
        )
        source, places = _places(path)
        assert list(source.names) == ["a.jpg", "b.jpg"]
        assert places.names == [b"", b""]
        assert places.zip_sizes.tolist() == [path.stat().st_size]
        assert places.entries[1, [0, 1, 2, 4]].tolist() == [
            0,
            kind,
            zlib.crc32(jpeg(1)),
            len(jpeg(1)),
        ]
        assert path.read_bytes()[places.entries[0, 0] :].startswith(b"PK\3\4")


def test_of_names_in_two_parts_the_part_is_not_in_the_path(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(jpeg())
    source, places = _places(f"{tmp_path / 'one'},{tmp_path / 'two'}")
    assert source.names[0] == f"{tmp_path}/one/a.jpg"
    assert places.names == [b"a.jpg", b"a.jpg"]
    assert places.part.tolist() == [0, 1]


def test_a_remote_part_keeps_its_address(tmp_path):
    import tensorflow as tf

    tf.io.gfile.makedirs("ram://remote/faces")
    with tf.io.gfile.GFile("ram://remote/faces/a.jpg", "wb") as file:
        file.write(jpeg())
    source, places = _places("ram://remote/faces")
    assert places.paths == [b"ram://remote/faces"]
    np.testing.assert_array_equal(places.entries[:, 4], source.identities)
