"""Measures how training scales and predicts the rest: python -m bench.scaling DATASET.

Times a training step in one process with one core and in two processes with one core each (Linux),
at the SHARES of pictures a replica; what it takes to add numbers up between the two; and the input
on one core. Fits a model to that, checks it against the step of the two, and predicts larger
clusters from it and ASSUMED. Writes bench/results/scaling.json and docs/CLUSTER.md.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from srez.options import Options

ROOT = Path(__file__).parents[1]
SHARES = (16, 64)  # pictures a replica
ROUNDS = 2  # of all measurements, in turns, since the machine is noisy
STEPS = 2  # timed in each, behind the first, which builds the graph
SUMS = (1, 10**6, 8 * 10**6)  # float32 numbers, added up between two processes
SUM_TIMES = 10

# What is not measured here, of the clusters that are predicted.
ASSUMED = {
    "flop_per_second": 1.2e14,  # of a GPU in bfloat16, 40 % of an NVIDIA A100's 312e12
    "gpus_per_host": 8,  # joined by NVLink, which is taken for infinitely fast
    "cores_per_host": 96,
    "batch_per_gpu": 64,
    "latency": 20e-6,  # seconds for one message from host to host
}
FLOP_PER_PICTURE = 305e9 / 16  # of a step: see README, Speed
LINKS = (10, 100, 400)  # Gbit/s, per host
GPUS = (1, 8, 64, 512)


def main(dataset):
    """Measures, predicts, writes."""
    rounds = [_round() for _ in range(ROUNDS)]
    measured = {
        key: statistics.median(one[key] for one in rounds) for key in rounds[0] if key != "bytes"
    }
    measured["bytes"] = rounds[0]["bytes"]
    measured["collectives"] = rounds[0]["collectives"]
    measured["input"] = _run("input", dataset)["input"]
    found = {"measured": measured, "assumed": ASSUMED, "model": fit(measured)}
    (ROOT / "bench" / "results" / "scaling.json").write_text(json.dumps(found, indent=2) + "\n")
    (ROOT / "docs" / "CLUSTER.md").write_text(page(found))
    print(page(found))


def _round():
    found = {}
    for share in SHARES:
        for workers in (1, 2):
            found |= _run("step", str(share), workers=workers)
    return found | _run("sum", workers=2)


def _run(what, *arguments, workers=1):
    """What a measurement prints, a dict; in so many processes of one core each."""
    code = (
        "import sys; from srez.parallel.launch import launch; sys.exit(launch("
        "[sys.executable, '-m', 'bench.scaling', 'measure', *sys.argv[2:]], int(sys.argv[1]), 1))"
    )
    launcher = [sys.executable, "-c", code, str(workers), what, *arguments]
    process = subprocess.run(launcher, cwd=ROOT, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(process.stdout + process.stderr)
    lines = [line for line in process.stdout.splitlines() if line.startswith("[0] {")]
    return json.loads(lines[-1].removeprefix("[0] "))


def measure(what, *arguments):
    """In a worker: measures a step, sums or the input, and prints it as JSON."""
    config = json.loads(os.environ["TF_CONFIG"])
    if len(config["cluster"]["worker"]) == 1:
        del os.environ["TF_CONFIG"]
    from srez.parallel.cluster import Cluster

    cluster = Cluster("auto")
    functions = {"step": _measure_step, "sum": _measure_sums, "input": _measure_input}
    found = functions[what](cluster, *arguments)
    cluster.wait_for_all()
    print(json.dumps(found), flush=True)


def _measure_step(cluster, share):
    import tensorflow as tf

    from srez_train import Trainer

    share = int(share)
    trainer = Trainer(Options(batch_size=share * cluster.workers), cluster.strategy)
    high_res = tf.random.stateless_uniform((share, 64, 64, 3), (0, 1))
    low_res = tf.nn.avg_pool2d(high_res, 4, 4, "VALID")
    trainer.train_step(low_res, high_res)["loss/gene_loss"].numpy()
    seconds = []
    for _ in range(STEPS):
        start = time.monotonic()
        trainer.train_step(low_res, high_res)["loss/gene_loss"].numpy()
        seconds.append(time.monotonic() - start)
    sizes = collective_sizes(trainer)
    return {
        f"step {cluster.workers}x{share}": statistics.median(seconds),
        "bytes": 4 * sum(sizes),
        "collectives": len(sizes),
    }


def collective_sizes(trainer):
    """How many numbers each addition between replicas takes in a step, as a list.

    A network's gradients go as one. Synchronised batch norm adds sums, squares and counts forwards,
    and the gradients of the first two backwards; the discriminator does so on generated and on real
    pictures, and the generator's loss goes through it once more backwards.
    """
    import keras

    def channels(network):
        layers = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
        return [one.moving_mean.shape[0] for one in layers]

    networks = (trainer.generator, trainer.discriminator)
    sizes = [sum(math.prod(one.shape) for one in each.trainable_variables) for each in networks]
    generator, discriminator = map(channels, networks)
    forwards = [*generator, *discriminator, *discriminator]
    backwards = [*generator, *discriminator, *discriminator, *discriminator]
    return (
        sizes
        + [size for size in forwards for _ in range(3)]
        + [size for size in backwards for _ in range(2)]
    )


def _measure_sums(cluster):
    import tensorflow as tf

    def seconds_for(count):
        numbers = tf.zeros([count])

        @tf.function
        def add():
            def mine():
                return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(numbers))

            return cluster.strategy.run(mine)

        add()
        start = time.monotonic()
        for _ in range(SUM_TIMES):
            add()
        return (time.monotonic() - start) / SUM_TIMES

    return {f"sum of {count}": seconds_for(count) for count in SUMS}


def _measure_input(_, dataset):
    """Pictures per second of a core's time, from JPEG to batch."""
    from srez.data.source import open_source
    from srez_input import Batches

    source = open_source(dataset)
    batches = Batches(source, np.arange(len(source.names)), 16, 64, 0).iterate()
    for _ in range(10):
        next(batches)
    start = time.process_time()
    for _ in range(100):
        next(batches)
    return {"input": 1600 / (time.process_time() - start)}


def fit(measured):
    """The model's numbers, and what it says of the step of two processes at the larger share.

    A sum of n bytes takes latency + n / bandwidth. How much two processes slow each other's
    computing, beside the exchange, is taken from the step at the smaller share.
    """
    sizes = np.array([4 * count for count in SUMS])
    seconds = np.array([measured[f"sum of {count}"] for count in SUMS])
    latency = float(seconds[0])
    bandwidth = float(sizes[-1] / (seconds[-1] - latency))
    exchange = measured["collectives"] * latency + measured["bytes"] / bandwidth
    small, large = SHARES
    slowdown = (measured[f"step 2x{small}"] - exchange) / measured[f"step 1x{small}"]
    return {
        "latency": latency,
        "bandwidth": bandwidth,
        "exchange": exchange,
        "slowdown": slowdown,
        "predicted": slowdown * measured[f"step 1x{large}"] + exchange,
    }


def predict(measured, gpus, link):
    """(pictures/s, what limits them) of a cluster of so many GPUs, with `link` Gbit/s per host."""
    assumed = ASSUMED
    hosts = math.ceil(gpus / assumed["gpus_per_host"])
    compute = assumed["batch_per_gpu"] * FLOP_PER_PICTURE / assumed["flop_per_second"]
    exchange = 0.0
    if hosts > 1:  # a ring: each number passes a host's link twice, less a share
        traffic = 2 * (hosts - 1) / hosts * measured["bytes"] / (link * 1e9 / 8)
        messages = measured["collectives"] * 2 * math.log2(hosts) * assumed["latency"]
        exchange = traffic + messages
    trained = gpus * assumed["batch_per_gpu"] / (compute + exchange)
    gpus_here = min(gpus, assumed["gpus_per_host"])
    cores = assumed["cores_per_host"] * gpus_here / assumed["gpus_per_host"]
    decoded = hosts * cores * measured["input"]
    if decoded < trained:
        return decoded, "input"
    return trained, "link" if exchange > compute else "GPUs"


def page(found):
    """docs/CLUSTER.md."""
    measured, model = found["measured"], found["model"]
    text = (Path(__file__).with_name("cluster.md")).read_text()
    steps = [
        f"| {share} | {measured[f'step 1x{share}']:.2f} | {measured[f'step 2x{share}']:.2f} | "
        f"{measured[f'step 1x{share}'] / measured[f'step 2x{share}']:.0%} |"
        for share in SHARES
    ]
    rows = []
    for gpus in GPUS:
        cells = [predict(measured, gpus, link) for link in LINKS]
        shown = " | ".join(f"{rate:,.0f} ({limit})" for rate, limit in cells)
        rows.append(f"| {gpus} | {shown} |")
    compute = ASSUMED["batch_per_gpu"] * FLOP_PER_PICTURE / ASSUMED["flop_per_second"]
    fields = {
        "STEPS": "\n".join(steps),
        "PREDICTIONS": "\n".join(rows),
        "MEGABYTES": f"{measured['bytes'] / 1e6:.1f}",
        "COLLECTIVES": str(measured["collectives"]),
        "INPUT": f"{measured['input']:,.0f}",
        "LATENCY": f"{1e3 * model['latency']:.2f}",
        "BANDWIDTH": f"{model['bandwidth'] / 1e6:,.0f}",
        "SLOWDOWN": f"{model['slowdown']:.2f}",
        "LARGE": str(SHARES[-1]),
        "SMALL": str(SHARES[0]),
        "PREDICTED": f"{model['predicted']:.2f}",
        "MEASURED": f"{measured[f'step 2x{SHARES[-1]}']:.2f}",
        "EXCHANGE": f"{model['exchange']:.2f}",
        "GFLOP": f"{FLOP_PER_PICTURE / 1e9:.0f}",
        "COMPUTE": f"{1e3 * compute:.1f}",
    }
    for name, value in fields.items():
        text = text.replace(f"@{name}@", value)
    return text


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        measure(*sys.argv[2:])
    else:
        main(sys.argv[1])
