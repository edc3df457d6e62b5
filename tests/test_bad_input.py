"""Bad, odd and hostile pictures and zips, each a row of a table, through the real reader."""

import io
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import srez_faces
from srez_bad import BadImages
from srez_image import read_image
from srez_input import iterate_batches, load_pictures
from srez_source import open_source

PICTURES = 8  # good ones beside each bad one


def _encode(image, kind="jpeg", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


FACE = srez_faces.draw_face(0, 0)
JPEG = _encode(FACE, quality=95)
PNG = _encode(FACE, "png")


def _patched(data, marker, at, new):
    """The data with `new` written `at` bytes behind the first `marker`."""
    place = data.index(marker) + at
    return data[:place] + new + data[place + len(new) :]


def _png(width, height, bits, colour, pixels):
    """A PNG with this header and these bytes for pixels, be they too few or none."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


BAD_PICTURES = {
    "an empty file": (b"", "the file is empty"),
    "text": (b"no picture at all\n" * 20, "not a picture"),
    "a web page": (b"<html><body>404</body></html>", "not a picture"),
    "a cut-off JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "a cut-off small JPEG": (_encode(FACE.resize((90, 80)))[:-900], "truncated"),
    "a cut-off progressive JPEG": (_encode(FACE, progressive=True)[:-2000], "truncated"),
    "a cut-off PNG": (PNG[: len(PNG) // 2], "truncated|incomplete|not complete"),
    "a JPEG broken inside": (_patched(JPEG, b"\xff\xc4", 4, b"\x7f"), "broken inside"),
    "a JPEG of 65,500 x 65,500": (
        _patched(JPEG, b"\xff\xc0", 5, struct.pack(">HH", 65500, 65500)),
        "65500x65500 pixels",
    ),
    "a PNG of 50,000 x 50,000": (_png(50_000, 50_000, 8, 2, b"few"), "50000x50000 pixels"),
    "a PNG of no pixels": (_png(0, 5, 8, 2, b""), "cannot be read"),
}


@pytest.fixture
def folder(tmp_path, faces):
    for number in range(PICTURES):
        shutil.copy(faces / f"{number:02d}.jpg", tmp_path / f"{number:02d}.jpg")
    return tmp_path


def _read_all(source):
    """The ledger and the low_res pictures of batches that ask for each picture once."""
    count = len(source.names)
    ledger = BadImages(count, limit=1.0)
    batches = iterate_batches(
        source=source,
        files=np.arange(count),
        batch_size=3,
        sample_size=64,
        random_seed=0,
        bad_images=ledger,
    )
    pictures = [next(batches)[0].numpy() for _ in range(count // 3)]
    return ledger, np.concatenate(pictures)


def _costs_its_place_only(source, name, reason):
    ledger, pictures = _read_all(source)
    assert [row[0] for row in ledger.rows] == [name]
    assert ledger.rows[0][1].startswith(f"{name}: ")
    assert "\n" not in ledger.rows[0][1]
    assert re.search(reason, ledger.rows[0][1])
    assert pictures.shape == (9, 16, 16, 3)
    again, same = _read_all(source)
    np.testing.assert_array_equal(pictures, same)
    low_res, _ = load_pictures(source, np.arange(len(source.names)), 64)
    assert len(low_res) == PICTURES


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_costs_its_place_only(folder, kind):
    data, reason = BAD_PICTURES[kind]
    (folder / "05-bad.jpg").write_bytes(data)
    _costs_its_place_only(open_source(folder), "05-bad.jpg", reason)


@pytest.mark.parametrize("kind", ["a pipe", "a link to nothing", "a link to itself"])
def test_what_is_no_file_costs_its_place_only(folder, kind):
    path = folder / "05-bad.jpg"
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere" if kind == "a link to nothing" else path.name)
    ledger, _ = _read_all(open_source(folder))
    assert [row[0] for row in ledger.rows] == ["05-bad.jpg"]


def test_a_folder_that_holds_a_link_to_itself_is_listed_once(folder):
    (folder / "loop").symlink_to(folder)
    assert len(open_source(folder).names) == PICTURES


def _sixteen_bits(channels):
    """A PNG of 16 bits a channel, which Pillow can't write: grey (1) or RGB (3), all at 0.5."""
    rows = (b"\0" + b"\x80\x00" * channels * 60) * 70
    return _png(60, 70, 16, {1: 0, 3: 2}[channels], rows)


_EXIF = Image.Exif()
_EXIF[0x0112] = 6  # to be turned by a quarter
ODD_PICTURES = {
    "progressive.jpg": _encode(FACE, progressive=True),
    "grey.jpg": _encode(FACE.convert("L")),
    "cmyk.jpg": _encode(FACE.convert("CMYK")),
    "turned.jpg": _encode(FACE, exif=_EXIF),
    "grey16.png": _sixteen_bits(1),
    "rgb16.png": _sixteen_bits(3),
    "palette.png": _encode(FACE.quantize(64), "png"),
    "alpha.png": _encode(FACE.convert("RGBA"), "png"),
    "really a png.jpg": PNG,
    "one pixel.png": _encode(FACE.resize((1, 1)), "png"),
    "long.png": _encode(FACE.resize((1, 900)), "png"),
    "padded.jpg": JPEG + bytes(100),
    'it\'s "quoted".jpg': JPEG,
    "line\nend.jpg": JPEG,
    "Größe 写真.jpg": JPEG,
    os.fsdecode(b"latin\xe9.jpg"): JPEG,
}


def test_odd_pictures_and_names_just_work(folder):
    for name, data in ODD_PICTURES.items():
        (folder / name).write_bytes(data)
    ledger, pictures = _read_all(open_source(folder))
    assert ledger.rows == []
    assert len(pictures) == 24


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_brought_to_eight(channels):
    assert set(read_image(_sixteen_bits(channels), "x").ravel()) <= {127, 128}


def test_odd_names_in_a_zip_just_work(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ODD_PICTURES:
            if "\udce9" not in name:  # a zip's names are UTF-8
                archive.writestr(name, ODD_PICTURES[name])
    assert _read_all(open_source(tmp_path / "a.zip"))[0].rows == []


def _write_zip(path, *entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(PICTURES):
            archive.writestr(f"{number:02d}.jpg", _encode(srez_faces.draw_face(0, number)))
        for name, data in entries:
            archive.writestr(name, data)


def _edit_entry(path, name, edit):
    """Lets `edit(data, at)` change a zip's bytes, `at` being the central entry of `name`."""
    data = bytearray(path.read_bytes())
    edit(data, data.rindex(b"PK\x01\x02", 0, data.rindex(name)))
    path.write_bytes(data)


def _lie_about_sizes(data, at):
    struct.pack_into("<I", data, at + 24, 10)


def _claim_a_giant(data, at):
    struct.pack_into("<II", data, at + 20, 2**31, 2**31)


def _reach_beyond_the_end(data, at):
    struct.pack_into("<II", data, at + 20, 2**24, 2**24)


def _encrypt(data, at):
    data[at + 8] |= 1


def _point_into_nowhere(data, at):
    struct.pack_into("<I", data, at + 42, 7)


HOSTILE_ENTRIES = {
    "an entry larger than it says": (_lie_about_sizes, "size or checksum"),
    "an entry of two gigabytes": (_claim_a_giant, "at most for a picture"),
    "an entry beyond the end": (_reach_beyond_the_end, "size or checksum"),
    "an encrypted entry": (_encrypt, "encrypted"),
    "an entry that lies elsewhere": (_point_into_nowhere, "no header"),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("kind", HOSTILE_ENTRIES)
def test_a_hostile_entry_costs_its_place_only(tmp_path, kind, method):
    edit, reason = HOSTILE_ENTRIES[kind]
    path = tmp_path / "a.zip"
    _write_zip(path, ("05-bad.jpg", JPEG), method=method)
    _edit_entry(path, b"05-bad.jpg", edit)
    _costs_its_place_only(open_source(path), "05-bad.jpg", reason)


def test_a_flipped_byte_in_a_zip_is_seen(tmp_path):
    path = tmp_path / "a.zip"
    _write_zip(path, ("05-bad.jpg", JPEG))
    data = bytearray(path.read_bytes())
    data[data.index(JPEG) + len(JPEG) // 2] ^= 1
    path.write_bytes(data)
    _costs_its_place_only(open_source(path), "05-bad.jpg", "checksum")


def test_names_that_lead_out_of_a_zip_do_no_harm(tmp_path):
    (tmp_path / "in").mkdir()
    _write_zip(tmp_path / "in" / "a.zip", ("../evil.jpg", JPEG), ("/evil.jpg", JPEG))
    source = open_source(tmp_path / "in" / "a.zip")
    assert "/evil.jpg" in source.names  # a name like others: nothing is ever unpacked
    assert "../evil.jpg" not in source.names
    assert _read_all(source)[0].rows == []
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.zip"]
    assert not os.path.exists("/evil.jpg")


def test_links_and_zips_in_a_zip_are_left_out(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    _write_zip(tmp_path / "a.zip", (link, "/etc/passwd"), ("inner.zip", b"PK\x05\x06" + bytes(18)))
    assert len(open_source(tmp_path / "a.zip").names) == PICTURES


def test_of_two_entries_with_one_name_the_last_counts_and_it_is_said(tmp_path, capsys):
    with pytest.warns(UserWarning, match="Duplicate name"):
        _write_zip(tmp_path / "a.zip", ("00.jpg", JPEG[:100]), ("00.jpg", JPEG))
    source = open_source(tmp_path / "a.zip")
    assert source.read(source.names.index("00.jpg")) == JPEG
    assert "2 names stand there twice" in capsys.readouterr().out


def _mutated(data):
    """A strategy: the data with some bytes overwritten, taken out or put in, or cut off."""
    place = st.integers(0, len(data) - 1)
    edits = st.lists(st.tuples(place, st.integers(0, 8), st.binary(max_size=8)), max_size=6)
    return st.builds(_apply, st.just(data), edits, st.none() | place)


def _apply(data, edits, end):
    for place, length, new in edits:
        data = data[:place] + new + data[place + length :]
    return data[:end]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.one_of(_mutated(_encode(FACE.resize((40, 30)))), _mutated(PNG[:3000])))
def test_a_mutated_picture_is_refused_in_one_line_or_is_a_picture(data):
    try:
        image = read_image(data, "x.jpg")
    except OSError as error:
        assert str(error).startswith("x.jpg: ")
        assert "\n" not in str(error)
    else:
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)


def _small_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.jpg", "b/c.png", "notes.txt"):
            archive.writestr(name, b"some bytes " * 20)
    return file.getvalue()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=_mutated(_small_zip()))
def test_a_mutated_zip_is_refused_in_one_line_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(data)
    try:
        source = open_source(path)
        for number in range(len(source.names)):
            source.read(number)
    except OSError as error:
        assert "\n" not in str(error)
