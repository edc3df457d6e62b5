import re
import types

import pytest
import tensorflow as tf

import srez.parallel.cluster

GPU = types.SimpleNamespace(name="/physical_device:GPU:0")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes this a machine with a CPU of such flags, or with a GPU of such a compute capability."""

    def make(device):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor : 0\nflags : fpu {device} sse2\n")
        monkeypatch.setattr(srez.parallel.cluster, "Path", lambda _: cpuinfo)
        gpus = [GPU] if isinstance(device, tuple) else []
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
        details = {"device_name": "A GPU", "compute_capability": device}
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)

    return make


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("avx512f", "auto", "float32"),
        ("avx512_bf16", "auto", "bfloat16"),
        ("amx_bf16", "auto", "bfloat16"),
        ("avx512f", "float32", "float32"),
        ("avx512f", "bfloat16", "bfloat16"),
        ((7, 5), "auto", "float32"),
        ((8, 0), "auto", "bfloat16"),
        ((7, 0), "float16", "float16"),
    ],
)
def test_auto_is_bfloat16_where_the_device_has_it(machine, device, precision, expected):
    machine(device)
    assert srez.parallel.cluster.choose_precision(precision) == expected


def test_float16_is_refused_on_a_cpu(machine):
    machine("avx512f")
    with pytest.raises(OSError, match="--precision=float16 is for GPUs"):
        srez.parallel.cluster.choose_precision("float16")


def test_a_gpu_takes_memory_as_needed_and_is_named(machine, monkeypatch):
    machine((8, 0))
    grown = []
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda *call: grown.append(call)
    )
    assert srez.parallel.cluster.set_up(False) == "A GPU"
    assert grown == [(GPU, True)]


def test_deterministic_takes_one_operation_at_a_time(machine, monkeypatch):
    machine("avx512f")
    threads, switched = [], []
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", threads.append)
    switch = "tensorflow.config.experimental.enable_op_determinism"
    monkeypatch.setattr(switch, lambda: switched.append(True))
    srez.parallel.cluster.set_up(False)
    assert (threads, switched) == ([], [])
    srez.parallel.cluster.set_up(False, deterministic=True)
    assert (threads, switched) == ([1], [True])


@pytest.mark.parametrize("found", [None, "/usr/bin/nvidia-smi"])
def test_a_gpu_that_tensorflow_cannot_use_gives_a_hint(machine, monkeypatch, capsys, found):
    machine("avx512f")
    monkeypatch.setattr(srez.parallel.cluster.shutil, "which", lambda name: found)
    assert re.fullmatch(r"1 CPU core|\d+ CPU cores", srez.parallel.cluster.set_up(False))
    line = capsys.readouterr().out
    assert ("NVIDIA" in line, "tensorflow[and-cuda]==" in line) == (bool(found), bool(found))
