import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srez.data.names import Names


def _names(*words):
    lines = [f"{word}\n".encode("utf-8", "surrogatepass") for word in words]
    ends = np.cumsum([len(line) for line in lines], dtype=np.uint64)
    return Names(np.frombuffer(b"".join(lines), np.uint8), ends)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=[]), min_size=1)))
def test_names_are_those_that_were_given_and_sort_as_their_bytes(words):
    names = _names(*words)
    assert names == words
    assert [names[number] for number in range(len(names))] == words
    encoded = list(names.encoded())
    assert names.lengths().tolist() == [len(word) for word in encoded]
    by_bytes = sorted(range(len(words)), key=encoded.__getitem__)
    assert [words[number] for number in by_bytes] == sorted(words)


def test_names_are_indexed_as_a_tuple_is():
    names = _names("a", "bb", "c\nc")
    assert (names[-1], names[np.int64(1)], len(names)) == ("c\nc", "bb", 3)
    assert list(names.take(np.array([2, 0]))) == ["c\nc", "a"]
    assert list(names.take_encoded(np.array([2, 0]))) == [b"c\nc", b"a"]
    for number in (3, -4):
        with pytest.raises(IndexError):
            names[number]


def test_names_equal_the_same_strings_only():
    assert _names("a", "b") == ("a", "b")
    assert _names("a", "b") != ("a",)
    assert _names("a", "b") != ("a", "c")
    assert _names("a") != 1


def test_lines_are_the_bytes_that_the_system_knows():
    assert b"".join(_names("ü", "\udcff").lines()) == "ü\n".encode() + b"\xff\n"
