import errno
import os

import pytest

from srez.run.results import in_the_way, set_aside

HEADER = b"x" * 8 + b"brain.Event:2"
OWN = {  # a run's files in its train_dir, as they begin
    "batch000200_out.png": b"",
    "losses.csv": b"batch,loss/gene_loss\n10,1\n",
    "metrics.csv": b"",
    "options.json": b'{"run": "train", "batch_size": 16}',
    "bad_images.txt": b"a.jpg\tnot a picture\n",
    "bad_images_1.txt": b"",
    "events.out.tfevents.1.host.2.0.v2": HEADER + b"x" * 99 + b"loss/gene_loss",
    "bicubic/events.out.tfevents.1.host.2.1.v2": HEADER,
    "bicubic/events.out.tfevents.2.host.2.1.v2": HEADER + b"x" * 99 + b"validation/lr_psnr",
    "events.out.tfevents.2.host.2.0.v2": HEADER + b"x" * 99 + b"\n\x05sheet",
    "demo1.mp4": b"video",
    ".0123456789abcdef.png": b"left by a kill",
}
CHECKPOINT = {
    f"batch000200/{name}": b"x" for name in ("manifest.json", "run.json.gz", "tensors.index")
}
OTHERS = {  # what is not srez's, under names like its own
    "thesis.tex": b"thesis",
    "batch1_out.png": b"a picture",
    "batch000200/me.jpg": b"a picture",
    "events.out.tfevents.3.host.4.0.v2": HEADER + b"x" * 99 + b"loss/train",
    "events.out.tfevents.4.host.4.0.v2": HEADER + b"x" * 99 + b"validation/loss",
    "bicubic/me.png": b"a picture",
}


def _fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _files(folder):
    """What lies below a folder: contents by name."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("losses.csv", b"day,loss\n"),
        ("metrics.csv", b"name,accuracy\n"),
        ("options.json", b'{"font": 12}'),
        ("bad_images.txt", b"my notes\n"),
        ("batch000001/me.jpg", b"a picture"),
    ],
)
def test_what_is_not_srezs_and_has_a_name_that_a_run_needs_is_found(tmp_path, name, content):
    _fill(tmp_path, OWN)
    assert in_the_way(tmp_path, tmp_path) is None
    _fill(tmp_path, {name: content})
    assert in_the_way(tmp_path, tmp_path) == tmp_path / name.split("/")[0]


def test_folders_are_set_aside_under_one_free_number(tmp_path):
    names = ("train", "checkpoint", "train.1")
    for name in names:
        _fill(tmp_path / name, {"batch000000_out.png": name.encode()})
    set_aside([tmp_path / "train", tmp_path / "checkpoint"])
    assert _files(tmp_path) == {
        "train.1/batch000000_out.png": b"train.1",
        "train.2/batch000000_out.png": b"train",
        "checkpoint.2/batch000000_out.png": b"checkpoint",
    }


def test_empty_and_missing_folders_a_lock_and_a_desktops_file_stay(tmp_path):
    folders = [tmp_path / name for name in ("train", "checkpoint", "nowhere")]
    for folder in folders[:2]:
        _fill(folder, {"lock": b"", ".DS_Store": b""})
    assert set_aside(folders) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "train"]


def test_a_runs_folder_in_another_goes_with_it(tmp_path):
    outer, inner = tmp_path / "train", tmp_path / "train" / "checkpoint"
    _fill(outer, OWN)
    _fill(inner, CHECKPOINT)
    folders = [outer, inner, outer]
    assert set_aside(folders, inside=folders)
    assert (tmp_path / "train.1" / "checkpoint.1" / "batch000200" / "manifest.json").exists()
    assert not outer.exists()


def test_only_what_srez_wrote_leaves_a_folder_that_holds_other_things(tmp_path):
    folder = _fill(tmp_path / "home", {name: OWN[name] for name in OWN if "bicubic" not in name})
    _fill(folder, OTHERS | {"lock": b"1", "data/batch000001_out.png": b"deeper"})
    before = _files(folder)
    for number in (1, 2):
        _fill(folder, {"losses.csv": b"batch,"})
        new = folder / f"earlier.{number}"
        assert set_aside([folder]) == {folder: new}
    after = _files(folder)
    assert all(after[name] == before[name] for name in [*OTHERS, "lock"])
    assert after["data/batch000001_out.png"] == b"deeper"
    assert after["earlier.1/batch000200_out.png"] == b""
    assert after["earlier.2/losses.csv"] == b"batch,"
    assert not [name for name in OWN if name in after]
    assert os.listdir(tmp_path) == ["home"]


@pytest.mark.parametrize("way", ["in it", "below it", "at home"])
def test_the_folder_that_a_user_stands_in_stays(tmp_path, monkeypatch, way):
    folder = _fill(tmp_path / "run", OWN)
    (folder / "bicubic").mkdir(exist_ok=True)
    if way == "at home":
        monkeypatch.setenv("HOME", str(folder))
    else:
        monkeypatch.chdir(folder if way == "in it" else folder / "bicubic")
    assert set_aside([folder]) == {folder: folder / "earlier.1"}
    assert {name.removeprefix("earlier.1/") for name in _files(folder)} == set(OWN)


def test_of_a_link_the_folder_itself_is_set_aside_and_the_link_stays(tmp_path):
    disk = _fill(tmp_path / "disk" / "checkpoint", CHECKPOINT)
    link = tmp_path / "checkpoint"
    link.symlink_to(disk)
    assert set_aside([link]) == {disk: disk.with_name("checkpoint.1")}
    assert link.is_symlink()
    assert list(link.iterdir()) == []
    assert (disk.with_name("checkpoint.1") / "batch000200").exists()


def _refusing(monkeypatch, *names):
    """Lets no path be renamed whose end is one of the names, as if it were mounted."""
    rename = os.rename

    def refusing(old, new):
        if str(old).endswith(names):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rename(old, new)

    monkeypatch.setattr("os.rename", refusing)


def test_a_mounted_folder_stays_and_its_results_move_within_it(tmp_path, monkeypatch):
    folder = _fill(tmp_path / "checkpoint", CHECKPOINT)
    _refusing(monkeypatch, "checkpoint")
    assert set_aside([folder]) == {folder: folder / "earlier.1"}
    assert set(_files(folder / "earlier.1")) == set(CHECKPOINT)


def test_the_root_of_all_has_no_name_and_stays():
    assert set_aside(["/"]) == {}


def test_what_cant_be_moved_leaves_all_in_place(tmp_path, monkeypatch):
    for name in ("train", "checkpoint"):
        _fill(tmp_path / name, OWN | CHECKPOINT)
    before = _files(tmp_path)
    _refusing(monkeypatch, "train/", "train", "losses.csv")
    with pytest.raises(OSError, match="what is in .*/train can't be moved aside .*: move it else"):
        set_aside([tmp_path / "train", tmp_path / "checkpoint"])
    assert _files(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "train"]
