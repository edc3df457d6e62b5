"""What a training runs on: the device, the tf.distribute strategy, this process among the others.

Read from top to bottom: the device, its precision -> replicas and processes -> when they stop.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
from pathlib import Path

import tensorflow as tf

from srez.console import counted, install, say
from srez.parallel.launch import SIGNALS, handled, heeded

AGREED_EVERY = 10  # batches; the host waits for these anyway, to show their losses
PROBE_SECONDS = 3  # for another worker to answer at its port

# What a step raises when another worker is gone.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)

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


class Cluster:
    """The replicas of a training, and this process among them. `name` is one of --strategy's.

    Make it before TensorFlow computes anything. Raises OSError if TF_CONFIG is missing or wrong.
    """

    def __init__(self, name):
        if name == "auto":
            gpus = tf.config.list_physical_devices("GPU")
            several = "mirrored" if len(gpus) > 1 else "none"
            name = "multi_worker" if os.environ.get("TF_CONFIG") else several
        self.name = name
        self._addresses, self.index = _read_tf_config() if name == "multi_worker" else ([""], 0)
        self.workers = len(self._addresses)
        if name == "multi_worker":
            # gs:// may need a proxy; through it the workers would wait for each other for ever.
            hosts = ",".join(map(_host, self._addresses))
            os.environ["no_grpc_proxy"] = hosts  # noqa: SIM112, gRPC reads it in lower case
        strategies = {
            "none": tf.distribute.get_strategy,
            "mirrored": tf.distribute.MirroredStrategy,
            "multi_worker": tf.distribute.MultiWorkerMirroredStrategy,
        }
        self.strategy = strategies[name]()
        self.replicas = self.strategy.num_replicas_in_sync

    @property
    def is_chief(self):
        """Whether this process is the one that writes and speaks."""
        return self.index == 0

    def __str__(self):
        """How it is spread, to be added to where it trains; "" for one replica."""
        if self.replicas == 1:
            return ""
        spread = f" in {self.workers} processes" if self.workers > 1 else ""
        return f", {self.replicas} replicas{spread} (--strategy={self.name})"

    def check(self, batch_size, jit_compile, cache):
        """Raises OSError for options that don't go with so many replicas or processes."""
        if batch_size % self.replicas:
            raise OSError(
                f"--batch_size={batch_size} can't be shared out evenly among {self.replicas} "
                f"replicas: give a multiple of {self.replicas}"
            )
        if self.replicas > 1 and jit_compile:
            raise OSError(
                f"--jit_compile is for one replica, and there are {self.replicas}: leave it out"
            )
        if self.workers > 1 and cache != "none":
            raise OSError(
                f"--cache={cache} holds all pictures, and each of the {self.workers} "
                "processes reads a share of them: leave it out"
            )

    def share(self, batch_size):
        """(first, end): the places of a batch that are this process's."""
        count = batch_size // self.workers
        return self.index * count, (self.index + 1) * count

    def sums(self, *numbers):
        """The sums of whole numbers over all processes, each of which has to call it."""
        if self.workers == 1:
            return numbers
        return self._sum_up(tf.constant(numbers, tf.int64)).numpy().tolist()

    def from_chief(self, number):
        """The chief's `number`, a whole one, in all processes, each of which has to call it."""
        return self.sums(number if self.is_chief else 0)[0]

    def check_the_same(self, digest, what):
        """Raises OSError if the chief has another `digest`, in hex, of `what`, in words."""
        number = int(digest[:15], 16)
        if self.from_chief(number) != number:
            raise OSError(
                f"worker {self.index} sees other {what} than worker 0: give all workers the same"
            )

    @contextlib.contextmanager
    def only_the_chief_speaks(self):
        """Drops what this process prints to stdout, unless it is the chief."""
        if self.is_chief:
            yield
            return
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield

    def wait_for_all(self):
        """Returns when all processes have called it."""
        self.from_chief(0)

    @contextlib.contextmanager
    def naming_the_lost(self):
        """When another worker is gone, raises an OSError that names it for TensorFlow's error."""
        try:
            yield
        except _LOST as error:
            lost = self._lost(error)
            if not lost:
                raise
            raise OSError(
                f"gone: {' and '.join(lost)}. So worker {self.index} ends, too: start all of them "
                "again, and they go on from the last checkpoint"
            ) from error

    @tf.function
    def _sum_up(self, numbers):
        def add_up():
            context = tf.distribute.get_replica_context()
            devices = context.strategy.extended.worker_devices
            # Only a process's first replica gives the numbers, so that they count once.
            is_first = context.replica_id_in_sync_group % len(devices) == 0
            return context.all_reduce("SUM", numbers if is_first else tf.zeros_like(numbers))

        return self.strategy.experimental_local_results(self.strategy.run(add_up))[0]

    def _lost(self, error):
        """The workers that don't answer, in words; if all do, those that the error names."""
        others = [index for index in range(self.workers) if index != self.index]
        gone = [index for index in others if not _answers(self._addresses[index])]
        if not gone:
            named = {int(task) for task in re.findall(r"/task:(\d+)", str(error))}
            gone = sorted(named & set(others))
        return [f"worker {index} ({self._addresses[index]})" for index in gone]


class Stopping(contextlib.ExitStack):
    """Tells when to stop. A context manager: inside it, a signal is a wish to stop.

    After the first of SIGNALS the training finishes its batch and saves. A second one ends the
    process at once. `signal` is the number of the signal to stop for, 0 if none came. The
    processes of a Cluster tell each other their wishes every AGREED_EVERY batches.
    """

    def __init__(self, cluster):
        super().__init__()
        self.signal = 0
        self._cluster = cluster
        self._came = 0

    def __enter__(self):
        super().__enter__()
        self.enter_context(handled(self._note))
        return self

    def now(self, progress):
        """Whether to stop at this `progress`, a run.progress.Progress; all processes agree."""
        if self._cluster.workers == 1:
            self.signal = self._came
            return bool(progress.done or self.signal)
        if progress.totals.reached(progress.batch, seconds=0):  # all count the batches alike
            return True
        if progress.batch % AGREED_EVERY:
            return False
        *asked, is_over = self._cluster.sums(
            *(self._came == number for number in SIGNALS),
            self._cluster.is_chief and bool(progress.done),  # the chief's clock alone counts
        )
        came = (number for number, count in zip(SIGNALS, asked, strict=True) if count)
        self.signal = next(came, 0)
        return bool(self.signal or is_over)

    def _note(self, number, _):
        self._came = number
        for each in heeded():
            signal.signal(each, signal.SIG_DFL)
        say("\nFinishing the batch and saving; a second Ctrl-C leaves at once.")


def _read_tf_config():
    """(the workers' addresses, this one's index) in TF_CONFIG; a chief, if any, is the first."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise OSError(
            "--strategy=multi_worker needs TF_CONFIG in the environment: --workers sets it, "
            "and deploy/ shows how on a cluster"
        )
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        chiefs = cluster.get("chief", [])
        addresses = [*chiefs, *cluster["worker"]]
        index = {"chief": 0, "worker": len(chiefs)}[task["type"]] + int(task["index"])
        if 0 <= index < len(addresses):
            return addresses, index
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise OSError(
        f"TF_CONFIG={text} is no cluster of workers with this process's task in it: see "
        "https://www.tensorflow.org/guide/distributed_training#tf_config"
    )


def _host(address):
    """The host of "host:port"."""
    return address.rpartition(":")[0].strip("[]")


def _answers(address):
    """Whether anybody listens at "host:port"."""
    try:
        port = int(address.rpartition(":")[2])
        socket.create_connection((_host(address), port), PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
