"""The device to train on: what it is, what it can compute in, how it is set up."""

import os
import shutil
from pathlib import Path

import tensorflow as tf

from srez.console import counted, install, say

# How Linux names the instructions that multiply bfloat16 on x86 and Arm CPUs.
_BFLOAT16_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_BFLOAT16_COMPUTE_CAPABILITY = (8, 0)  # NVIDIA's Ampere


def set_up(log_device_placement, deterministic=False):
    """Sets TensorFlow up, GPUs with memory as they need it; returns what it runs on, in words.

    With `deterministic` the same bits come out each time. On GPUs TensorFlow's own switch does it.
    CPUs also need one operation at a time: several at once share the threads, and then the last
    bits of a sum depend on how.
    """
    tf.debugging.set_log_device_placement(log_device_placement)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
        tf.config.threading.set_inter_op_parallelism_threads(1)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("device_name", gpus[0].name)
    if shutil.which("nvidia-smi"):
        say(
            "An NVIDIA GPU seems to be here, but TensorFlow can't use it:\n  "
            + install(f'"tensorflow[and-cuda]=={tf.__version__}"')
        )
    bound = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))  # Linux knows
    return counted(len(bound(0)), "CPU core")


def choose_precision(precision):
    """The precision to compute in. "auto" is bfloat16 if the device has it natively, else float32.

    Raises OSError for float16 on a CPU, which would emulate it, slowly.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if precision == "auto":
        return "bfloat16" if has_bfloat16(gpus) else "float32"
    if precision == "float16" and not gpus:
        raise OSError("--precision=float16 is for GPUs: on a CPU use bfloat16, float32 or auto")
    return precision


def has_bfloat16(gpus):
    """Whether the GPUs multiply bfloat16 natively; without GPUs, whether this CPU does."""
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        capabilities = [each.get("compute_capability", (0, 0)) for each in details]
        return min(capabilities) >= _BFLOAT16_COMPUTE_CAPABILITY
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and bool(_BFLOAT16_CPU_FLAGS & set(cpuinfo.read_text().split()))
