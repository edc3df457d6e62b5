import io
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srez.data.local import LocalFile
from srez.data.zips import list_zip, read_zipped
from tests.odd_files import zipped


def _entries(path):
    with open(path, "rb") as file:
        return list(list_zip(file, path))


def _contents(path):
    file = LocalFile(path)
    return [(entry.name, read_zipped(file, entry.name, entry)) for entry in _entries(path)]


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_are_listed_and_read_whatever_their_packing(tmp_path, packing):
    entries = [("a.jpg", b"first"), ("b/ü.jpg", b"second" * 99), ("empty", b"")]
    assert _contents(zipped(tmp_path / "a.zip", entries, packing)) == entries


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_entries_of_one_name_the_last_counts(tmp_path):
    entries = [("b.jpg", b"first"), ("d.jpg", b""), ("b.jpg", b"last")]
    found = _contents(zipped(tmp_path / "a.zip", entries))
    assert found == [("b.jpg", b"last"), ("d.jpg", b"")]


@pytest.mark.parametrize("comment", [b"", b"words " * 99])
def test_a_zip_behind_something_else_and_with_a_comment_is_read(tmp_path, comment):
    path = zipped(tmp_path / "a.zip", [("a.jpg", b"first")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    path.write_bytes(b"a program that unpacks itself" * 9 + path.read_bytes())
    assert _contents(path) == [("a.jpg", b"first")]


@pytest.mark.parametrize("shift", [0, 1000])
def test_an_entry_beyond_4_gib_is_read(tmp_path, shift):
    path = tmp_path / "a.zip"
    with open(path, "wb") as file:
        file.seek(shift)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("near.jpg", b"first")
            file.seek(2**32 + 7, io.SEEK_CUR)  # a hole, which takes no room on the disk
            archive.start_dir = file.tell()
            archive.writestr("far.jpg", b"second")
    assert _contents(path) == [("near.jpg", b"first"), ("far.jpg", b"second")]
    assert _entries(path)[1].offset > 2**32


def test_a_zip_cut_off_while_it_is_read_is_damaged(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.jpg", b"first" * 99), ("b.jpg", b"second" * 99)])
    file, entries = LocalFile(path), _entries(path)
    for size in (200, 40, 10, 0):
        path.write_bytes(path.read_bytes()[:size])
        for entry in entries:
            with pytest.raises(OSError, match="^a name: the zip's entry is"):
                read_zipped(file, "a name", entry)


def test_no_more_is_unpacked_than_the_zip_says(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.jpg", bytes(2**25))], zipfile.ZIP_DEFLATED)
    [entry] = _entries(path)
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="^a.jpg: the zip's entry is not as large as the zip"):
            read_zipped(LocalFile(path), "a.jpg", entry._replace(size=100))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_long_extra_field_in_front_of_the_data_is_skipped(tmp_path):
    info = zipfile.ZipInfo("a.jpg")
    info.extra = struct.pack("<HH", 0x7777, 5000) + bytes(5000)
    assert _contents(zipped(tmp_path / "a.zip", [(info, b"first" * 99)])) == [
        ("a.jpg", b"first" * 99)
    ]


def _end(size, offset):
    return b"PK\5\6" + bytes(8) + struct.pack("<LLH", size, offset, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        _end(1, 0),
        _end(2**32 - 1, 0),
        b"PK\1\2" + bytes(42) + _end(45, 0),
        b"PK\6\7" + bytes(16) + _end(20, 0),
    ],
)
def test_a_damaged_directory_is_one_line(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(OSError, match="--dataset=.*a.zip is no whole zip archive .*download"):
        _entries(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a 7z archive"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(50), "a RAR archive"),
        (bytes(257) + b"ustar" + bytes(200), "a tar archive"),
        (b"\x1f\x8b\x08" + bytes(50), "a gzip file"),
        (b"<!DOCTYPE html><HTML><body>Quota exceeded</body></html>", "an HTML page"),
    ],
)
def test_another_file_is_named_as_what_it_is(tmp_path, content, kind):
    (tmp_path / "a.zip").write_bytes(content)
    advice = "download it again" if "HTML" in kind else "unpack it"
    with pytest.raises(OSError, match=f"a.zip is {kind}, not a zip: {advice}"):
        _entries(tmp_path / "a.zip")


def _wide_zip():
    """The end of a zip with the 64-bit records, for chance to change."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("a.jpg")
        with archive.open(info, "w", force_zip64=True) as file:
            file.write(b"first" * 9)
    data = buffer.getvalue()
    at = data.rindex(b"PK\5\6")
    size, offset = struct.unpack_from("<LL", data, at + 12)
    record = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, size, offset)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, at, 1)
    return data[:at] + record + locator + data[at:]


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(1, 250), st.sampled_from([0, 1, 2, 127, 128, 254, 255])), max_size=4
    ),
)
def test_a_changed_64_bit_directory_is_read_or_one_line(changes, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "wide.zip"
    data = bytearray(_wide_zip())
    for from_end, byte in changes:
        data[-min(from_end, len(data))] = byte
    path.write_bytes(data)
    try:
        contents = _contents(path)
    except OSError as error:
        assert "\n" not in str(error)
    else:
        assert all(content in (b"first" * 9, b"") for _, content in contents)
        assert changes or contents == [("a.jpg", b"first" * 9)]
