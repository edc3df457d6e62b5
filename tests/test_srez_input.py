import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import srez_decode
import srez_input
from srez_image import celeba_box, read_image
from srez_input import augment, load_pictures, make_dataset
from srez_source import open_source
from tests.conftest import FACES


@pytest.fixture(scope="module")
def source(faces):
    return open_source(faces)


def _batches(source, count, files=range(FACES), start_batch=0, sample_size=64, random_seed=0):
    dataset = make_dataset(source, list(files), 4, sample_size, random_seed, start_batch)
    return list(dataset.take(count).as_numpy_iterator())


def _files_of(source, batches):
    """The number of each picture in the batches, found by its mean colours."""
    _, plain = load_pictures(source, range(FACES), 64)
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


def test_another_seed_gives_other_batches(source):
    [(_, first)], [(_, second)] = _batches(source, 1), _batches(source, 1, random_seed=1)
    assert np.abs(first - second).mean() > 0.01


@pytest.mark.parametrize("count", [8, 10])
def test_each_epoch_shows_each_picture_once(monkeypatch, source, count):
    seen = []
    original = srez_input.encoded_crop
    monkeypatch.setattr(
        srez_input,
        "encoded_crop",
        lambda source, number: seen.append(int(number)) or original(source, number),
    )
    make_batch = srez_input.batch_maker(source, np.arange(count), 4, 64, random_seed=0)
    for batch in range(5):  # batches of 4 straddle epochs of 10
        make_batch(tf.constant(batch, tf.int64))
    epochs = [seen[:count], seen[count : 2 * count]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(count))] * 2
    assert epochs[0] != epochs[1]


def test_only_the_given_files_are_read(monkeypatch, source):
    seen = []
    original = srez_input.encoded_crop
    monkeypatch.setattr(
        srez_input,
        "encoded_crop",
        lambda source, number: seen.append(int(number)) or original(source, number),
    )
    make_batch = srez_input.batch_maker(source, np.array([3, 5, 8, 13]), 4, 64, random_seed=0)
    make_batch(tf.constant(0, tf.int64))
    assert sorted(seen) == [3, 5, 8, 13]


def test_load_pictures_gives_the_plain_box(source):
    low_res, high_res = load_pictures(source, [2], 64)
    box = celeba_box(read_image(source.read(2), "2")) / 255.0
    expected = box.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(high_res[0] - expected).max() < 2 / 255
    assert low_res.shape == (1, 16, 16, 3)


def test_tensorflow_and_pillow_decode_a_picture_alike(source):
    fast = srez_decode.decode(tf.constant([source.read(0)]), tf.constant([[3, 11]])).numpy()[0]
    slow = srez_decode._margin_crop(source.read(0), "0")[3:131, 11:139]
    difference = np.abs(fast.astype(int) - slow)
    assert difference.mean() < 0.5
    assert difference[1:-1, 1:-1].max() <= 3  # at the crop's edge chroma is interpolated otherwise


@pytest.mark.parametrize("size", [(300, 200), (60, 90), (144, 144), (1500, 1000)])
def test_a_picture_of_another_size_gives_its_centred_square(tmp_path, size, faces):
    width, height = size
    columns = np.abs(np.arange(width) - (width - 1) / 2) / min(size)  # dark middle, light sides
    image = np.repeat((columns * 255)[None, :, None], height, 0).repeat(3, 2).astype(np.uint8)
    for number in range(5):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    _, high_res = load_pictures(open_source(tmp_path), [0], 64)
    profile = high_res[0].mean((0, 2))
    # The box is the 128 of 144 pixels in the middle of the square: 4/9 to either side.
    np.testing.assert_allclose(profile, profile[::-1], atol=0.01)
    assert profile[0] == pytest.approx(4 / 9, abs=0.015)


def test_a_picture_turned_by_exif_is_turned_back(tmp_path, faces):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    with Image.open(faces / "00.jpg") as face:
        face.rotate(180).save(tmp_path / "turned.jpg", exif=exif, quality=95)
        face.save(tmp_path / "upright.jpg", quality=95)
    _, (turned, upright) = load_pictures(open_source(tmp_path), [0, 1], 64)
    assert np.abs(turned - upright).mean() < 0.01


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
    with pytest.raises(tf.errors.OpError, match="can't be read"):
        _batches(open_source(tmp_path), 1, files=range(8))


def _many_draws(count):
    return tf.random.stateless_uniform((4, count), seed=(1, 2))


def test_the_box_wiggles_over_its_whole_range(monkeypatch, source):
    seen = []
    monkeypatch.setattr(
        srez_input,
        "decode",
        lambda encoded, offsets: (
            seen.append(offsets.numpy()) or tf.zeros((len(offsets), 128, 128, 3), tf.uint8)
        ),
    )
    make_batch = srez_input.batch_maker(source, np.arange(FACES), 16, 64, random_seed=0)
    for batch in range(60):
        make_batch(tf.constant(batch, tf.int64))
    offsets = np.concatenate(seen)
    for axis in (0, 1):
        assert set(offsets[:, axis]) == set(range(17))
        assert offsets[:, axis].mean() == pytest.approx(8, abs=0.6)
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.12


def test_a_raw_crop_and_a_jpeg_are_cut_at_the_same_place(source):
    jpeg = source.read(0)
    raw = b"\0" + srez_decode._margin_crop(jpeg, "0").tobytes()
    offsets = tf.constant([[2, 13], [2, 13]])
    first, second = srez_decode.decode(tf.constant([jpeg, raw]), offsets).numpy().astype(int)
    assert np.abs(first - second).mean() < 0.5


def test_half_of_the_pictures_are_flipped():
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 64)[:, None], (1000, 64, 64, 3))
    images = augment(tf.constant(ramp, tf.float32), _many_draws(1000)).numpy()
    flipped = images[:, 30, 50, 1] < images[:, 30, 10, 1]
    assert flipped.mean() == pytest.approx(0.5, abs=0.05)


def test_the_jitter_has_the_original_range():
    grey = tf.fill((1000, 16, 16, 3), 0.5)
    shifts = augment(grey, _many_draws(1000)).numpy().mean((1, 2, 3)) - 0.5
    assert -0.05 <= shifts.min() < -0.045
    assert 0.045 < shifts.max() <= 0.05
    assert abs(shifts.mean()) < 0.005


def _op_by_op(box, draws):
    """The original's operations in its order, by the same draws, on a box [128, 128, 3]."""
    saturation, brightness, contrast = draws[1:] * 0.1 - 0.05
    box = tf.image.flip_left_right(box) if draws[0] < 0.5 else box
    box = tf.image.adjust_saturation(box, 1.0 + saturation)
    box = tf.image.adjust_brightness(box, brightness)
    return tf.clip_by_value(tf.image.adjust_contrast(box, 1.0 + contrast), 0.0, 1.0)


def test_the_jitter_agrees_with_tensorflows_own_operations(source):
    _, images = load_pictures(source, range(8), 128)
    draws = _many_draws(8)
    expected = [_op_by_op(image, draws[:, at]) for at, image in enumerate(images)]
    np.testing.assert_allclose(augment(images, draws), expected, atol=1e-5)


def test_the_jitter_behind_the_downscaling_keeps_the_distribution(source):
    _, boxes = load_pictures(source, [1], 128)
    count = 300
    draws = _many_draws(count)
    before = tf.stack([_op_by_op(boxes[0], draws[:, at]) for at in range(count)])
    before = tf.nn.avg_pool2d(before, 2, 2, "VALID").numpy()
    small = tf.nn.avg_pool2d(boxes, 2, 2, "VALID")
    after = augment(tf.repeat(small, count, axis=0), draws).numpy()
    # Over the draws, at each pixel and channel; a step of 8 bits is 0.004.
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=0.004)
    np.testing.assert_allclose(after.std(0), before.std(0), atol=0.004)
    np.testing.assert_allclose(after.min(0), before.min(0), atol=0.03)
    np.testing.assert_allclose(after.max(0), before.max(0), atol=0.03)
