"""Measures how training scales and predicts the rest: python -m bench.speed.scaling DATASET.

Times a training step in one process and in two, with one core each (Linux), at the SHARES of
pictures a replica. Times also how long the two take to add numbers up, and the input on one core.
Fits a model to that, and checks it against the step of two processes. Predicts larger clusters from
the model and from ASSUMED. Writes bench/results/scaling.json and docs/CLUSTER.md.
"""

import contextlib
import io
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path

import jinja2

from srez.options import Options
from srez.parallel.launch import launch

ROOT = Path(__file__).parents[2]
SHARES = (16, 64)  # pictures a replica
ROUNDS = 2  # of all measurements, in turns, since the machine is noisy
STEPS = 2  # timed in each, after the first one, which builds the graph
SUMS = (1, 10**6, 8 * 10**6)  # float32 numbers, added up between two processes
SUM_TIMES = 10

# What is not measured here, but taken for true of the clusters that are predicted.
ASSUMED = {
    "flop_per_second": 1.2e14,  # of a GPU in bfloat16, 40 % of an NVIDIA A100's 312e12
    "gpus_per_host": 8,  # joined by NVLink, which is taken for infinitely fast
    "cores_per_host": 96,
    "batch_per_gpu": 64,
    "latency": 20e-6,  # seconds for one message from host to host
}
FLOP_PER_PICTURE = 305e9 / 16  # of a step: see docs/SPEED.md
COMPUTE = ASSUMED["batch_per_gpu"] * FLOP_PER_PICTURE / ASSUMED["flop_per_second"]  # seconds
LINKS = (10, 100, 400)  # Gbit/s, per host
GPUS = (1, 8, 64, 512)


def main(dataset):
    """Measures, predicts, writes."""
    rounds = [_round() for _ in range(ROUNDS)]
    measured = {key: statistics.median(values[key] for values in rounds) for key in rounds[0]}
    measured |= {key: rounds[0][key] for key in ("bytes", "collectives")}
    measured |= _run("input", dataset)
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
    command = [sys.executable, "-m", "bench.speed.scaling", "measure", what, *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = launch(command, workers, cores=1)
    if status:
        raise SystemExit(output.getvalue())
    lines = [line for line in output.getvalue().splitlines() if line.startswith("[0] {")]
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
    trainer = Trainer(
        Options(batch_size=share * cluster.workers, precision="float32"), cluster.strategy
    )
    high_res = tf.random.stateless_uniform((share, 64, 64, 3), (0, 1))
    low_res = tf.nn.avg_pool2d(high_res, 4, 4, "VALID")
    seconds = []
    for _ in range(1 + STEPS):
        start = time.monotonic()
        trainer.train_step(low_res, high_res)["loss/gene_loss"].numpy()
        seconds.append(time.monotonic() - start)
    sizes = collective_sizes(trainer)
    return {
        f"step {cluster.workers}x{share}": statistics.median(seconds[1:]),
        "bytes": 4 * sum(sizes),
        "collectives": len(sizes),
    }


def collective_sizes(trainer):
    """How many numbers each addition between replicas takes in a step, as a list.

    The gradients of a network are one addition. Synchronised batch norm adds sums, squares and
    counts on the way forwards, and the gradients of the first two on the way back. The
    discriminator sees generated and real pictures, and the generator's loss goes back through it
    once more.
    """

    def channels(network):
        layers = [layer for layer in network.layers if hasattr(layer, "moving_mean")]
        return [layer.moving_mean.shape[0] for layer in layers]

    networks = (trainer.generator, trainer.discriminator)
    weights = [network.trainable_variables for network in networks]
    gradients = [sum(math.prod(weight.shape) for weight in each) for each in weights]
    generator, discriminator = map(channels, networks)
    forwards = generator + 2 * discriminator
    backwards = generator + 3 * discriminator
    return gradients + 3 * forwards + 2 * backwards


def _measure_sums(cluster):
    import tensorflow as tf

    @tf.function
    def add(numbers):
        context = tf.distribute.get_replica_context
        return cluster.strategy.run(lambda: context().all_reduce("SUM", tf.identity(numbers)))

    found = {}
    for count in SUMS:
        numbers = tf.zeros([count])
        add(numbers)
        start = time.monotonic()
        for _ in range(SUM_TIMES):
            add(numbers)
        found[f"sum of {count}"] = (time.monotonic() - start) / SUM_TIMES
    return found


def _measure_input(_, dataset):
    """Pictures per second of a core's time, from JPEG to batch."""
    from bench.speed.steps import input_rate
    from srez.data.source import open_source
    from srez_input import Batches

    source = open_source(dataset)
    batches = Batches(source, range(len(source.names)), 16, 64, random_seed=0)
    return {"input": input_rate(batches.iterate())}


def fit(measured):
    """The model's numbers, and what it says of the step of two processes at the larger share.

    A sum of n bytes takes latency + n / bandwidth. Two processes also slow each other's computing;
    how much, is taken from the step at the smaller share.
    """
    latency = measured[f"sum of {SUMS[0]}"]
    bandwidth = 4 * SUMS[-1] / (measured[f"sum of {SUMS[-1]}"] - latency)
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
    hosts = math.ceil(gpus / ASSUMED["gpus_per_host"])
    exchange = 0.0
    if hosts > 1:  # a ring: each number passes a host's link twice, less a share
        traffic = 2 * (hosts - 1) / hosts * measured["bytes"] / (link * 1e9 / 8)
        messages = measured["collectives"] * 2 * math.log2(hosts) * ASSUMED["latency"]
        exchange = traffic + messages
    trained = gpus * ASSUMED["batch_per_gpu"] / (COMPUTE + exchange)
    gpus_here = min(gpus, ASSUMED["gpus_per_host"])
    cores = ASSUMED["cores_per_host"] * gpus_here / ASSUMED["gpus_per_host"]
    decoded = hosts * cores * measured["input"]
    if decoded < trained:
        return decoded, "input"
    return trained, "link" if exchange > COMPUTE else "GPUs"


def page(found):
    """docs/CLUSTER.md."""
    template = jinja2.Template(
        Path(__file__).with_name("cluster.md").read_text(),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    measured = found["measured"]
    return template.render(
        found,
        shares=SHARES,
        predictions={gpus: [predict(measured, gpus, link) for link in LINKS] for gpus in GPUS},
        gigaflop=FLOP_PER_PICTURE / 1e9,
        compute=COMPUTE,
    )


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        measure(*sys.argv[2:])
    else:
        main(sys.argv[1])
