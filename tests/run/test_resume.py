import errno
import json
import os
import shutil
import types
from pathlib import Path

import numpy as np
import pytest

import srez.files
import srez.run.resume
from srez.data.parts import PARTITION
from srez.data.source import open_source
from srez.data.split import split_source
from srez.run.checkpoint import locked
from srez.run.resume import (
    FIXED_OPTIONS,
    PARTS,
    changed_options,
    claimed,
    kept_files,
    resumed_split,
)
from tests.conftest import small_config

OPTIONS = dict.fromkeys(FIXED_OPTIONS, 1) | {
    "precision": "float32",
    "resume": True,
    "source": "faces/",
    "train_time": 20.0,
}


def test_the_same_options_are_no_change():
    assert changed_options("ckpt", OPTIONS, OPTIONS | {"source": "moved/", "resume": False}) == []


def test_other_options_are_taken_and_said():
    new = OPTIONS | {"train_time": 60.0, "precision": "bfloat16"}
    assert changed_options("ckpt", OPTIONS, new) == [
        "--precision is now bfloat16, was float32.",
        "--train_time is now 60.0, was 20.0.",
    ]


@pytest.mark.parametrize("name", FIXED_OPTIONS)
def test_a_run_may_not_go_on_with_other_fixed_options(name):
    with pytest.raises(FileExistsError, match=f"trained with --{name}=1, not 2.*--noresume"):
        changed_options("ckpt", OPTIONS, OPTIONS | {name: 2})


def test_a_run_from_before_there_were_recipes_is_of_the_original():
    old = {name: value for name, value in OPTIONS.items() if name not in ("recipe", "l1_batches")}
    new = OPTIONS | {"recipe": "original", "l1_batches": 4000}
    assert changed_options("ckpt", old, new) == []
    with pytest.raises(FileExistsError, match="trained with --recipe=original, not modern"):
        changed_options("ckpt", old, new | {"recipe": "modern"})


def test_a_run_may_not_go_on_with_or_without_loss_scaling():
    with pytest.raises(FileExistsError, match="--precision=float32, not float16"):
        changed_options("ckpt", OPTIONS, OPTIONS | {"precision": "float16"})


@pytest.fixture
def kept(folder):
    """What a checkpoint keeps of the pictures, as read from its JSON."""
    source = open_source(folder)
    return json.loads(json.dumps(kept_files(source, split_source(source, 3, 0, 4))))


@pytest.fixture
def many(monkeypatch):
    """10 pictures are very many from here on: before `kept` or after it in a test's arguments."""
    monkeypatch.setattr(srez.run.resume, "KEPT_BY_NAME", 10)


def _names(source, numbers):
    return [source.names[number] for number in numbers]


def test_new_pictures_are_taken_for_training_alone(folder, kept):
    before = open_source(folder)
    shutil.copy(folder / "00.jpg", folder / "0-new.jpg")
    source = open_source(folder)
    split = resumed_split("ckpt", kept, source)
    note = f"split by a seeded shuffle, because there is no {PARTITION}"
    note += "; 1 picture came later, for training"
    assert split.note == note
    assert resumed_split("ckpt", kept_files(source, split), source).note == note
    for part in ("validation", "test"):
        assert _names(source, getattr(split, part)) == _names(before, kept[part])
    assert _names(source, split.train) == [*_names(before, kept["train"]), "0-new.jpg"]


def test_missing_pictures_are_refused_by_name(folder, kept):
    (folder / "07.jpg").unlink()
    with pytest.raises(FileExistsError, match=r"1 of the pictures .* missing in .*'07.jpg'"):
        resumed_split("ckpt", kept, open_source(folder))


def test_changed_pictures_are_refused_by_name(folder, kept):
    for name in ("03.jpg", "04.jpg", "05.jpg", "06.jpg"):
        (folder / name).write_bytes((folder / name).read_bytes() + b"\0")
    match = r"4 of the pictures .* changed in .*'03.jpg', '04.jpg', '05.jpg', \.\.\.\).*--noresume"
    with pytest.raises(FileExistsError, match=match):
        resumed_split("ckpt", kept, open_source(folder))


def test_other_pictures_are_refused_as_such(folder, kept, tmp_path):
    (tmp_path / "others").mkdir()
    shutil.copy(folder / "00.jpg", tmp_path / "others" / "00.jpg")
    with pytest.raises(FileExistsError, match="trained on .*faces, but .* other pictures:.*others"):
        resumed_split("ckpt", kept, open_source(tmp_path / "others"))


def test_of_very_many_pictures_little_is_kept_and_the_split_is_the_same(many, folder, kept):
    assert len(json.dumps(kept)) < 600
    assert kept["count"] == 24
    source = open_source(folder)
    split = resumed_split("ckpt", kept, source)
    new = split_source(source, 3, 0, 4)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(split, part), getattr(new, part))
    assert split.note == f"split by a seeded shuffle, because there is no {PARTITION}"
    assert kept_files(source, split) == kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "07.jpg").unlink(), "there were 24 and now there are 23"),
        (lambda folder: (folder / "07.jpg").rename(folder / "7.jpg"), "some have other names"),
        (lambda folder: (folder / "07.jpg").write_bytes(b""), "some have changed"),
        (lambda folder: (folder / "list_eval_partition.txt").write_text("x"), "list of the split"),
    ],
)
def test_other_pictures_than_those_very_many_are_refused(many, folder, kept, change, message):
    change(folder)
    with pytest.raises(FileExistsError, match=f"^ckpt was trained .*{message}.*--noresume"):
        resumed_split("ckpt", kept, open_source(folder))


def test_a_run_that_was_kept_by_name_goes_on_by_name(folder, kept, many):
    shutil.copy(folder / "00.jpg", folder / "0-new.jpg")
    source = open_source(folder)
    split = resumed_split("ckpt", kept, source)
    again = resumed_split("ckpt", kept_files(source, split), source)
    np.testing.assert_array_equal(split.train, again.train)
    assert len(split.train) == len(kept["train"]) + 1


CHIEF = types.SimpleNamespace(is_chief=True, from_chief=lambda batch: batch)


def _claimed(faces, **flags):
    """The context of a training that begins here."""
    return claimed(small_config(faces, **flags), CHIEF, open_source(faces))


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        ({"checkpoint_dir": "other"}, "train_dir=train"),
        ({"train_dir": "other"}, "checkpoint_dir=checkpoint"),
        ({"train_dir": "checkpoint", "checkpoint_dir": "other"}, "train_dir=checkpoint"),
        ({"train_dir": "link", "checkpoint_dir": "other"}, "train_dir=link"),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_second_training_may_share_neither_folder(here, faces, folders, name, resume):
    Path("train").mkdir()
    Path("link").symlink_to("train")
    with _claimed(faces):
        Path("train", "batch000000_out.png").write_text("live")
        refused = pytest.raises(OSError, match=f"--{name} is in use .*process {os.getpid()}")
        with refused, _claimed(faces, resume=resume, **folders):
            pass
        assert Path("train", "batch000000_out.png").exists()
    assert not {"train.1", "checkpoint.1"} & set(os.listdir())


@pytest.mark.parametrize("folder", [".", "both"])
def test_one_folder_may_serve_for_sheets_and_checkpoints(here, faces, folder):
    Path("notes.txt").write_text("mine")
    with _claimed(faces, train_dir=folder, checkpoint_dir=folder, resume=False):
        assert Path(folder, "lock").read_text() == str(os.getpid())
    assert os.listdir(here) == ["notes.txt"]


@pytest.mark.parametrize(
    ("checkpoint_dir", "moved"),
    [("checkpoint", ["checkpoint.1", "train.1"]), ("train/deep", ["train", "train.1"])],
)
def test_the_folders_are_held_though_old_results_were_moved_aside(
    here, faces, checkpoint_dir, moved
):
    for name in ("train/batch000000_out.png", f"{checkpoint_dir}/batch000001/manifest.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("{}")
    with _claimed(faces, checkpoint_dir=checkpoint_dir, resume=False):
        for name in ("train", checkpoint_dir):
            assert [path.name for path in Path(name).iterdir() if path.is_file()] == ["lock"]
            with pytest.raises(OSError, match="in use by another training"), locked(name):
                pass
    assert sorted(os.listdir()) == moved
    assert len(list(here.glob("**/*.1/batch000001"))) == 1


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("lock", "train_dir"),
        ("metrics.csv", "train_dir"),
        ("batch000001/me.jpg", "checkpoint_dir"),
    ],
)
def test_what_isnt_srezs_is_named_and_left_as_it_is(here, faces, name, folder):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(b"my own notes\n\xff")
    [there] = os.listdir()
    with pytest.raises(OSError, match=f"{there} is not srez's"), _claimed(faces, **{folder: "."}):
        pass
    assert Path(name).read_bytes() == b"my own notes\n\xff"
    assert os.listdir() == [there]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_train_dir_that_cant_be_written_to_is_no_hindrance(
    here, faces, monkeypatch, capsys, number
):
    lock = srez.files.locked

    def refusing(path):
        if path.parent.name == "train":
            raise OSError(number, os.strerror(number), str(path))
        return lock(path)

    monkeypatch.setattr("srez.files.locked", refusing)
    with _claimed(faces):
        assert Path("checkpoint", "lock").exists()
    said = f"srez: --train_dir=train can't be locked ({os.strerror(number)}): see to it yourself"
    assert said in capsys.readouterr().err
    Path("checkpoint").mkdir()
    with pytest.raises(OSError, match=os.strerror(number)), _claimed(faces, checkpoint_dir="train"):
        pass
