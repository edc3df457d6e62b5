import json
import math

import numpy as np
import pytest
import tensorflow as tf

import srez_bench
import srez_peer
import srez_textbook
from tests.conftest import make_config

SECONDS = {
    "textbook step": 2.0,
    "step float32": 1.0,
    "step float32 xla": 4.0,
    "step bfloat16": 0.5,
    "step bfloat16 xla": 2.0,
    "matmul float32": 2 * srez_bench.MATMUL_SIDE**3 / 200e9,
    "matmul bfloat16": 2 * srez_bench.MATMUL_SIDE**3 / 400e9,
}


def test_the_textbook_generator_is_the_same_network():
    variables = srez_textbook.build_generator().trainable_variables
    assert sum(math.prod(variable.shape) for variable in variables) == 3_844_451


def test_a_textbook_step_updates_both_networks():
    trainer = srez_textbook.TextbookTrainer()
    networks = (trainer.generator, trainer.discriminator)
    before = [network.trainable_variables[0].numpy() for network in networks]
    high_res = tf.random.uniform((2, 32, 32, 3))
    assert math.isfinite(trainer.train_step(high_res[:, ::4, ::4], high_res))
    for network, old in zip(networks, before, strict=True):
        assert (network.trainable_variables[0].numpy() != old).any()


def test_a_full_step_takes_305_gflop_unfolded():
    flop = 2 * srez_textbook.step_multiplications(batch_size=16, size=64)
    assert flop == pytest.approx(305e9, rel=0.01)


def test_ratios_are_taken_from_the_measured_seconds():
    ratios = srez_bench._ratios(SECONDS | {"pytorch float32": 1.25}, flop=300e9)
    assert ratios == {
        "ours float32 / textbook": 0.5,
        "ours bfloat16 / ours float32": 0.5,
        "share of the limit, float32": 1.5,
        "share of the limit, bfloat16": 1.5,
        "xla / plain, float32": 4.0,
        "xla / plain, bfloat16": 4.0,
        "ours / pytorch, float32": 0.8,
    }


def test_the_original_operations_give_what_ours_give(faces):
    low_res, high_res = srez_textbook.decode_op_by_op((faces / "00.jpg").read_bytes())
    assert (low_res.shape, high_res.shape) == ((16, 16, 3), (64, 64, 3))
    np.testing.assert_allclose(
        low_res, high_res.numpy().reshape(16, 4, 16, 4, 3).mean((1, 3)), atol=1e-5
    )


def test_without_torch_there_is_no_peer(monkeypatch, capsys):
    monkeypatch.setattr(srez_peer.importlib.util, "find_spec", lambda name: None)
    with srez_peer.Peer(2, 64) as peer:
        assert peer.jobs == {}
    assert "pip install -r bench/requirements.txt" in capsys.readouterr().out


def test_the_peer_does_a_step_for_each_job(monkeypatch, tmp_path):
    script = "import sys\nfor line in sys.stdin: print(len(line.strip()), flush=True)\n"
    (tmp_path / "peer.py").write_text(script)
    monkeypatch.setattr(srez_peer, "SCRIPT", tmp_path / "peer.py")
    monkeypatch.setattr(srez_peer.importlib.util, "find_spec", lambda name: "found")
    with srez_peer.Peer(2, 64) as peer:
        seconds = {name: job() for name, job in peer.jobs.items()}
    assert seconds == {"pytorch float32": len("float32"), "pytorch bfloat16": len("bfloat16")}


def test_a_benchmark_writes_what_it_measured(monkeypatch, tmp_path, faces):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(srez_bench, "ROUNDS", 1)
    monkeypatch.setattr(srez_bench, "INPUT_PICTURES", 16)
    monkeypatch.setattr(srez_peer.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        srez_bench,
        "_jobs",
        lambda *_: {name: lambda value=value: value for name, value in SECONDS.items()},
    )
    results = srez_bench.benchmark(make_config(dataset=faces, batch_size=2))
    assert json.loads((tmp_path / "bench" / "results.json").read_text()) == results
    assert results["seconds"]["step float32"] == 1.0
    assert results["input_pictures_per_second_and_core"]["ours"] > 0
    assert results["peak_memory_mib"] > 100
