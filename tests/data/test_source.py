import os
import shutil
import tracemalloc

import numpy as np
import pytest

import srez.data.local
import srez.data.parts
import srez.data.source
from srez.data.parts import PARTITION
from srez.data.source import open_source
from srez.data.split import split_source
from srez.options import FIELDS
from srez.pictures.bad import NoPictures
from tests.conftest import FACES
from tests.odd_files import zipped


def _zip(faces, path, *extra):
    pictures = [
        (f"img_align_celeba/{picture.name}", picture.read_bytes())
        for picture in sorted(faces.iterdir())
    ]
    return zipped(path, [*pictures, *extra])


def _split(source, test_vectors=3, random_seed=0, batch_size=4):
    return split_source(source, test_vectors, random_seed, batch_size)


def test_a_folder_is_listed_recursively_and_in_order(folder):
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "00.jpg").rename(folder / "deep" / "er" / "x.JPeG")
    names = open_source(folder).names
    assert len(names) == FACES
    assert names == sorted(names)
    assert "deep/er/x.JPeG" in names


def test_a_file_that_two_parts_hold_is_refused(folder):
    (folder / "deep").mkdir()
    shutil.copy(folder / "00.jpg", folder / "deep" / "00.jpg")
    with pytest.raises(OSError, match="names pictures twice: one part holds another"):
        open_source(f"{folder},{folder}/deep")


def test_a_long_listing_says_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(srez.data.source, "QUIET", 0.0)
    counts = range(1, 1025)
    for number in counts:
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    assert open_source(tmp_path).identities.sum() == 1024
    assert capsys.readouterr().err.splitlines() == [
        f"srez: {tmp_path}: {count:,} pictures {done} so far"
        for done in ("listed", "looked at")
        for count in counts
    ]


MANY = 20_000


def test_a_picture_listed_takes_little_memory(tmp_path):
    for number in range(MANY):
        (tmp_path / f"{number:06d}.jpg").touch()
    tracemalloc.start()
    try:
        source = open_source(tmp_path)
        now, peak = (size / MANY for size in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert len(source.names) == MANY
    assert now < 130  # bytes
    assert peak < 250


def test_the_fingerprint_tells_other_names_or_another_list_but_not_another_place(folder):
    found = [open_source(folder).fingerprint]
    moved = folder.rename(folder.with_name("moved"))
    assert open_source(moved).fingerprint == found[0]
    (moved / "00.jpg").rename(moved / "new.jpg")
    found.append(open_source(moved).fingerprint)
    (moved / PARTITION).write_text("01.jpg 2\n")
    found.append(open_source(moved).fingerprint)
    assert len(set(found)) == 3


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_identities_tell_which_picture_has_changed(folder, tmp_path, kind):
    def identities():
        path = folder if kind == "folder" else _zip(folder, tmp_path / "faces.zip")
        return open_source(path).identities

    before = identities()
    assert before.dtype == np.int64
    assert before.shape == (FACES,)
    os.utime(folder / "02.jpg", (10**9, 10**9))
    assert (identities() == before).all()
    (folder / "03.jpg").write_bytes((folder / "03.jpg").read_bytes() + b"more")
    assert np.flatnonzero(identities() != before).tolist() == [3]


def test_identities_cost_nothing_until_they_are_asked_for(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(srez.data.local, "stamp", lambda path: asked.append(path) or [1, 0])
    source = open_source(folder)
    source.read(0)
    assert not asked
    assert source.identities.tolist() == source.identities.tolist() == [1] * FACES
    assert len(asked) == FACES


def test_a_damaged_list_in_a_zip_is_named(faces, tmp_path):
    path = _zip(faces, tmp_path / "faces.zip", (PARTITION, "00.jpg 2\n"))
    path.write_bytes(path.read_bytes().replace(b"00.jpg 2", b"00.jpg 1"))
    with pytest.raises(OSError, match=f"{PARTITION}: the zip's entry is damaged"):
        open_source(path)


def test_a_shuffled_split_uses_each_picture_once(faces):
    split = _split(open_source(faces))
    assert len(split.test) == 3
    assert len(split.validation) == FACES // 10
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together) == list(range(FACES))


def test_a_shuffled_split_depends_on_the_seed_alone(faces):
    source = open_source(faces)
    assert (_split(source).test == _split(source).test).all()
    assert (_split(source).test != _split(source, random_seed=1).test).any()


def test_the_list_of_celeba_splits_a_folder(folder):
    (folder / PARTITION).write_text("00.jpg 2\n01.jpg 1\n02.jpg 0\n03.jpg 2\ngone.jpg 1\n")
    split = _split(open_source(folder), test_vectors=1)
    assert split.test.tolist() == [0, 3]
    assert split.validation.tolist() == [1]
    assert len(split.train) == FACES - 3
    assert "1 of its names have no picture here" in split.note
    assert "not by --test_vectors" in split.note
    usual = _split(open_source(folder), test_vectors=FIELDS["test_vectors"].default)
    assert "--test_vectors" not in usual.note


@pytest.mark.parametrize("text", ["00.jpg 0\n", "000001.jpg 2\n000002.jpg 0\n", "<html>\n"])
def test_a_list_without_a_test_picture_does_not_count_and_that_is_said(folder, capsys, text):
    (folder / PARTITION).write_text(text)
    split = _split(open_source(folder))
    assert len(split.test) == 3
    assert f"because {PARTITION} names no test picture" in split.note
    assert f"Warning: the pictures of {folder}" in capsys.readouterr().out


def test_a_list_that_names_few_of_the_pictures_is_said(folder, capsys):
    (folder / PARTITION).write_text("00.jpg 2\n01.jpg 1\n")
    assert _split(open_source(folder)).test.tolist() == [0]
    assert f"{PARTITION} names only 2 of the {FACES} pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["00.png 2\n01.png 1\n", "image_id,partition\n00.jpg,2\n01.jpg,1\n", "00 2\r\n01 1\r\n"]
)
def test_the_list_counts_for_other_suffixes_and_as_a_table(folder, text):
    (folder / PARTITION).write_text(text)
    split = _split(open_source(folder))
    assert (split.test.tolist(), split.validation.tolist()) == ([0], [1])


@pytest.mark.parametrize("slash", ["/", "\\"])  # a zip that was made on Windows may have \
def test_the_list_counts_in_a_zip_whose_names_have_folders(tmp_path, slash):
    names = [f"img{slash}{number:02d}.jpg" for number in range(FACES)]
    entries = [*((name, b"") for name in names), (f"Eval{slash}{PARTITION}", "05.jpg 2\n")]
    path = zipped(tmp_path / "a.zip", entries)
    assert _split(open_source(path)).test.tolist() == [5]


@pytest.mark.parametrize(("test_vectors", "batch_size"), [(3, 22), (FACES, 1), (FACES + 5, 1)])
def test_too_few_pictures_are_counted(faces, test_vectors, batch_size):
    with pytest.raises(FileNotFoundError, match=f"holds {FACES} pictures.*too few"):
        _split(open_source(faces), test_vectors=test_vectors, batch_size=batch_size)


def test_the_drawn_faces_are_a_source(faces, monkeypatch):
    monkeypatch.setattr(srez.data.source, "sample_faces", lambda: faces)
    source = open_source(None)
    assert source.label == "the built-in drawn sample faces"
    assert len(source.names) == FACES


AWAY = {
    "moved": lambda path: path.rename(path.with_name("elsewhere")),
    "unmounted": lambda path: [picture.unlink() for picture in path.iterdir()],
    "cut off": lambda path: os.truncate(path, 5000),
}


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("with_more", [False, True])
def test_pictures_that_are_gone_are_told_from_a_bad_one(folder, tmp_path, away, with_more):
    path = _zip(folder, tmp_path / "faces.zip") if away == "cut off" else folder
    more = tmp_path / "more"
    more.mkdir()
    for name in ("x.jpg", "y.jpg"):
        shutil.copy(folder / "00.jpg", more / name)
    source = open_source(f"{path},{more}" if with_more else path)
    if path == folder:
        (folder / "03.jpg").unlink()
        with pytest.raises(OSError, match="03.jpg") as caught:
            source.read(3)
        assert not isinstance(caught.value, NoPictures)
    AWAY[away](path)
    number = next(number for number, name in enumerate(source.names) if name.endswith("20.jpg"))
    with pytest.raises(NoPictures, match=f"{path.name}: its pictures can't be read any more"):
        source.read(number)
    if with_more:
        assert source.read(source.names.index("y.jpg"))
