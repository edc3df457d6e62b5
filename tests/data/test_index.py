import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import srez.data.index
from srez.data.index import build_index, keep_index, kept_index
from srez.data.zips import ZipEntry


def _entries(*names, first=0):
    return [ZipEntry(name.encode(), place, 7, 8, 9) for place, name in enumerate(names, first)]


def _places(index):
    mask = (1 << srez.data.index.PART_SHIFT) - 1
    return (index.entries["place"] & mask).tolist()


@pytest.fixture
def small(monkeypatch):
    """More than 50 entries go to files."""
    monkeypatch.setattr(srez.data.index, "IN_MEMORY", 50)


def test_entries_are_sorted_by_name_over_all_parts():
    listings = [_entries("b", "d/x", "d.jpg"), _entries("c", "a", first=10)]
    index = build_index(["one", "two"], listings, "test")
    assert index.names == ["a", "b", "c", "d.jpg", "d/x"]
    assert _places(index) == [11, 0, 10, 2, 1]
    assert index.parts().tolist() == [1, 0, 1, 0, 0]
    assert index.about == {"prefixed": False, "counts": [3, 2]}
    assert index.entries[0].item()[1:] == (7, 8, 9)


def test_of_entries_with_one_name_in_a_part_the_last_counts():
    index = build_index(["one"], [_entries("b", "a", "b", "a", "c")], "test")
    assert index.names == ["a", "b", "c"]
    assert _places(index) == [3, 2, 4]


def test_a_name_in_two_parts_puts_the_path_in_front_of_each_name():
    listings = [_entries("b", "a", "b"), _entries("c", "b", first=10)]
    index = build_index(["two/", "one.zip"], listings, "test")
    assert index.names == ["one.zip/b", "one.zip/c", "two/a", "two/b"]
    assert _places(index) == [11, 10, 1, 2]
    assert index.about["prefixed"]


def test_a_file_that_two_parts_hold_is_refused():
    with pytest.raises(OSError, match="--dataset=x,x/y names x/y/a twice"):
        build_index(["x", "x/y"], [_entries("y/a", "a"), _entries("a")], "x,x/y")


def test_long_names_are_sorted_too():
    names = ["b" * 5000, "a" * 70_000, "b"]
    assert build_index(["one"], [_entries(*names)], "test").names == sorted(names)


@pytest.mark.parametrize("folder", [None, "files"])
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    listings=st.lists(
        st.lists(st.text("ab/ü", min_size=1, max_size=4), max_size=40), min_size=1, max_size=3
    )
)
def test_an_index_is_what_a_dict_would_be(listings, folder, tmp_path_factory):
    place = folder and tmp_path_factory.mktemp(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(srez.data.index, "IN_MEMORY", 3)
        parts = [_entries(*names, first=100 * part) for part, names in enumerate(listings)]
        index = build_index([f"p{part}" for part in range(len(parts))], parts, "test", place)
    expected = [{entry.name.decode(): entry.place for entry in part} for part in parts]
    merged = {name: place for part in expected for name, place in part.items()}
    if len(merged) < sum(map(len, expected)):
        merged = {
            f"p{number}/{name}": place
            for number, part in enumerate(expected)
            for name, place in part.items()
        }
    assert list(index.names) == sorted(merged)
    assert _places(index) == [merged[name] for name in sorted(merged)]


@pytest.mark.parametrize("step", [1, -1])
def test_many_entries_are_mapped_from_files_and_kept(small, tmp_path, step):
    names = [f"{number:05d}.jpg" for number in range(300)]
    key = ["a.zip"], [[1, 2]]
    index = build_index(["a.zip"], [_entries(*names[::step])], "test", tmp_path)
    assert isinstance(index.entries, np.memmap)
    assert index.names == names
    index.about["lists"] = [None]
    keep_index(index, tmp_path, key)
    again = kept_index(tmp_path, key)
    assert again.names == names
    assert _places(again) == _places(index) == list(range(300))[::step]
    assert again.about["lists"] == [None]
    assert kept_index(tmp_path, (["a.zip"], [[1, 3]])) is None
    del index, again
    assert len(list(tmp_path.iterdir())) == 1


def test_the_index_of_an_older_state_goes(small, tmp_path):
    for state in (1, 2):
        for path in ("a", "b"):
            index = build_index([path], [_entries(*map(str, range(99)))], "test", tmp_path)
            keep_index(index, tmp_path, ([path], state))
    assert len(list(tmp_path.iterdir())) == 2
    assert kept_index(tmp_path, (["a"], 1)) is None
    assert len(kept_index(tmp_path, (["b"], 2)).names) == 99


def test_a_damaged_index_is_no_index(small, tmp_path):
    index = build_index(["a"], [_entries(*map(str, range(99)))], "test", tmp_path)
    keep_index(index, tmp_path, (["a"], 1))
    with open(index.folder / "entries", "ab") as file:
        file.truncate(100)
    assert kept_index(tmp_path, (["a"], 1)) is None
    (index.folder / "about.json").write_text(json.dumps([]))
    assert kept_index(tmp_path, (["a"], 1)) is None


def test_an_index_that_is_not_kept_leaves_no_files(small, tmp_path):
    index = build_index(["a"], [_entries(*map(str, range(99)))], "test", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    del index
    assert not list(tmp_path.iterdir())


def test_a_listing_that_fails_leaves_no_files(small, tmp_path):
    def listing():
        yield from _entries(*map(str, range(99)))
        raise OSError("the zip is damaged")

    with pytest.raises(OSError, match="the zip is damaged"):
        build_index(["a"], [listing()], "test", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(small, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(srez.data.index, "open", full, raising=False)
    with pytest.raises(OSError, match=f"^{tmp_path}: No space left on device: make room$"):
        build_index(["a"], [_entries(*map(str, range(99)))], "test", tmp_path)


def test_more_parts_than_a_place_can_tell_are_refused(monkeypatch):
    monkeypatch.setattr(srez.data.index, "MAX_PARTS", 2)
    with pytest.raises(OSError, match=r"--dataset=\*.zip names 3 parts, more than 2"):
        build_index(["a", "b", "c"], [[], [], []], "*.zip")


def test_without_a_folder_to_write_to_all_is_in_memory(small, tmp_path):
    (tmp_path / "file").write_text("")
    index = build_index(["a"], [_entries(*map(str, range(99)))], "test", tmp_path / "file")
    assert len(index.names) == 99
    assert index.folder is None


def test_a_long_listing_says_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(srez.data.index, "_QUIET", 0.0)
    names = [str(number) for number in range(9999, 999, -1)]
    build_index(["a"], [_entries(*names)], "a.zip")
    assert capsys.readouterr().err.splitlines() == [
        "a.zip: 4,096 pictures listed so far",
        "a.zip: 8,192 pictures listed so far",
        "a.zip: 0 of 9,000 pictures sorted so far",
        "a.zip: 4,096 of 9,000 pictures sorted so far",
        "a.zip: 8,192 of 9,000 pictures sorted so far",
    ]
