import os
import shutil
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

import srez.data.local
import srez.data.parts
import srez.data.source
from srez.data.parts import PARTITION
from srez.data.source import open_source
from srez.data.split import split_source
from tests.conftest import FACES


@pytest.fixture
def folder(faces, tmp_path):
    """A folder with the faces that a test may change."""
    return shutil.copytree(faces, tmp_path / "pictures")


def _zip(faces, path, compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for picture in sorted(faces.iterdir()):
            archive.write(picture, f"img_align_celeba/{picture.name}")
        for name, content in extra:
            archive.writestr(name, content)
    return path


def _split(source, test_vectors=3, random_seed=0, batch_size=4):
    return split_source(source, test_vectors, random_seed, batch_size)


def test_a_folder_is_listed_recursively_and_in_order(folder):
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "00.jpg").rename(folder / "deep" / "er" / "x.JPeG")
    names = open_source(folder).names
    assert len(names) == FACES
    assert names == sorted(names)
    assert "deep/er/x.JPeG" in names


@pytest.mark.parametrize("name", ["notes.txt", ".hidden.jpg", "__MACOSX/a.jpg", ".git/a.png"])
def test_what_is_no_picture_is_ignored(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "00.jpg", folder / name)
    assert len(open_source(folder).names) == FACES


def test_names_are_sorted_over_all_parts_and_the_last_of_one_name_in_a_part_counts(here):
    for path, entries in (("b.zip", "bdb"), ("a.zip", "ca")):
        with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings(action="ignore"):
            for place, name in enumerate(entries):
                archive.writestr(f"{name}.jpg", f"{path} {place}")
    source = open_source("b.zip,a.zip")
    assert source.names == [f"{name}.jpg" for name in "abcd"]
    found = [source.read(number).decode() for number in range(4)]
    assert found == ["a.zip 1", "b.zip 2", "a.zip 0", "b.zip 1"]


def test_a_file_that_two_parts_hold_is_refused(folder):
    (folder / "deep").mkdir()
    shutil.copy(folder / "00.jpg", folder / "deep" / "00.jpg")
    with pytest.raises(OSError, match="names pictures twice: one part holds another"):
        open_source(f"{folder},{folder}/deep")


def test_a_long_listing_says_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(srez.data.source, "QUIET", 0.0)
    for number in range(2050):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    assert open_source(tmp_path).identities.sum() == 2050
    lines = capsys.readouterr().err.splitlines()
    words = ("1,024 pictures listed", "2,048 pictures listed", "0 pictures looked at")
    assert [line.startswith(f"srez: {tmp_path}: ") for line in lines] == [True] * 5
    assert all(word in line for word, line in zip(words, lines, strict=False))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_gives_the_bytes_of_its_files(faces, tmp_path, compression):
    source = open_source(_zip(faces, tmp_path / "faces.zip", compression))
    assert len(source.names) == FACES
    for number in (0, FACES - 1):
        name = os.path.basename(source.names[number])
        assert source.read(number) == (faces / name).read_bytes()


def test_a_zip_without_pictures_of_its_own_is_refused(tmp_path):
    path = _zip(tmp_path, tmp_path.parent / "empty.zip", extra=[("__MACOSX/._a.jpg", "x")])
    with pytest.raises(FileNotFoundError, match=r"empty\.zip holds no \.jpg"):
        open_source(path)


def test_an_encrypted_entry_is_refused_by_name(faces, tmp_path):
    path = _zip(faces, tmp_path / "faces.zip")
    source = open_source(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flag in the first entry of the directory
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"img_align_celeba/00\.jpg.*encrypted"):
        open_source(path).read(0)
    assert source.read(0)


def test_an_html_page_named_zip_is_told_from_a_zip(tmp_path):
    (tmp_path / "page.zip").write_text("<!DOCTYPE html><HTML><body>Quota exceeded</body></html>")
    with pytest.raises(OSError, match=r"page\.zip is an HTML page"):
        open_source(tmp_path / "page.zip")


def test_a_zip_that_is_cut_off_is_told(faces, tmp_path):
    path = _zip(faces, tmp_path / "faces.zip")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(OSError, match=r"faces\.zip is no whole zip archive.*download"):
        open_source(path)


MANY = 20_000


def test_a_picture_listed_takes_little_memory(tmp_path):
    (tmp_path / "some").mkdir()
    for number in range(MANY):
        (tmp_path / "some" / f"{number:06d}.jpg").touch()
    tracemalloc.start()
    try:
        source = open_source(tmp_path)
        now, peak = (size / MANY for size in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert len(source.names) == MANY
    assert now < 150  # bytes
    assert peak < 300


def test_a_missing_dataset_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="--dataset=.*nowhere does not exist"):
        open_source(tmp_path / "nowhere")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no .jpg"):
        open_source(tmp_path)


def test_the_fingerprint_stays_when_the_folder_moves(folder):
    before = open_source(folder).fingerprint
    moved = folder.rename(folder.with_name("moved"))
    assert open_source(moved).fingerprint == before
    (moved / "00.jpg").rename(moved / "new.jpg")
    assert open_source(moved).fingerprint != before


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
    monkeypatch.setattr(srez.data.local, "size", lambda path: asked.append(path) or 1)
    source = open_source(folder)
    source.read(0)
    assert not asked
    assert source.identities.tolist() == source.identities.tolist() == [1] * FACES
    assert len(asked) == FACES


def test_a_picture_that_is_gone_has_an_identity(folder):
    source = open_source(folder)
    (folder / "03.jpg").unlink()
    assert source.identities[3] == -1


def test_a_damaged_list_in_a_zip_is_named(faces, tmp_path):
    path = _zip(faces, tmp_path / "faces.zip", extra=[(PARTITION, "00.jpg 2\n")])
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


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_a_folder_is_split_by_the_list_of_celeba(folder, place):
    where = folder if place == "inside" else folder.parent
    (where / PARTITION).write_text("00.jpg 2\n01.jpg 1\n02.jpg 0\n03.jpg 2\ngone.jpg 1\n")
    split = _split(open_source(folder), test_vectors=1)
    assert split.test.tolist() == [0, 3]
    assert split.validation.tolist() == [1]
    assert len(split.train) == FACES - 3
    assert "1 of its names are not among the pictures" in split.note
    assert "--test_vectors limits nothing" in split.note


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_a_zip_is_split_by_the_list_of_celeba(faces, tmp_path, place):
    text = "05.jpg 2\n"
    extra = [(f"Eval/{PARTITION}", text)] if place == "inside" else []
    path = _zip(faces, tmp_path / "faces.zip", extra=extra)
    if place == "beside":
        (tmp_path / PARTITION).write_text(text)
    assert _split(open_source(path)).test.tolist() == [5]


def test_a_list_without_a_test_picture_is_no_list(folder):
    (folder / PARTITION).write_text("00.jpg 0\n")
    assert len(_split(open_source(folder)).test) == 3


def test_a_new_list_changes_the_fingerprint(folder):
    before = open_source(folder).fingerprint
    (folder / PARTITION).write_text("00.jpg 2\n")
    assert open_source(folder).fingerprint != before


@pytest.mark.parametrize(("test_vectors", "batch_size"), [(3, 22), (FACES, 1), (FACES + 5, 1)])
def test_too_few_pictures_are_counted(faces, test_vectors, batch_size):
    with pytest.raises(FileNotFoundError, match=f"holds {FACES} pictures.*too few"):
        _split(open_source(faces), test_vectors=test_vectors, batch_size=batch_size)


def test_the_drawn_faces_are_a_source(faces, monkeypatch):
    monkeypatch.setattr(srez.data.source, "sample_faces", lambda: faces)
    source = open_source(None)
    assert source.label == "the built-in drawn sample faces"
    assert len(source.names) == FACES
