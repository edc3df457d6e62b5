import fcntl
import multiprocessing
import os
import shutil
import subprocess
import time
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest

import srez.data.pack
from srez.data.pack import pack
from srez.data.parts import PARTITION
from srez.data.source import open_source
from tests.conftest import FACES
from tests.odd_files import zipped


@pytest.fixture
def folder(faces, here):
    """A copy of the faces in the folder the test runs in, some of them deeper."""
    shutil.copytree(faces, "pictures")
    (here / "pictures" / "deep").mkdir()
    for number in range(8):
        shutil.move(f"pictures/{number:02d}.jpg", f"pictures/deep/{number}.jpg")
    return here / "pictures"


@pytest.fixture
def any_bytes(monkeypatch):
    """Any bytes pass for a picture."""
    monkeypatch.setattr(srez.data.pack, "check_picture", lambda data, name: None)


@pytest.fixture
def small(monkeypatch):
    """A MiB of --shard_mb is 40 kB of pictures: some six to ten shards of the faces."""
    cut = srez.data.pack._shards
    monkeypatch.setattr(
        srez.data.pack, "_shards", lambda source, most: cut(source, -(-most >> 20) * 40000)
    )


def _content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _pictures(dataset):
    source = open_source(dataset)
    return [(name, source.read(number)) for number, name in enumerate(source.names)]


@pytest.mark.parametrize("partition", [None, "10.jpg 2\n11.jpg 1\n"])
def test_shards_give_the_same_names_and_bytes_in_the_same_order(folder, here, small, partition):
    if partition:
        (folder / PARTITION).write_text(partition)
    pack(folder, "shards", 1)
    assert len(list((here / "shards").glob("faces-*.zip"))) > 3
    assert _pictures("shards/faces-*.zip") == _pictures(folder)
    assert open_source("shards/faces-*.zip").partition == partition


def test_a_zip_packs_to_the_same_shards_as_its_folder(folder, here, small):
    pack(folder, "shards", 1)
    zipped("pictures.zip", _pictures(folder)[::-1], zipfile.ZIP_DEFLATED)
    pack("pictures.zip", "more", 1)
    one, other = (_content(here / name) for name in ("shards", "more"))
    assert one.pop("pack.json") != other.pop("pack.json")
    assert one == other


def test_sha256sum_finds_shards_and_pictures_whole(folder, here, small, any_bytes):
    (folder / "a\\b\n.jpg").write_bytes(b"odd")
    (folder / PARTITION).write_text("10.jpg 2\n")
    pack(folder, "shards", 1)
    program = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]  # macOS
    check = [*program, "--check", "--strict", "SHA256SUMS"]

    def count_ok(place):
        found = subprocess.run(check, cwd=place, capture_output=True, text=True, check=True)
        return found.stdout.count(": OK")

    assert count_ok("shards") == len(os.listdir("shards")) - 2
    for shard in (here / "shards").glob("*.zip"):
        shutil.unpack_archive(shard, f"unpacked/{shard.stem}")
        assert count_ok(f"unpacked/{shard.stem}") == len(zipfile.ZipFile(shard).namelist()) - 1


def test_pictures_are_stored_and_their_shards_no_larger_than_asked_for(here, any_bytes):
    rng = np.random.default_rng(0)
    entries = [(f"{number:03d}.png", rng.bytes(70_000)) for number in range(40)]
    zipped("pictures.zip", [*entries, ("large.png", bytes(2_000_000))], zipfile.ZIP_DEFLATED)
    pack("pictures.zip", "shards", 1)
    shards = sorted((here / "shards").glob("*.zip"))
    sizes = [shard.stat().st_size for shard in shards]
    assert [size <= 1 << 20 for size in sizes] == [True, True, True, False]
    assert min(sizes[:-2]) > 0.9 * (1 << 20)
    for shard in shards:
        with zipfile.ZipFile(shard) as archive:
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert open_source("shards/*.zip").read(40) == bytes(2_000_000)


@pytest.mark.parametrize("length", [1, 60])
def test_a_shard_of_many_small_pictures_is_no_larger_than_asked_for(here, length, any_bytes):
    entries = [(f"{number:05d}{'x' * length}.png", b"tiny") for number in range(9000)]
    zipped("pictures.zip", entries)
    pack("pictures.zip", "shards", 1)
    sizes = [shard.stat().st_size for shard in (here / "shards").glob("*.zip")]
    assert 0.99 * (1 << 20) < max(sizes) <= 1 << 20


def test_whole_shards_stay_and_others_are_written_again(folder, here, small):
    pack(folder, "shards", 1)
    before = _content(here / "shards")
    shards = sorted((here / "shards").glob("*.zip"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    lines = before["SHA256SUMS"].decode().splitlines(True)
    known = "".join(line for line in lines if "00003" not in line)
    (here / "shards" / "SHA256SUMS").write_text(known)
    kept = {shard.name: shard.stat().st_ino for shard in shards[1:]}
    pack(folder, "shards", 1)
    written = [shard.name for shard in shards if shard.stat().st_ino != kept.get(shard.name)]
    assert written == ["faces-00000.zip", "faces-00001.zip", "faces-00003.zip"]
    assert _content(here / "shards") == before


@pytest.mark.parametrize("what", ["picture", "shard_mb", "strangers"])
def test_shards_of_something_else_are_in_the_way(folder, here, small, what):
    pack(folder, "shards", 1)
    if what == "picture":
        (folder / "10.jpg").write_bytes(b"another size")
    if what == "strangers":
        (here / "shards" / "pack.json").unlink()
    before = _content(here / "shards") | {"pack.json": None}
    with pytest.raises(FileExistsError, match="--pack_output=shards holds shards of other"):
        pack(folder, "shards", 2 if what == "shard_mb" else 1)
    assert _content(here / "shards") | {"pack.json": None} == before


def test_two_packs_do_not_write_to_one_folder(folder, here):
    (here / "shards").mkdir()
    with open(here / "shards" / "pack.json", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FileExistsError, match="--pack_output=shards: another pack"):
            pack(folder, "shards", 1)


def test_what_is_no_whole_picture_is_left_out_and_said(folder, here, capsys):
    (folder / "10.jpg").write_bytes(b"no picture")
    (folder / "11.jpg").write_bytes(b"")
    os.truncate(folder / "12.jpg", 3000)
    (folder / "13.jpg").unlink()
    os.mkfifo(folder / "13.jpg")
    pack(folder, "shards", 1)
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "srez: left out, 10.jpg: can't be read as a picture (not a picture)",
        "srez: left out, 11.jpg: can't be read as a picture (empty)",
        "srez: left out, 12.jpg: can't be read as a picture (cut off: its end is missing)",
        "srez: left out, 13.jpg: not a regular file",
    ]
    assert len(open_source("shards/*.zip").names) == FACES - 4


def test_what_could_not_be_read_is_tried_again(folder, here, small):
    whole = (folder / "10.jpg").read_bytes()
    for content, count in ((bytes(len(whole)), FACES - 1), (whole, FACES)):
        (folder / "10.jpg").write_bytes(content)
        pack(folder, "shards", 1)
        assert len(open_source("shards/*.zip").names) == count


def test_a_name_that_a_zip_can_not_hold_is_refused(folder):
    (folder / "\udcff.jpg").write_bytes(b"x")
    with pytest.raises(OSError, match=r"^\\udcff\.jpg can't be packed under this name"):
        pack(folder, "shards", 1)


def test_a_name_that_would_be_hidden_in_a_shard_is_refused(folder, here, monkeypatch):
    zipped("a.zip", [("10.jpg", b"x")])
    monkeypatch.chdir(folder)
    with pytest.raises(OSError, match=r"^\.\./a\.zip/10\.jpg can't be packed .* without \.\."):
        pack(".,../a.zip", "shards", 1)


def test_packing_to_a_remote_folder_is_refused(folder):
    with pytest.raises(OSError, match="--pack_output=gs://x/y is remote"):
        pack(folder, "gs://x/y", 1)


def test_an_error_while_writing_leaves_no_half_shard(folder, here, small, monkeypatch):
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match=r"faces-\d+\.zip can't be written: No space left") as caught:
        pack(folder, "shards", 1)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir("shards")) == ["pack.json"]


def test_a_pack_that_is_killed_leaves_whole_shards_only_and_is_gone_on_with(
    folder, here, small, monkeypatch
):
    entry, shards = srez.data.pack._entry, here / "shards"
    context = multiprocessing.get_context("fork")  # which imports nothing anew
    process = context.Process(target=pack, args=("pictures", "shards", 1))
    with monkeypatch.context() as slow:
        slow.setattr(srez.data.pack, "_entry", lambda name: time.sleep(0.05) or entry(name))
        process.start()
    while len(list(shards.glob("faces-*.zip"))) < 2 and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    found = list(shards.glob("faces-*.zip"))
    assert found
    for shard in found:
        with zipfile.ZipFile(shard) as archive:
            assert archive.testzip() is None
    pack("pictures", "shards", 1)
    assert open_source("shards/*.zip").names == open_source("pictures").names
    assert not list(shards.glob(".*.writing"))


@pytest.mark.parametrize("name", ["SHA256SUMS", PARTITION])
def test_files_that_are_no_packs_are_not_overwritten(folder, here, name):
    (folder / PARTITION).write_text("10.jpg 2\n")
    (here / name).write_text("mine")
    with pytest.raises(
        FileExistsError, match=f"^{name} is there, and no pack wrote it: give another"
    ):
        pack(folder, ".", 1)
    assert (here / name).read_text() == "mine"


def test_a_list_of_the_split_that_is_there_already_is_no_hindrance(folder, here, any_bytes):
    for place in (folder, here):
        (place / PARTITION).write_text("10.jpg 2\n")
    pack(folder, ".", 1)
    assert (here / "faces-00000.zip").exists()


def test_a_shard_is_written_through_a_link(folder, here):
    pack(folder, "shards", 1)
    link, disk = here / "shards" / "faces-00000.zip", here / "disk.zip"
    whole = link.read_bytes()
    link.rename(disk)
    link.symlink_to(disk)
    disk.write_bytes(b"damaged")
    pack(folder, "shards", 1)
    assert link.is_symlink()
    assert disk.read_bytes() == whole


def test_a_folder_that_goes_away_in_a_pack_is_said_once_and_the_next_run_goes_on(
    folder, here, small, monkeypatch, capsys
):
    check = srez.data.pack.check_picture

    def going(data, name):
        if name == "15.jpg" and folder.exists():
            folder.rename("elsewhere")
        check(data, name)

    monkeypatch.setattr(srez.data.pack, "check_picture", going)
    with pytest.raises(OSError, match="pictures: its pictures can't be read any more"):
        pack(folder, "shards", 1)
    assert "left out" not in capsys.readouterr().err
    (here / "elsewhere").rename(folder)
    monkeypatch.setattr(srez.data.pack, "check_picture", check)
    pack(folder, "shards", 1)
    assert _pictures("shards/faces-*.zip") == _pictures(folder)
