import json
import shutil

import numpy as np
import pytest
from PIL import Image

from srez.data.left_out import is_made, made_by_srez
from srez.data.source import open_source
from srez.data.split import split_source
from srez.pictures.image import MADE, write_image
from srez.run.resume import kept_files, resumed_split
from tests.conftest import FACES
from tests.odd_files import encoded, face, zipped

BINS = ["@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found", "Thumbs", ".Trash-1000"]
BINS += ["__MACOSX"]
RUN = [  # what a training and an enlarging leave where they were started; and a user's pictures
    "train/batch000000_out.png",
    "earlier.1/batch1000000_out.png",
    "result/a.png",
    "result/b_1.png",
    "result/b_2.png",
    "result/compare/a.png",
    "result/compare/b.png",
    "result/photo/b.png",
    "me_large.jpg",
    "me_large_compare.png",
    "me_large_photo.png",
]
MINE = ["me.jpg", "compare/me.png", "result/c.png", "me_compare.png", "batch2_out.png", "me_1.jpg"]
MINE += ["batch000200_out.png/a.png", "Thumbs.jpg", "thumbnails128x128/a.jpg", "a@eaDir/a.jpg"]


@pytest.fixture
def folder(here, faces):
    """A folder with faces, in which the test runs."""
    return shutil.copytree(faces, here, dirs_exist_ok=True)


def _write(folder, names, about=None):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, np.zeros((8, 8, 3)), about)


@pytest.mark.parametrize("name", BINS)
def test_thumbnails_and_bins_of_a_folder_are_left_out_and_said(folder, capsys, name):
    _write(folder, [f"{name}/a.png", f"deep/{name.lower()}/er/b.png", "deep/c.png"])
    assert len(open_source(folder).names) == FACES + 1
    [line] = capsys.readouterr().err.splitlines()
    said = sorted({name, name.lower()})
    assert line == (
        f"srez: {folder}: left out {', '.join(said)}: folders of thumbnails and deleted files"
    )


@pytest.mark.parametrize("name", BINS)
def test_thumbnails_and_bins_of_a_zip_are_left_out_and_said(here, capsys, name):
    zipped("a.zip", [(f"x/{name}/a.png", b"1"), ("x/b.png", b"2"), (f"{name}\\c.png", b"3")])
    assert open_source("a.zip").names == ["x/b.png"]
    assert capsys.readouterr().err.count(f"a.zip: left out {name}: folders of") == 1


def test_a_pattern_finds_no_bins(folder, capsys):
    for name in ("one", "@eaDir", "lost+found"):
        _write(folder, [f"parts/{name}/{name[0]}.png"])
    assert open_source("parts/*").names == ["o.png"]
    assert "--dataset=parts/*: left out @eaDir, lost+found: folders" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["@eaDir", "lost+found/*"])
def test_a_bin_that_was_asked_for_is_taken(folder, given, capsys):
    _write(folder, ["@eaDir/a.png", "lost+found/more/a.png"])
    assert open_source(given).names == ["a.png"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_srez_made_is_left_out_and_said(folder, capsys, kind):
    _write(folder, RUN, MADE)
    _write(folder, MINE)
    dataset = "."
    if kind == "zip":
        paths = (path for path in folder.rglob("*") if path.is_file())
        files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]
        dataset = zipped("a.zip", files)
    assert len(set(open_source(dataset).names) & set(MINE)) == len(MINE)
    assert len(open_source(dataset).names) == FACES + len(MINE)
    said = f"left out {len(RUN)} pictures that srez made: sheets, results, comparisons"
    assert said in capsys.readouterr().err


def test_sheets_and_comparisons_from_before_they_were_marked_are_left_out_too(folder):
    marked = [name for name in RUN if "compare" not in name and "batch" not in name]
    _write(folder, RUN)
    _write(folder, marked, MADE)
    assert len(open_source(folder).names) == FACES


def test_a_folder_of_nothing_but_sheets_is_refused(here):
    _write(here, RUN, MADE)
    with pytest.raises(FileNotFoundError, match="--dataset=. holds no other pictures"):
        open_source(".")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_result_of_any_name_is_known_when_it_is_read(folder, suffix):
    _write(folder, [f"00-mine{suffix}"], MADE | {"Comment": "Made by srez."})
    source = open_source(folder)
    number = source.names.index(f"00-mine{suffix}")
    with pytest.raises(OSError, match=f"00-mine{suffix}: made by srez"):
        source.read(number)


@pytest.mark.parametrize(
    "data",
    [b"", b"srez ", encoded(face(), "PNG"), encoded(face(), comment=b"like srez 2.0 does")],
)
def test_what_others_made_is_no_result(data):
    assert not is_made(data)


def test_names_that_tell_nothing_cost_no_reading():
    assert made_by_srez(["a.png", "a_photo.png", "compared.png"], read=None) == set()


def _kept_before(folder, monkeypatch):
    """What a checkpoint kept of the pictures when all were taken that are here."""
    with monkeypatch.context() as context:
        context.setattr("srez.data.source.made_by_srez", lambda names, read: set())
        source = open_source(folder)
        split = split_source(source, 6, 0, 4)
        return json.loads(json.dumps(kept_files(source, split))), split


def test_a_run_that_began_with_srezs_own_pictures_goes_on_without_them(folder, monkeypatch):
    _write(folder, RUN, MADE)
    kept, old = _kept_before(folder, monkeypatch)
    names = kept["names"]
    assert any(names[number] in RUN for number in kept["test"])
    source = open_source(folder)
    split = resumed_split("ckpt", kept, source)
    assert f"; {len(RUN)} pictures of then left out now" in split.note
    for part in ("train", "validation", "test"):
        expected = [names[number] for number in getattr(old, part) if names[number] not in RUN]
        assert [source.names[number] for number in getattr(split, part)] == expected


def test_a_run_that_began_with_thumbnails_goes_on_without_them(folder):
    source = open_source(folder)
    kept = kept_files(source, split_source(source, 3, 0, 4))
    kept["names"] += ["@eaDir/00.jpg/SYNOPHOTO.jpg"]
    kept["identities"] += [99]
    kept["train"] += [FACES]
    split = resumed_split("ckpt", kept, open_source(folder))
    assert "; 1 picture of then left out now: srez's own, or thumbnails" in split.note
    assert len(split.train) == len(kept["train"]) - 1


def test_a_run_whose_test_pictures_are_all_srezs_own_is_refused(folder, monkeypatch):
    _write(folder, RUN, MADE)
    kept, _ = _kept_before(folder, monkeypatch)
    kept["test"] = [kept["names"].index("train/batch000000_out.png")]
    with pytest.raises(FileExistsError, match="all test pictures of ckpt were srez's own"):
        resumed_split("ckpt", kept, open_source(folder))


def test_a_run_on_very_many_pictures_is_told_what_is_left_out_now(folder, monkeypatch):
    monkeypatch.setattr("srez.run.resume.KEPT_BY_NAME", 10)
    _write(folder, RUN, MADE)
    kept, _ = _kept_before(folder, monkeypatch)
    match = f"there were 35 and now there are 24; left out now: {len(RUN)} pictures that srez made"
    with pytest.raises(FileExistsError, match=match):
        resumed_split("ckpt", kept, open_source(folder))


def test_a_picture_with_a_long_exif_is_known_too(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "x" * 50_000
    exif[0x0131] = "srez 2.0"
    face().save(tmp_path / "a.jpg", exif=exif)
    assert is_made((tmp_path / "a.jpg").read_bytes())
