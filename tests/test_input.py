import shutil

import numpy as np
import pytest
import tensorflow as tf

import srez_input
from srez.data.source import open_source
from srez.pictures.bad import BadImages
from srez.pictures.load import load_pictures
from srez_input import Batches
from tests.conftest import FACES


@pytest.fixture(scope="module")
def source(faces):
    return open_source(faces)


def _batches(source, count, files=range(FACES), start_batch=0, sample_size=64, random_seed=0):
    batches = Batches(source, files, 4, sample_size, random_seed)
    pairs = zip(range(count), batches.iterate(start_batch), strict=False)
    return [(low_res.numpy(), high_res.numpy()) for _, (low_res, high_res) in pairs]


def _files_of(source, batches):
    """The number of each picture in the batches, found by its mean colours."""
    _, _, plain = load_pictures(source, range(FACES), 64)
    means = plain.mean((1, 2))
    found = np.concatenate([high_res for _, high_res in batches]).mean((1, 2))
    return np.abs(found[:, None] - means).sum(-1).argmin(-1)


@pytest.mark.parametrize("sample_size", [64, 72, 128])
def test_a_batch_has_the_shapes_and_the_range_it_says(source, sample_size):
    [(low_res, high_res)] = _batches(source, 1, sample_size=sample_size)
    assert high_res.shape == (4, sample_size, sample_size, 3)
    assert low_res.shape == (4, sample_size // 4, sample_size // 4, 3)
    for images in (low_res, high_res):
        assert images.dtype == np.float32
        assert 0.0 <= images.min() < 0.3 < 0.7 < images.max() <= 1.0


def test_low_res_is_the_average_of_high_res(source):
    [(low_res, high_res)] = _batches(source, 1)
    expected = high_res.reshape(4, 16, 4, 16, 4, 3).mean((2, 4))
    np.testing.assert_allclose(low_res, expected, atol=1e-6)


def test_a_dataset_started_late_gives_what_a_run_would_get_next(source):
    whole = _batches(source, 9)
    late = _batches(source, 2, start_batch=7)
    for expected, batch in zip(whole[7:], late, strict=True):
        np.testing.assert_array_equal(expected[0], batch[0])
        np.testing.assert_array_equal(expected[1], batch[1])


@pytest.fixture
def seen(monkeypatch):
    """The list of the numbers of all pictures that are read from now on."""
    numbers = []
    original = srez_input.encoded_crop
    monkeypatch.setattr(
        srez_input,
        "encoded_crop",
        lambda source, number: numbers.append(int(number)) or original(source, number),
    )
    return numbers


def test_the_files_of_a_batch_are_those_that_are_read(seen, source):
    files = np.array([3, 5, 8, 13, 21])
    batches = Batches(source, files, 4, 64, 0)
    for batch in (0, 7):
        seen.clear()
        batches.make(batch)
        assert batches.files_of(batch).tolist() == seen


def test_all_pictures_read_are_counted(source):
    ledger = BadImages(FACES, limit=0.0)
    batches = Batches(source, range(FACES), 4, 64, 0, bad_images=ledger).iterate()
    for _ in range(FACES // 4):
        next(batches)
    ledger.note("invented.jpg", "to be judged")
    with pytest.raises(OSError, match=f"1 of the {FACES} pictures read"):
        ledger.check()


def test_another_seed_gives_other_batches(source):
    [(_, first)], [(_, second)] = _batches(source, 1), _batches(source, 1, random_seed=1)
    assert np.abs(first - second).mean() > 0.01


@pytest.mark.parametrize("count", [8, 10])
def test_each_epoch_shows_each_picture_once(seen, source, count):
    batches = Batches(source, np.arange(count), 4, 64, 0)
    for batch in range(5):  # batches of 4 straddle epochs of 10
        batches.make(batch)
    epochs = [seen[:count], seen[count : 2 * count]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(count))] * 2
    assert epochs[0] != epochs[1]


def test_only_the_given_files_are_read(seen, source):
    Batches(source, np.array([3, 5, 8, 13]), 4, 64, 0).make(0)
    assert sorted(seen) == [3, 5, 8, 13]


def test_the_graph_does_not_hold_the_numbers_of_the_files(source):
    files = np.arange(10**6) % FACES
    batches = Batches(source, files, 4, 64, 0)
    assert (
        batches._graph.get_concrete_function(tf.TensorSpec([], tf.int64), (0, 4))
        .graph.as_graph_def()
        .ByteSize()
        < 10**5
    )


def test_a_bad_picture_is_replaced_by_the_same_good_one_each_time(tmp_path, faces, capsys):
    folder = shutil.copytree(faces, tmp_path / "faces")
    (folder / "05.jpg").write_bytes((folder / "05.jpg").read_bytes()[:2000])
    source = open_source(folder)
    first, second = _batches(source, 6), _batches(source, 6)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    assert len(first) == 6
    assert "05.jpg" in capsys.readouterr().err


def test_a_folder_of_bad_pictures_alone_ends_with_an_error(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_text("no picture")
    with pytest.raises(OSError, match="can't be read"):
        _batches(open_source(tmp_path), 1, files=range(8))


def test_the_box_wiggles_over_its_whole_range(source):
    batches = Batches(source, np.arange(FACES), 16, 64, 0)
    drawn = [batches.draw(tf.constant(batch, tf.int64))[1] for batch in range(60)]
    offsets = np.concatenate(drawn)
    for axis in (0, 1):
        assert set(offsets[:, axis]) == set(range(17))
        assert offsets[:, axis].mean() == pytest.approx(8, abs=0.6)
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.12


def test_the_shares_of_a_batch_put_together_are_the_batch(source, seen):
    arguments = (source, np.arange(FACES), 6, 64, 0)
    whole = next(Batches(*arguments).iterate(5))
    files = Batches(*arguments).files_of(5)
    shares = []
    for first, end in ((0, 2), (2, 6)):
        seen.clear()
        shares.append(Batches(*arguments).make(5, (first, end)))
        assert sorted(seen) == sorted(files[first:end])  # these, and no others
    for images, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), images)


def test_a_bad_picture_in_a_share_is_replaced_as_in_the_batch(source, monkeypatch):
    bad = int(Batches(source, np.arange(FACES), 6, 64, 0).files_of(0)[4])
    good = source.read

    def read(number):
        if number == bad:
            raise OSError("broken")
        return good(number)

    monkeypatch.setattr(source, "read", read)
    arguments = (source, np.arange(FACES), 6, 64, 0)
    whole = next(Batches(*arguments).iterate())
    part = next(Batches(*arguments).iterate(share=(3, 6)))
    for images, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(images[3:], some)
