import os
import shutil
import sys

import pytest

from srez.data.parts import PARTITION, Folder, Zip, find_parts, is_picture
from srez.data.source import open_source
from tests.odd_files import zipped


@pytest.fixture
def place(here):
    """A folder with the folder one/ and the zips two.zip and two-b.zip."""
    (here / "one").mkdir()
    (here / "one" / "a.jpg").write_bytes(b"a")
    zipped("two.zip", [("b.jpg", b"b")])
    zipped("two-b.zip", [("c.jpg", b"cc")])
    return here


def _paths(dataset):
    return [part.path for part in find_parts(dataset)]


def test_parts_stand_between_commas_and_patterns_are_expanded_in_order(place):
    assert _paths("two*.zip, one,") == ["two-b.zip", "two.zip", "one"]
    assert _paths("two.zip,two*.zip") == ["two.zip", "two-b.zip"]
    assert _paths("**/[t]w?.zip") == ["two.zip"]  # at any depth
    assert [type(part) for part in find_parts("one,two.zip")] == [Folder, Zip]


def test_a_path_with_signs_in_its_name_is_taken_as_it_is(place):
    for name in ("a,b", "[1]*", "what?"):
        shutil.copytree("one", name)
        assert _paths(name) == [name]
    assert _paths("[1]*,one") == ["[1]*", "one"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("one,nowhere", "--dataset=nowhere does not exist"),
        ("one,three*.zip", r"--dataset=three\*\.zip matches nothing"),
        (",", "--dataset=, names nothing"),
        ("nosuch://bucket/a.zip", "nosuch://bucket/a.zip: "),
        ("one,none.zip", r"--dataset=none\.zip holds no \.jpg"),
        ("ONE", "--dataset=ONE does not exist, but one does"),
        ("one,TWO.zip", r"--dataset=TWO\.zip does not exist, but two\.zip does"),
        ("one/a.jpg", r"--dataset=one/a\.jpg is a picture: give the folder of pictures"),
    ],
)
def test_a_part_without_anything_is_named_in_one_line(place, dataset, message):
    zipped("none.zip", [("readme.txt", b"x")])
    with pytest.raises(OSError, match=message) as caught:
        open_source(dataset)
    assert "\n" not in str(caught.value)


def test_pictures_of_several_parts_are_one_list(place):
    source = open_source("two*.zip,one")
    assert source.names == ["a.jpg", "b.jpg", "c.jpg"]
    assert [source.read(number) for number in range(3)] == [b"a", b"b", b"cc"]
    alone = [open_source(path).identities.tolist() for path in ("one", "two.zip", "two-b.zip")]
    assert source.identities.tolist() == sum(alone, [])
    assert source.label == "two*.zip,one"


def test_a_name_in_two_parts_gets_its_part_in_front(place):
    zipped("three.zip", [("a.jpg", b"other"), ("x/a.jpg", b"third")])
    source = open_source("./three.zip,one/")
    assert source.names == ["./three.zip/a.jpg", "./three.zip/x/a.jpg", "one/a.jpg"]
    assert [source.read(number) for number in range(3)] == [b"other", b"third", b"a"]
    assert source.identities[2] == 1
    (place / "one" / "a.jpg").unlink()
    with pytest.raises(OSError, match="No such file"):
        source.read(2)


@pytest.mark.parametrize("dataset", ["one,two.zip,two-b.zip", "one", "two.zip"])
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_the_list_of_the_split_may_be_in_any_part_or_beside_it(place, dataset, where):
    text = "b.jpg 2\n"
    if where == "inside" and dataset == "two.zip":
        zipped("two.zip", [("b.jpg", b"b"), (f"Eval/{PARTITION}", text)])
    else:
        (place / ("one" if where == "inside" else ".") / PARTITION).write_text(text)
    assert open_source(dataset).partition == text


def test_lists_of_several_parts_are_put_together_each_once(place):
    (place / PARTITION).write_text("b.jpg 2\n")
    (place / "one" / PARTITION).write_text("a.jpg 1\n")
    assert open_source("one,two.zip,two-b.zip").partition == "a.jpg 1\n\nb.jpg 2\n"


def test_more_zips_than_may_be_open_are_read(place):
    for number in range(140):
        zipped(f"shard{number:03d}.zip", [(f"{number:03d}.jpg", str(number).encode())])
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    source = open_source("shard*.zip")
    for number in (0, 139, 70, 0):
        assert source.read(number) == str(number).encode()
    if before:
        assert len(os.listdir("/proc/self/fd")) - before <= 128


def test_a_zip_that_is_replaced_is_refused_when_it_is_opened_again(place):
    [part] = find_parts("two.zip")
    zipped("two.zip", [("b.jpg", b"something else")])
    with pytest.raises(OSError, match=r"two\.zip has changed since the start"):
        list(part.list())


def test_local_paths_do_without_tensorflow(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "srez.data.remote", None)
    assert len(open_source("one,two*.zip").names) == 3


def test_the_list_is_found_two_folders_up_and_as_a_table(here, monkeypatch):
    pictures = here / "img_align_celeba" / "img_align_celeba"
    pictures.mkdir(parents=True)
    (pictures / "000001.jpg").write_bytes(b"a")
    text = "image_id,partition\n000001.jpg,2\n"
    (here / "list_eval_partition.csv").write_text(text)
    for dataset in (".", "img_align_celeba/", "img_align_celeba/img_align_celeba"):
        assert open_source(dataset).partition == text
    monkeypatch.chdir(pictures)
    assert open_source(".").partition == text


def test_links_to_folders_are_followed_each_folder_once(place):
    (place / "two").mkdir()
    (place / "two" / "b.png").write_bytes(b"b")
    for link, target in (("z", "../two"), ("a", "../two"), ("loop", ".")):
        os.symlink(target, place / "one" / link)
    assert open_source("one").names == ["a.jpg", "a/b.png"]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_pictures_that_cant_be_read_are_counted(place, capsys, kind):
    names = ["1.heic", "deep/2.HEIC", "3.nef", "4.txt", "5.webp"]
    if kind == "folder":
        (place / "one" / "deep").mkdir()
        for name in names:
            (place / "one" / name).write_bytes(b"x")
        assert open_source("one").names == ["5.webp", "a.jpg"]
    else:
        zipped("one.zip", [(name, b"x") for name in names])
        assert open_source("one.zip").names == ["5.webp"]
    assert "left out 2 .heic, 1 .nef: convert them to JPEG or PNG" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["a.jpg", "/a/b.JPeG", "a/./b.png", "my__MACOSX/b.png", "a.WebP", "a.gif"]
)
def test_a_name_with_a_pictures_ending_is_a_picture(name):
    assert is_picture(name)


HIDDEN = ["../a.jpg", "a/../b.jpg", "a/.b/c.jpg", ".jpg", "__MACOSX/a.jpg"]


@pytest.mark.parametrize("name", [*HIDDEN, "a.jpg/", "a.txt", "a.heic"])
def test_a_hidden_name_or_one_with_another_ending_is_no_picture(name):
    assert not is_picture(name)
