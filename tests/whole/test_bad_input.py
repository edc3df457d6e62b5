"""Bad, odd and hostile files through the real readers: what has to come out of each."""

import functools
import io
import os
import shutil
import socket
import stat
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from srez.data.source import open_source
from srez.pictures.bad import BadImages
from srez.pictures.cache import open_cache
from srez.pictures.image import read_image
from srez.pictures.pairs import CROP_SHAPE, load_pictures
from srez_input import Batches
from tests import odd_files
from tests.odd_files import encoded, face, jpeg

COUNT = 12  # pictures in a folder, number 5 of them replaced
ODD = 5

FACE = np.asarray(face(ODD)).astype(int)
PNG = encoded(face(), "PNG")
ADOBE_CMYK = encoded(face().convert("CMYK"))
PALETTE = encoded(face().quantize(64), "PNG")
JPEG = jpeg()
DEEP_GREY = Image.fromarray((np.asarray(face(ODD).convert("L")).astype(np.uint16)) * 257)

TEXT_BOMB = odd_files.png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))

# name, content, what the reason has to hold
BAD = [
    ("empty", b"", "empty"),
    ("text", b"no picture", "not a picture"),
    ("heic named jpg", b"\0\0\0\x18ftypheic" + bytes(99), "HEIC: convert it to JPEG or PNG"),
    ("zip named jpg", b"PK\3\4" + bytes(100), "not a picture"),
    ("postscript named jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ("cut off", JPEG[:2000], "cut off"),
    ("cut off in the header", JPEG[:200], "cut off"),
    ("cut off by a byte", JPEG[:-1], "cut off"),
    ("cut off and padded", JPEG[:5000] + bytes(5000), "cut off"),
    ("cut off, another size", encoded(face().resize((300, 400)))[:-3000], "cut off"),
    ("cut off, with EXIF", odd_files.turned(3)[:-3000], "cut off"),
    ("cut off, progressive", jpeg(progressive=True)[:-3000], "cut off"),
    ("cut off png", PNG[: len(PNG) // 2], "cut off"),
    ("png without its last chunk", PNG[:-12], "cut off"),
    ("header alone", b"\xff\xd8\xff\xd9", ""),
    ("bomb by jpeg header", odd_files.jpeg_of_size(65500, 65500), "more than 120,000,000 pixels"),
    ("bomb by png header", odd_files.png(50000, 50000, 8, 2, b""), "more than 120,000,000"),
    ("bomb just over the limit", odd_files.png(12001, 10000, 8, 2, b""), "more than 120,000,000"),
    ("no width", odd_files.jpeg_of_size(0, 218), ""),
    ("png without pixels", odd_files.png(0, 0, 8, 2, b""), ""),
    ("png of too few rows", odd_files.png(178, 218, 8, 2, bytes(178 * 3)), ""),
    ("bomb in a text chunk", odd_files.png(9, 9, 8, 2, bytes(9 * 28), TEXT_BOMB), "too large"),
    ("png of countless chunks", PNG[:33] + odd_files.png_chunk(b"tEXt", b"") * 110_000, "parts"),
    ("jpeg of countless parts", b"\xff\xd8" + b"\xff\xfe\0\2" * 110_000 + b"\xff\xd9", "parts"),
    ("broken inside", odd_files.broken_inside(), "TensorFlow can't decode"),
]

# name, content, how far its pixels may be from the face's on average (255: it is another picture)
GOOD = [
    ("progressive", jpeg(ODD, progressive=True), 3),
    ("grey", encoded(face(ODD).convert("L")), 40),
    ("CMYK, as Adobe inverts it", encoded(face(ODD).convert("CMYK")), 6),
    ("16 bits of grey", encoded(DEEP_GREY, "PNG"), 40),
    ("16 bits of colour", odd_files.deep_rgb(ODD), 0),
    ("palette", encoded(face(ODD).quantize(64), "PNG"), 10),
    ("alpha", encoded(face(ODD).convert("RGBA"), "PNG"), 1),
    ("png", encoded(face(ODD), "PNG"), 1),
    ("webp", encoded(face(ODD), "WEBP", lossless=True), 1),
    ("gif", encoded(face(ODD), "GIF"), 10),
    ("bmp", encoded(face(ODD), "BMP"), 1),
    ("tiff", encoded(face(ODD), "TIFF"), 1),
    ("broken EXIF", jpeg(ODD, exif=b"Exif\0\0MM\0*" + bytes(7)), 3),
    ("padded", jpeg(ODD) + bytes(4000), 3),
    ("something appended", jpeg(ODD) + b"SEFT and a film" * 100, 3),
    ("a second picture appended", jpeg(ODD) + jpeg(3), 3),
    ("png with something appended", encoded(face(ODD), "PNG") + b"more", 1),
    ("1x1", encoded(Image.new("RGB", (1, 1), "teal"), "PNG"), 255),
    ("1x3000", encoded(Image.new("RGB", (1, 3000), "teal"), "PNG"), 255),
    ("60000x1", encoded(Image.new("RGB", (60000, 1), "teal")), 255),
]
NAMES = ["a b.jpg", "a'b\".jpg", "a\nb.jpg", "ü漢.jpg"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces):
    """COUNT faces; a test writes its own number ODD."""
    folder = tmp_path_factory.mktemp("faces")
    for number in range(COUNT):
        shutil.copy(faces / f"{number:02d}.jpg", folder)
    return folder


def _with(folder, tmp_path, content, name=f"{ODD:02d}.jpg"):
    copy = shutil.copytree(folder, tmp_path / "faces")
    (copy / f"{ODD:02d}.jpg").unlink()
    (copy / name).write_bytes(content)
    return copy


def _read(source, count=6, cache=None):
    """The high_res [count, 4, 64, 64, 3] of a source's first batches, and rows of bad pictures."""
    bad_images = BadImages(len(source.names), 1.0)
    batches = Batches(source, range(len(source.names)), 4, 64, 0, cache, bad_images).iterate()
    taken = [high_res.numpy() for _, (_, high_res) in zip(range(count), batches, strict=False)]
    return np.stack(taken), bad_images.rows


def _load(source):
    """How many pictures of a source can be loaded, and the rows of those that are bad."""
    bad_images = BadImages(len(source.names), 1.0)
    _, low_res, _ = load_pictures(source, range(len(source.names)), 64, bad_images)
    return len(low_res), bad_images.rows


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder):
    """A run over all good, odd and bad pictures: its batches, and the reasons of the bad ones."""
    folder = shutil.copytree(folder, tmp_path_factory.mktemp("all") / "faces")
    for name, content, _ in (*BAD, *GOOD):
        (folder / f"{name}.jpg").write_bytes(content)
    source = open_source(folder)
    batches, rows = _read(source, count=len(source.names) // 2)
    return batches, dict(rows)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_run_over_all_of_them_goes_on(run):
    batches, _ = run
    assert batches.shape == (len(batches), 4, 64, 64, 3)
    assert np.isfinite(batches).all()


@pytest.mark.parametrize(("name", "reason"), [(row[0], row[2]) for row in BAD])
def test_a_bad_picture_is_named_with_its_reason(run, name, reason):
    found = run[1][f"{name}.jpg"]
    assert reason in found
    assert "\n" not in found


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(("name", "content", "tolerance"), GOOD)
def test_an_odd_picture_just_works(run, name, content, tolerance):
    assert f"{name}.jpg" not in run[1]
    image = read_image(content, name).astype(int)
    if tolerance < 255:
        assert image.shape == FACE.shape
        assert np.abs(image - FACE).mean() <= tolerance


@pytest.mark.parametrize("name", [*NAMES, "\udcff\udcfe.jpg", "a\\b\t\x1b[31m.jpg", "-x.jpg"])
def test_any_name_is_a_name(folder, tmp_path, name, capsys):
    source = open_source(_with(folder, tmp_path, jpeg(ODD), name))
    assert name in source.names
    assert _load(source) == (COUNT, [])
    os.truncate(os.path.join(source.label, name), 3000)
    reason = "can't be read as a picture (cut off: its end is missing)"
    assert _load(source) == (COUNT - 1, [(name, reason)])
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", [*NAMES, "/absolute.jpg"])
def test_any_name_in_a_zip_is_a_name(tmp_path, name):
    path = odd_files.zipped(tmp_path / "faces.zip", [(name, JPEG)])
    source = open_source(path)
    assert source.names == [name]
    assert source.read(0) == JPEG
    assert os.listdir(tmp_path) == ["faces.zip"]


def test_a_linked_picture_is_read_and_what_is_no_file_is_bad(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "faces")
    (copy / "link.jpg").symlink_to(folder / "00.jpg")
    (copy / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (copy / "endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(copy / "pipe.jpg")
    (copy / "loop").symlink_to(copy)
    (copy / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(copy / "socket.jpg"))  # absolute, it may be too long
        source = open_source(copy)
        good, rows = _load(source)
    assert good == COUNT + 1
    reasons = dict(rows)
    assert reasons.pop("socket.jpg")
    assert reasons == {
        "endless.jpg": "not a regular file",
        "gone.jpg": "No such file or directory",
        "pipe.jpg": "not a regular file",
    }


def test_a_dataset_that_is_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(OSError, match="neither a folder nor a zip"):
        open_source(tmp_path / "pipe.zip")


def _flip_in_data(path):
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)


def _patch(**changes):
    offsets = {"flags": 8, "crc": 16, "packed": 20, "size": 24, "mode": 40, "place": 42}
    return lambda path: odd_files.patched(
        path, {offsets[name]: content for name, content in changes.items()}
    )


_four = functools.partial(int.to_bytes, length=4, byteorder="little")
# name, how the first entry of the zip is changed, how it is packed, what the reason has to hold
HOSTILE = [
    ("a flipped byte", _flip_in_data, zipfile.ZIP_STORED, "wrong checksum"),
    ("a wrong checksum", _patch(crc=b"abcd"), zipfile.ZIP_DEFLATED, "wrong checksum"),
    ("encrypted", _patch(flags=b"\1"), zipfile.ZIP_STORED, "encrypted"),
    ("smaller than it says", _patch(size=_four(90_000)), zipfile.ZIP_DEFLATED, "not as large as"),
    ("larger than it says", _patch(size=_four(99)), zipfile.ZIP_DEFLATED, "not as large as"),
    ("over the end", _patch(packed=_four(2**27)), zipfile.ZIP_STORED, "in its place"),
    ("too large", _patch(size=_four(2**31)), zipfile.ZIP_STORED, "larger than 256"),
    ("elsewhere", _patch(place=_four(77)), zipfile.ZIP_STORED, "in its place"),
    ("packed otherwise", lambda path: None, zipfile.ZIP_LZMA, "neither stored nor deflated"),
    ("cut short", _patch(packed=_four(500)), zipfile.ZIP_DEFLATED, "not as large as"),
]


@pytest.mark.parametrize(("name", "change", "packing", "reason"), HOSTILE)
def test_a_hostile_entry_costs_that_picture_only(tmp_path, name, change, packing, reason):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("00.jpg", jpeg(0), packing)
        for number in range(1, COUNT):
            archive.writestr(f"{number:02d}.jpg", jpeg(number))
    change(path)
    good, [(bad, found)] = _load(open_source(path))
    assert (good, bad) == (COUNT - 1, "00.jpg")
    assert reason in found


def test_what_is_no_picture_of_its_own_in_a_zip_is_left_out(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    nested = io.BytesIO()
    odd_files.zipped(nested, [("deep.jpg", JPEG)])
    entries = [
        ("good.jpg", JPEG),
        (link, "/etc/passwd"),
        ("../up.jpg", JPEG),
        ("nested.zip", nested.getvalue()),
        ("folder.jpg/", b""),
    ]
    path = odd_files.zipped(tmp_path / "faces.zip", entries)
    assert open_source(path).names == ["good.jpg"]


# From here on: a picture that only TensorFlow finds to be bad.


@pytest.fixture(scope="module")
def broken(folder, tmp_path_factory):
    return open_source(_with(folder, tmp_path_factory.mktemp("in"), odd_files.broken_inside()))


def test_batches_after_a_failed_decode_are_in_their_places(broken, folder):
    broken_batches, rows = _read(broken, count=9)
    assert [name for name, _ in rows] == ["05.jpg"]
    whole_batches, _ = _read(open_source(folder), count=9)
    differing = (broken_batches != whole_batches).any((2, 3, 4)).sum(1)
    assert sorted(differing) == [0] * 6 + [1] * 3  # once an epoch, in one place


@pytest.mark.parametrize("sample_size", [64, 72])
def test_a_batch_is_the_same_wherever_the_run_started(broken, sample_size):
    batches = Batches(broken, range(COUNT), 4, sample_size, 0)
    whole = [pair for _, pair in zip(range(7), batches.iterate(), strict=False)]
    for start in (2, 3, 6):
        late = next(batches.iterate(start))
        for images, alone, expected in zip(late, batches.make(start), whole[start], strict=True):
            np.testing.assert_array_equal(images, expected)
            # TensorFlow rearranges a graph of its own in another way than one in a dataset.
            np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_a_picture_broken_inside_is_replaced_as_one_that_is_cut_off(broken, folder, tmp_path):
    cut_off = open_source(_with(folder, tmp_path, JPEG[:3000]))
    np.testing.assert_array_equal(_read(broken)[0], _read(cut_off)[0])


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_cache_leaves_out_the_same_pictures_for_the_same_reasons(broken, tmp_path, where):
    path = where if where == "memory" else tmp_path / "cache"
    for _ in range(2):  # a file is made, then used again
        bad_images = BadImages(COUNT, 0.05)
        cache = open_cache(broken, path, bad_images)
        assert [name for name, _ in bad_images.rows] == ["05.jpg"]
        assert "TensorFlow" in bad_images.rows[0][1]
        with pytest.raises(OSError, match="1 of the 12"):
            bad_images.check()
    np.testing.assert_array_equal(_read(broken)[0], _read(broken, cache=cache)[0])


@pytest.mark.parametrize("content", [b"no picture", odd_files.broken_inside()])
def test_bad_pictures_alone_end_with_one_line(tmp_path, content):
    for number in range(COUNT):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    source = open_source(tmp_path)
    for cache in (None, open_cache(source, "memory")):
        with pytest.raises(OSError, match="^100 pictures in a row can't be read"):
            _read(source, count=1, cache=cache)


# From here on: files that chance has changed.

SEEDS = [JPEG, jpeg(progressive=True), odd_files.turned(6), ADOBE_CMYK, PNG, PALETTE]


@st.composite
def mutated(draw, contents):
    """Bytes of a real file with a few of them flipped, inserted, deleted or cut off."""
    data = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        # Often near an end, where the headers and a zip's directory are.
        place = draw(st.one_of(st.integers(0, len(data)), st.integers(0, 300)))
        place = min(place, len(data)) if draw(st.booleans()) else max(len(data) - place, 0)
        content = draw(st.binary(min_size=1, max_size=9))
        end = place + len(content)
        flip, insert, delete, cut_off = (end, content), (place, content), (end, b""), (None, b"")
        end, content = draw(st.sampled_from([flip, insert, delete, cut_off]))
        data[place:end] = content
    return bytes(data)


often = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@often
@given(mutated(SEEDS))
def test_a_changed_picture_is_a_picture_or_one_line(data):
    try:
        image = read_image(data, "a\n.jpg")
    except OSError as error:
        assert str(error).startswith("a\\n.jpg: can't be read as a picture (")
        assert "\n" not in str(error)
    else:
        assert image.dtype == np.uint8
        assert image.size
        assert image.shape[2:] == (3,)


def _small_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", PALETTE[:400])
        archive.writestr("ü.png", PALETTE[:700], zipfile.ZIP_DEFLATED)
        archive.writestr("list_eval_partition.txt", "a.jpg 2\n", zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@often
@given(data=mutated([_small_zip()]))
def test_a_changed_zip_is_read_or_one_line(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "changed.zip"
    path.write_bytes(data)
    try:
        source = open_source(path)
    except OSError as error:
        assert "\n" not in str(error)
        return
    assert len(source.identities) == len(source.names)
    for number in range(len(source.names)):
        try:
            content = source.read(number)
        except OSError as error:
            assert "\n" not in str(error)
        else:
            assert content in (PALETTE[:400], PALETTE[:700], b"a.jpg 2\n", b"")


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(mutated(SEEDS), min_size=1, max_size=3))
def test_changed_pictures_never_end_a_run(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("changed")
    for number, content in enumerate([JPEG, *contents]):
        (folder / f"{number}.jpg").write_bytes(content)
    source = open_source(folder)
    cache = open_cache(source, "memory")
    assert cache.crops.shape == (len(contents) + 1, *CROP_SHAPE)
    assert not cache.bad[0]
    _, low_res, _ = load_pictures(source, range(len(source.names)), 64)
    assert len(low_res) == (~cache.bad).sum()
