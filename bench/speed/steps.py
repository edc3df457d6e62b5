"""Measures the speed of training, input and inference.

python3 -m bench.speed.steps [DATASET [OUTPUT]]: everything is measured in turns, so that noise hits
all alike. DATASET holds aligned CelebA faces, or pictures like them; OUTPUT is a JSON file.
"""

import concurrent.futures
import dataclasses
import functools
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

import srez_model
from bench.speed import textbook
from srez.data.source import open_source
from srez.files import write_text
from srez.options import Options
from srez.pictures.cache import open_cache
from srez.pictures.geometry import celeba_box
from srez.pictures.image import read_image
from srez_input import Batches
from srez_train import Trainer

ROUNDS = 7  # of all measurements, one after the other
MATMUL_SIDE = 4096
INPUT_BATCHES = 64  # of 16 pictures, decoded per measurement of the input
INPUT_PICTURES = 1024  # distinct ones among them
TRAINING_STEPS = 20  # with real data, to see what they need
PRECISIONS = ("float32", "bfloat16")


def main(dataset=None, output=None):
    """Measures on a dataset, or on the drawn faces; prints JSON, and writes it to `output`."""
    results = benchmark(Options(dataset=dataset))
    text = json.dumps(results, indent=2)
    print(text)
    if output:
        write_text(output, f"{text}\n")


def benchmark(config):
    """Returns what it measures, a dict.

    The dataset, batch_size and sample_size of `config`, srez.options.Options, are used. Figures
    are {"median": m, "spread": [least, most]}; a ratio's are those of its values in each round.

    Raises:
        OSError: the dataset can't be used, or its pictures are not like aligned CelebA's.
    """
    source = open_source(config.dataset)
    _refuse_other_pictures(config.dataset, source)
    print(f"Measuring {ROUNDS} rounds; this takes some five minutes.", flush=True)
    inputs = _in_a_process(_measure_input, config.dataset)
    training = {
        precision: _in_a_process(
            _measure_training, dataclasses.replace(config, precision=precision), TRAINING_STEPS
        )
        for precision in PRECISIONS
    }
    seconds = _measure_steps(config, source)
    flop = 2 * textbook.step_multiplications(config.batch_size, config.sample_size)
    return {
        "machine": _machine(),
        "seconds": _summaries(seconds),
        "ratios": _summaries(_ratios(seconds, flop)),
        "step_gflop_unfolded": round(flop / 1e9, 1),
        "inference_pictures_per_second": {
            precision: round(config.batch_size / np.median(seconds[f"inference {precision}"]))
            for precision in PRECISIONS
        },
        "input_pictures_per_second_and_core": _summaries(inputs),
        "input_ratios": _summaries(
            {
                f"{name} / bare": rates / inputs["bare full decode"]
                for name, rates in inputs.items()
                if name != "bare full decode"
            }
        ),
        "training": training,
    }


def _refuse_other_pictures(dataset, source):
    data = source.read(0)
    if not data.startswith(b"\xff\xd8") or celeba_box(read_image(data, source.names[0])) is None:
        raise OSError(
            f"--dataset={dataset} starts with {source.names[0]}, no JPEG of 178x218: the benchmark "
            "needs aligned CelebA faces; without --dataset and dataset/ it takes drawn ones"
        )


def _in_a_process(function, *arguments):
    """Calls a function in a new process, whose threads and memory are its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _measure_steps(config, source):
    """Arrays of seconds, one a round, by name; the jobs in turns."""
    low_res, high_res = _batches(config, source).make(0)
    jobs = _jobs(config, low_res, high_res)
    for job in jobs.values():  # traced and warm
        job()
    return _in_turns(jobs)


def _batches(config, source):
    files = np.arange(len(source.names))
    return Batches(source, files, config.batch_size, config.sample_size, random_seed=0)


def _in_turns(jobs):
    """Arrays [ROUNDS] of what the jobs return, by name."""
    results = {name: np.zeros(ROUNDS) for name in jobs}
    for number in range(ROUNDS):
        for name, job in jobs.items():
            results[name][number] = job()
        print(f"round {number + 1} of {ROUNDS}", flush=True)
    return results


def _jobs(config, low_res, high_res):
    """Functions by name; each does one step, matmul or forward pass and returns its seconds."""
    trainer = textbook.TextbookTrainer()
    jobs = {"textbook step": _timed(trainer.train_step, low_res, high_res)}
    for precision in PRECISIONS:
        matrix = tf.cast(tf.random.normal((MATMUL_SIDE, MATMUL_SIDE)), precision)
        jobs[f"matmul {precision}"] = _timed(tf.function(tf.matmul), matrix, matrix)
        for jit_compile in (False, True):
            name = f"step {precision}" + (" xla" if jit_compile else "")
            options = dataclasses.replace(config, precision=precision, jit_compile=jit_compile)
            jobs[name] = _timed(Trainer(options).train_step, low_res, high_res)
        generator = srez_model.build_generator(precision=precision)
        infer = tf.function(functools.partial(generator, training=False))
        jobs[f"inference {precision}"] = _timed(infer, low_res)
    return jobs


def _timed(function, *arguments):
    """A function that runs the other one, waits for its results, and returns the seconds."""

    def run():
        start = time.perf_counter()
        for result in tf.nest.flatten(function(*arguments)):
            result.numpy()
        return time.perf_counter() - start

    return run


def _ratios(seconds, flop):
    """What docs/SPEED.md quotes; the limit is the unfolded step's arithmetic at matmul's speed."""
    ratios = {
        "ours float32 / textbook": seconds["step float32"] / seconds["textbook step"],
        "ours bfloat16 / ours float32": seconds["step bfloat16"] / seconds["step float32"],
    }
    for precision in PRECISIONS:
        ours = seconds[f"step {precision}"]
        ratios[f"xla / plain, {precision}"] = seconds[f"step {precision} xla"] / ours
        limit = seconds[f"matmul {precision}"] * flop / (2 * MATMUL_SIDE**3)
        ratios[f"share of the limit, {precision}"] = limit / ours
    return ratios


def _summaries(arrays):
    return {
        name: {
            "median": float(f"{np.median(values):.4g}"),
            "spread": [float(f"{limit:.4g}") for limit in (values.min(), values.max())],
        }
        for name, values in arrays.items()
    }


def _measure_input(dataset):
    """Pictures per second of one core's time for each way to read them: arrays, one a round."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    source = open_source(dataset)
    pictures = [source.read(number % len(source.names)) for number in range(INPUT_PICTURES)]
    encoded = tf.data.Dataset.from_tensor_slices(tf.constant(pictures)).repeat()
    pipelines = {
        "bare full decode": encoded.map(lambda data: tf.io.decode_jpeg(data, channels=3)).batch(16),
        "original's operations": encoded.map(textbook.decode_op_by_op).batch(16),
    }
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{number:06d}.jpg" for number in range(INPUT_PICTURES)]
        archive = Path(folder, "pictures.zip")
        with zipfile.ZipFile(archive, "w") as file:
            for name, data in zip(names, pictures, strict=True):
                Path(folder, name).write_bytes(data)
                file.writestr(name, data)
        ways = {"folder": (folder, "none"), "zip": (archive, "none"), "cache": (archive, "memory")}
        files = np.arange(INPUT_PICTURES)
        for name, (place, cache) in ways.items():
            source = open_source(place)
            kept = open_cache(source, cache)
            batches = Batches(source, files, 16, 64, random_seed=0, cache=kept)
            pipelines[f"ours, {name}"] = batches.iterate()
        return _in_turns(
            {name: functools.partial(input_rate, way) for name, way in pipelines.items()}
        )


def input_rate(batches):
    """Pictures per second of processor time, which is what one core can do, for batches of 16."""
    batches = iter(batches)
    for _ in range(8):  # functions are made, buffers are empty since we wait for each batch
        next(batches)
    start = time.process_time()
    for _ in range(INPUT_BATCHES):
        next(batches)
    return 16 * INPUT_BATCHES / (time.process_time() - start)


def _measure_training(config, steps):
    """What a training needs, in a process of its own: its memory, and its waiting for data."""
    source = open_source(config.dataset)
    trainer = Trainer(config)
    batches = _batches(config, source).iterate()
    trainer.train_step(*next(batches))
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        trainer.train_step(*batch)["loss/gene_loss"].numpy()
    unit = 1024 if sys.platform == "linux" else 1  # of ru_maxrss, in bytes
    return {
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20,
        "share_of_time_waiting_for_data": round(waited / (time.perf_counter() - start), 5),
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


if __name__ == "__main__":
    main(*sys.argv[1:])
