import types

import pytest
import tensorflow as tf

import srez.run.device

GPU = types.SimpleNamespace(name="/physical_device:GPU:0")


@pytest.fixture
def with_gpu(monkeypatch):
    """Makes TensorFlow see a GPU of a given compute capability."""

    def set_capability(capability):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [GPU])
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: {"device_name": "A GPU", "compute_capability": capability},
        )
        monkeypatch.setattr(
            tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append((gpu, on))
        )
        return grown

    grown = []
    return set_capability


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])


def _cpu(monkeypatch, tmp_path, flags):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu {flags} sse2\n")
    monkeypatch.setattr(srez.run.device, "Path", lambda _: tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("avx512f", "float32"), ("avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16")],
)
def test_auto_takes_bfloat16_where_the_cpu_has_it(
    monkeypatch, tmp_path, without_gpu, flags, expected
):
    _cpu(monkeypatch, tmp_path, flags)
    assert srez.run.device.choose_precision("auto") == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_auto_takes_bfloat16_where_the_gpu_has_it(with_gpu, capability, expected):
    with_gpu(capability)
    assert srez.run.device.choose_precision("auto") == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_was_asked_for_is_taken(without_gpu, precision):
    assert srez.run.device.choose_precision(precision) == precision


def test_float16_is_refused_on_a_cpu(without_gpu):
    with pytest.raises(OSError, match="--precision=float16 is for GPUs"):
        srez.run.device.choose_precision("float16")


def test_float16_is_taken_on_a_gpu(with_gpu):
    with_gpu((7, 0))
    assert srez.run.device.choose_precision("float16") == "float16"


def test_a_gpu_takes_memory_as_needed_and_is_named(with_gpu):
    grown = with_gpu((8, 0))
    assert srez.run.device.set_up(False) == "Training on A GPU."
    assert grown == [(GPU, True)]


def test_deterministic_takes_one_operation_at_a_time(without_gpu, monkeypatch):
    threads, switched = [], []
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", threads.append)
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: switched.append(True)
    )
    srez.run.device.set_up(False)
    assert (threads, switched) == ([], [])
    srez.run.device.set_up(False, deterministic=True)
    assert (threads, switched) == ([1], [True])


def test_a_gpu_that_tensorflow_cannot_use_gives_a_hint(without_gpu, monkeypatch):
    monkeypatch.setattr(srez.run.device.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "tensorflow[and-cuda]==" in srez.run.device.set_up(False)


def test_without_a_gpu_there_is_no_hint(without_gpu, monkeypatch):
    monkeypatch.setattr(srez.run.device.shutil, "which", lambda name: None)
    assert srez.run.device.set_up(False).startswith("Training on the CPU")
    assert "NVIDIA" not in srez.run.device.set_up(False)
