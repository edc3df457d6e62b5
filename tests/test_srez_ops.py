import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import srez_ops
from srez_crop import box_alone, encoded_crop
from srez_ops import box_reader, is_plain
from srez_source import open_source
from tests import odd_files
from tests.odd_files import jpeg, zipped
from tests.test_bad_input import BAD, EXIF_TURNED, GOOD

ODD = [(name, content) for name, content, _ in BAD + GOOD]
ODD += [(f"turned by {turn}", odd_files.turned(turn)) for turn in EXIF_TURNED]


def _boxes(source, offset=(3, 16)):
    """(good, boxes) of all pictures of a source, by a graph."""
    count = len(source.names)
    read = tf.function(box_reader(source.locate(source.identities)))
    good, boxes = read(tf.range(count, dtype=tf.int64), tf.tile([offset], [count, 1]))
    return good.numpy(), boxes.numpy()


@pytest.fixture(scope="module")
def contents(faces):
    return [(path.name, path.read_bytes()) for path in sorted(faces.glob("*.jpg"))[:6]]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, contents):
    """Folders and zips of the same six pictures, by what they are; paths for --dataset."""
    folder = tmp_path_factory.mktemp("datasets")
    (folder / "pictures" / "below").mkdir(parents=True)
    for name, content in contents:
        (folder / "pictures" / "below" / name).write_bytes(content)
    stored = zipped(folder / "stored.zip", contents)
    deflated = zipped(folder / "deflated.zip", contents, compression=8)
    paths = {"folder": folder / "pictures", "stored": stored, "deflated": deflated}
    paths = {kind: str(path) for kind, path in paths.items()}
    return paths | {"all together": ",".join(paths.values())}


@pytest.mark.parametrize("kind", ["folder", "stored", "deflated", "all together"])
def test_the_boxes_are_those_of_srez_crop(datasets, kind, monkeypatch, tmp_path):
    source = open_source(datasets[kind])
    monkeypatch.chdir(tmp_path)
    good, boxes = _boxes(source)
    assert good.all()
    for number, box in enumerate(boxes):
        np.testing.assert_array_equal(box, box_alone(source, number, (3, 16)))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of odd and bad files, a plain one at its end."""
    folder = tmp_path_factory.mktemp("odd")
    for number, (_, content) in enumerate([*ODD, ("plain", jpeg())]):
        (folder / f"{number:02d}.jpg").write_bytes(content)
    return folder


def test_a_good_box_of_an_odd_file_is_that_of_srez_crop(odd):
    source = open_source(odd)
    good, boxes = _boxes(source)
    assert good[-1]
    assert 2 <= good.sum() < 8
    for number in np.flatnonzero(good):
        np.testing.assert_array_equal(boxes[number], box_alone(source, number, (3, 16)))
    assert not boxes[~good].any()


def test_nothing_is_plain_that_srez_crop_takes_for_odd(odd):
    source = open_source(odd)
    found = is_plain(tf.constant([source.read(number) for number in range(len(source.names))]))
    for number in np.flatnonzero(found):
        assert encoded_crop(source, number)[:1] == b"\xff"


def test_a_plain_header_is_found_wherever_it_is_cut_off():
    data = jpeg()
    cut = [data[:size] + b"\xff\xd9" for size in range(2, 400)]
    found = is_plain(tf.constant(cut)).numpy()
    assert not found[:100].any()
    assert found[-1]


def test_a_zip_entry_with_a_wrong_checksum_is_not_good(tmp_path, contents):
    for compression in (0, 8):
        path = zipped(tmp_path / f"{compression}.zip", contents, compression=compression)
        odd_files.patched(path, {16: b"\1\2\3\4"})
        assert _boxes(open_source(path))[0].tolist() == [False] + [True] * 5


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a size that is not its own", {24: b"\xff\0\0\0"}),
        ("a packed size that is not its own", {20: b"\xff\0\0\0"}),
        ("a size of gigabytes", {20: b"\xff\xff\xff\x7f", 24: b"\xff\xff\xff\x7f"}),
        ("another place", {42: b"\5\0\0\0"}),
        ("a place behind the end", {42: b"\xff\xff\xff\x7f"}),
        ("a mark that it is encrypted", {8: b"\1\0"}),
        ("an unknown method", {10: b"\x0c\0"}),
    ],
)
def test_a_zip_entry_is_not_good_with(tmp_path, contents, what, changes):
    path = zipped(tmp_path / "a.zip", contents)
    odd_files.patched(path, changes)
    assert _boxes(open_source(path))[0].tolist() == [False] + [True] * 5


def test_a_deflated_entry_without_its_end_is_not_good(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.jpg", jpeg())], compression=8)
    source = open_source(path)
    places = source.locate(source.identities)
    places.entries[0, 3] -= 5
    good, _ = box_reader(places)(tf.constant([0], tf.int64), tf.constant([[0, 0]]))
    assert not good[0]


def test_a_file_that_is_gone_or_a_pipe_is_not_good(tmp_path, contents):
    for name, content in contents:
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "x.jpg")
    source = open_source(tmp_path)
    assert source.identities[-1] == 0
    (tmp_path / source.names[2]).unlink()
    assert np.flatnonzero(~_boxes(source)[0]).tolist() == [2, 6]


def test_a_name_that_is_no_utf_8_is_read(tmp_path, contents):
    name = os.fsdecode(b"\xff\xe9.jpg")
    (tmp_path / name).write_bytes(contents[0][1])
    assert _boxes(open_source(tmp_path))[0].tolist() == [True]


def test_pictures_are_read_by_tensorflow_s_own_file_systems(datasets):
    for path in tf.io.gfile.glob(f"{datasets['folder']}/*/*"):
        tf.io.gfile.makedirs("ram://faces/below")
        tf.io.gfile.copy(path, f"ram://faces/below/{os.path.basename(path)}", overwrite=True)
    tf.io.gfile.copy(datasets["stored"], "ram://faces.zip", overwrite=True)
    for dataset in ("ram://faces", "ram://faces.zip"):
        assert _boxes(open_source(dataset))[0].all()


def test_the_graph_holds_no_python_and_is_of_one_size_for_all_batches(datasets):
    source = open_source(datasets["all together"])
    sizes = []
    for count in (4, 64):
        read = tf.function(box_reader(source.locate(source.identities)))
        numbers = tf.TensorSpec([count], tf.int64)
        graph = read.get_concrete_function(numbers, tf.TensorSpec([count, 2], tf.int32)).graph
        definition = graph.as_graph_def()
        functions = definition.library.function
        kinds = {node.op for node in definition.node}
        kinds |= {node.op for function in functions for node in function.node_def}
        assert not {kind for kind in kinds if "Py" in kind}
        sizes.append(sum(len(function.node_def) for function in functions))
    assert sizes[0] == sizes[1]


def test_a_changed_zip_is_not_read(tmp_path, contents):
    path = zipped(tmp_path / "a.zip", contents)
    source = open_source(path)
    places = source.locate(source.identities)
    shutil.copy(zipped(tmp_path / "b.zip", contents[1:]), path)
    read = tf.function(srez_ops.box_reader(places))
    good, _ = read(tf.range(6, dtype=tf.int64), tf.zeros([6, 2], tf.int32))
    assert not good.numpy().any()
