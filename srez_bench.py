"""Measures the speed of training, input and inference, all in turns, so that noise is shared."""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

import srez_input
import srez_model
import srez_textbook
from srez_cache import open_cache
from srez_image import atomic_path
from srez_peer import Peer
from srez_source import open_source
from srez_trainer import Trainer

ROUNDS = 7  # of all measurements, one after the other
MATMUL_SIDE = 2048
INPUT_PICTURES = 1024  # decoded per measurement of the input
OUTPUT = "bench/results.json"


def benchmark(config):
    """Prints medians and spreads as it goes, then writes bench/results.json and returns its dict.

    `config` is a TrainConfig: its dataset, batch_size and sample_size are measured with.
    """
    source = open_source(config.dataset)
    print(f"Measuring {ROUNDS} rounds, a few minutes.", flush=True)
    with concurrent.futures.ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        inputs = pool.submit(_measure_input, config.dataset, ROUNDS, INPUT_PICTURES).result()
    seconds, spread = _measure_steps(config, source)
    multiplications = srez_textbook.step_multiplications(config.batch_size, config.sample_size)
    results = {
        "machine": _machine(),
        "seconds": seconds,
        "spread": spread,
        "ratios": _ratios(seconds, 2 * multiplications),
        "step_gflop_unfolded": round(2 * multiplications / 1e9, 1),
        "input_pictures_per_second_and_core": inputs,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    Path(OUTPUT).parent.mkdir(exist_ok=True)
    with atomic_path(OUTPUT) as path:
        Path(path).write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))
    print(f"Wrote {OUTPUT}.")
    return results


def _measure_steps(config, source):
    """(median seconds, [least, most] seconds) of each job, the jobs in turns."""
    dataset = srez_input.make_dataset(
        source, np.arange(len(source.names)), config.batch_size, config.sample_size, 0
    )
    low_res, high_res = next(iter(dataset))
    with Peer(config.batch_size, config.sample_size) as peer:
        jobs = _jobs(config, low_res, high_res) | peer.jobs
        times = {name: [] for name in jobs}
        for job in jobs.values():  # traced and warm
            job()
        for number in range(ROUNDS):
            for name, job in jobs.items():
                times[name].append(job())
            print(f"round {number + 1} of {ROUNDS}", flush=True)
    medians = {name: round(statistics.median(values), 4) for name, values in times.items()}
    spread = {name: [round(min(v), 4), round(max(v), 4)] for name, v in times.items()}
    return medians, spread


def _jobs(config, low_res, high_res):
    """Functions by name; each does one step, matmul or forward pass and returns its seconds."""
    textbook = srez_textbook.TextbookTrainer()
    jobs = {"textbook step": _timed(lambda: textbook.train_step(low_res, high_res))}
    for precision in ("float32", "bfloat16"):
        matrix = tf.cast(tf.random.normal((MATMUL_SIDE, MATMUL_SIDE)), precision)
        jobs[f"matmul {precision}"] = _timed(tf.function(lambda x=matrix: tf.matmul(x, x)))
        for jit_compile in (False, True):
            name = f"step {precision}" + (" xla" if jit_compile else "")
            jobs[name] = _step(config, precision, jit_compile, low_res, high_res)
        generator = srez_model.build_generator(precision=precision)
        infer = tf.function(lambda x=low_res, network=generator: network(x, training=False))
        jobs[f"inference {precision}"] = _timed(infer)
    return jobs


def _timed(function):
    """A function that runs the other one, waits for its result, and returns the seconds."""

    def run():
        start = time.perf_counter()
        function().numpy()
        return time.perf_counter() - start

    return run


def _step(config, precision, jit_compile, low_res, high_res):
    trainer = Trainer(dataclasses.replace(config, precision=precision, jit_compile=jit_compile))
    return _timed(lambda: trainer.train_step(low_res, high_res)["loss/gene_loss"])


def _ratios(seconds, flop):
    """What the README quotes; the limit is the unfolded step's arithmetic at matmul's speed."""
    ratios = {
        "ours float32 / textbook": seconds["step float32"] / seconds["textbook step"],
        "ours bfloat16 / ours float32": seconds["step bfloat16"] / seconds["step float32"],
    }
    for precision in ("float32", "bfloat16"):
        peak = 2 * MATMUL_SIDE**3 / seconds[f"matmul {precision}"]
        limit = flop / peak
        ratios[f"share of the limit, {precision}"] = limit / seconds[f"step {precision}"]
        ratios[f"xla / plain, {precision}"] = (
            seconds[f"step {precision} xla"] / seconds[f"step {precision}"]
        )
        if f"pytorch {precision}" in seconds:
            ratios[f"ours / pytorch, {precision}"] = (
                seconds[f"step {precision}"] / seconds[f"pytorch {precision}"]
            )
    return {name: round(ratio, 3) for name, ratio in ratios.items()}


def _measure_input(dataset, rounds, pictures):
    """Pictures/s on one core, in a process of its own: a median for each way to read them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    source = open_source(dataset)
    numbers = np.arange(pictures) % len(source.names)
    encoded = tf.constant([source.read(number) for number in numbers])
    bytes_alone = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    pipelines = {
        "bare full decode": bytes_alone.map(lambda data: tf.io.decode_jpeg(data, channels=3)),
        "original's operations": bytes_alone.map(srez_textbook.decode_op_by_op),
    }
    pipelines = {name: pipeline.batch(16) for name, pipeline in pipelines.items()}
    files = np.arange(len(source.names))
    for name, where in (("ours", "none"), ("ours, cached", "memory")):
        cache = open_cache(source, where)
        pipelines[name] = srez_input.make_dataset(source, files, 16, 64, 0, cache=cache)
    iterators = {name: iter(pipeline) for name, pipeline in pipelines.items()}
    rates = {name: [] for name in iterators}
    for _ in range(rounds):
        for name, iterator in iterators.items():
            next(iterator)
            start = time.perf_counter()
            for _ in range(pictures // 16):
                next(iterator)
            rates[name].append(pictures / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    shares = {f"{name} / bare": medians[name] / medians["bare full decode"] for name in medians}
    return {name: round(rate) for name, rate in medians.items()} | {
        name: round(share, 3) for name, share in shares.items() if not name.startswith("bare")
    }


def _machine():
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }
