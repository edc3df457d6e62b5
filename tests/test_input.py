import numpy as np
import pytest
import tensorflow as tf

from srez.data.source import open_source
from srez.pictures import pairs
from srez.pictures.bad import BadImages
from srez_input import Batches
from tests.conftest import FACES


@pytest.fixture(scope="module")
def source(faces):
    return open_source(faces)


def _make(source, files=range(FACES), batch_size=4, sample_size=64, random_seed=0):
    return Batches(source, np.array(files), batch_size, sample_size, random_seed)


def _first(count, batches, start=0):
    """Arrays (low_res, high_res) [count, B, H, W, 3] of the batches from `start` on."""
    taken = [pair for _, pair in zip(range(count), batches.iterate(start), strict=False)]
    return [np.stack(images) for images in zip(*taken, strict=True)]


@pytest.mark.parametrize("sample_size", [64, 72, 128])
def test_a_batch_has_the_shapes_and_the_range_it_says(source, sample_size):
    low_res, high_res = next(_make(source, sample_size=sample_size).iterate())
    assert high_res.shape == (4, sample_size, sample_size, 3)
    assert low_res.shape == (4, sample_size // 4, sample_size // 4, 3)
    for images in (low_res, high_res):
        assert images.dtype == np.float32
        assert 0.0 <= np.min(images) < 0.3 < 0.7 < np.max(images) <= 1.0


def test_low_res_is_the_average_of_high_res(source):
    low_res, high_res = next(_make(source).iterate())
    expected = high_res.numpy().reshape(4, 16, 4, 16, 4, 3).mean((2, 4))
    np.testing.assert_allclose(low_res, expected, atol=1e-6)


def test_a_dataset_started_late_gives_what_a_run_would_get_next(source):
    whole, late = _first(9, _make(source)), _first(2, _make(source), start=7)
    for expected, images in zip(whole, late, strict=True):
        np.testing.assert_array_equal(expected[7:], images)


@pytest.fixture
def seen(monkeypatch):
    """The list of the numbers of all pictures that are read from now on."""
    numbers = []
    original = pairs.encoded_crop

    def encoded_crop(source, number):
        numbers.append(int(number))
        return original(source, number)

    monkeypatch.setattr(pairs, "encoded_crop", encoded_crop)
    return numbers


def test_the_files_of_a_batch_are_those_that_are_read_and_no_others(seen, source):
    files = [3, 5, 8, 13, 21]
    batches = _make(source, files)
    for batch in (0, 7):
        seen.clear()
        batches.make(batch)
        assert batches.files_of(batch).tolist() == seen
        assert {*seen} <= {*files}


def test_all_pictures_read_are_counted(source):
    ledger = BadImages(FACES, limit=0.0)
    _first(FACES // 4, Batches(source, range(FACES), 4, 64, 0, bad_images=ledger))
    ledger.note("invented.jpg", "to be judged")
    with pytest.raises(OSError, match=f"1 of the {FACES} pictures read"):
        ledger.check()


def test_another_seed_gives_other_batches(source):
    (_, first), (_, second) = (next(_make(source, random_seed=seed).iterate()) for seed in (0, 1))
    assert np.abs(first - second).mean() > 0.01


@pytest.mark.parametrize("count", [8, 10])
def test_each_epoch_shows_each_picture_once(seen, source, count):
    batches = _make(source, range(count))
    for batch in range(5):  # batches of 4 straddle epochs of 10
        batches.make(batch)
    epochs = [seen[:count], seen[count : 2 * count]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(count))] * 2
    assert epochs[0] != epochs[1]


def test_the_graph_does_not_hold_the_numbers_of_the_files(source):
    batches = _make(source, files=np.arange(10**6) % FACES)
    graph = batches._graph.get_concrete_function(tf.TensorSpec([], tf.int64), (0, 4)).graph
    assert graph.as_graph_def().ByteSize() < 10**5


def test_a_bad_picture_is_replaced_by_the_same_good_one_each_time(folder, capsys):
    (folder / "05.jpg").write_bytes((folder / "05.jpg").read_bytes()[:2000])
    source = open_source(folder)
    first, second = (_first(6, _make(source))[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(first) == 6
    assert "05.jpg" in capsys.readouterr().err


def test_the_box_wiggles_over_its_whole_range(source):
    batches = _make(source, batch_size=16)
    drawn = [batches.draw(tf.constant(batch, tf.int64))[1] for batch in range(60)]
    offsets = np.concatenate(drawn)
    for axis in (0, 1):
        assert set(offsets[:, axis]) == set(range(17))
        assert offsets[:, axis].mean() == pytest.approx(8, abs=0.6)
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.12


def test_the_shares_of_a_batch_put_together_are_the_batch(source, seen):
    whole = next(_make(source, batch_size=6).iterate(5))
    files = _make(source, batch_size=6).files_of(5)
    shares = []
    for first, end in ((0, 2), (2, 6)):
        seen.clear()
        shares.append(_make(source, batch_size=6).make(5, (first, end)))
        assert sorted(seen) == sorted(files[first:end])  # these, and no others
    for images, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), images)


def test_a_bad_picture_in_a_share_is_replaced_as_in_the_batch(source, monkeypatch):
    batches = _make(source, batch_size=6)
    bad, read = batches.files_of(0)[4], source.read
    monkeypatch.setattr(source, "read", lambda number: b"" if number == bad else read(number))
    part = next(_make(source, batch_size=6).iterate(share=(3, 6)))
    for images, share in zip(next(batches.iterate()), part, strict=True):
        np.testing.assert_array_equal(images[3:], share)
