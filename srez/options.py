"""Every option once: its default, what is allowed, and what it means.

The command line, --help and docs/OPTIONS.md are made from the class `Options`.
"""

import collections
import dataclasses
import math
import re
import textwrap
from pathlib import Path

from absl import flags

COMMAND = "What to do"
USUAL = "Training: the usual ones"
LEARNING = "Training: how the networks learn"
PICTURES = "Training: the pictures"
KEEPING = "Training: what is measured and kept"
MACHINES = "Training: several processes and machines"
ENLARGING = "Enlarging pictures"
RESULTS = "Measuring, exporting, packing"
OF_TRAINING = (USUAL, LEARNING, PICTURES, KEEPING, MACHINES)

TRAIN_MINUTES = 20.0
EXAMPLES = """\
  python3 srez_main.py --run train --dataset img_align_celeba.zip
  python3 srez_main.py --run demo
  python3 srez_main.py --run infere --infer_input me.jpg"""
_PAGE = """\
# Options

Made by `python3 -m srez.options`, from srez/options.py. A switch is given as `--name` or
`--noname`.
"""


def _option(group, default, text, allowed, shown=None):
    """A field of Options; `allowed` is (words, check), `shown` describes the default None."""
    words, check = allowed
    about = {"group": group, "help": text, "expected": words, "check": check, "shown": shown}
    return dataclasses.field(default=default, metadata=about)


def _whole(low, high=math.inf):
    words = f"a whole number from {low} " + (f"to {high}" if high < math.inf else "up")
    return words, lambda value: low <= value <= high


def _number(words, check):
    return words, lambda value: math.isfinite(value) and check(value)


def _one_of(*values):
    return "one of " + ", ".join(values), values.__contains__


_PATH = "a path", bool
_SWITCH = "true or false", lambda value: True
_ABOVE_0 = _number("a number above 0", lambda value: value > 0)
_FROM_0 = _number("a number from 0 up", lambda value: value >= 0)
_BELOW_1 = _number("a number from 0 to below 1", lambda value: 0 <= value < 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the user wants: a field for each flag, with the flag's name.

    `dataset`, `infer_output` and `train_time` are None if they were not given. `train_time` then is
    20 minutes, but with `train_batches` there is no limit of time.

    Raises:
        ValueError: a value that isn't allowed; one line that names it.
    """

    run: str = _option(COMMAND, "demo", "The command.", ("a command", bool))
    help: bool = _option(COMMAND, False, "Show this page.", _SWITCH)

    dataset: str | None = _option(
        USUAL,
        None,
        "Folders of pictures, or zips such as CelebA's as it is: paths or patterns with commas "
        "between, here or remote (gs://).",
        _PATH,
        "dataset/ if it is there, else faces that the program draws",
    )
    train_time: float | None = _option(
        USUAL,
        None,
        "Minutes to train in all.",
        _number("a number of minutes above 0", lambda value: value > 0),
        "20, without --train_batches",
    )
    train_batches: int = _option(
        USUAL, 0, "Batches to train in all. 0: no limit.", _whole(0), "no limit"
    )
    train_dir: str = _option(USUAL, "train", "Folder for sheets, logs and the video.", _PATH)
    checkpoint_dir: str = _option(USUAL, "checkpoint", "Folder for the checkpoints.", _PATH)
    resume: bool = _option(
        USUAL,
        True,
        "Go on from the newest checkpoint. --noresume starts anew and moves old results aside.",
        _SWITCH,
    )
    precision: str = _option(
        USUAL,
        "float32",
        "What the networks compute in. float16 is for GPUs; auto is bfloat16 where the device has "
        "it, else float32.",
        _one_of("auto", "bfloat16", "float16", "float32"),
    )

    batch_size: int = _option(LEARNING, 16, "Pictures per batch.", _whole(1))
    ema: float = _option(
        LEARNING,
        0.995,
        "Decay of the average of the generator's weights. 0: no averaging.",
        _BELOW_1,
    )
    epsilon: float = _option(LEARNING, 1e-8, "Adam's epsilon.", _ABOVE_0)
    gene_l1_factor: float = _option(
        LEARNING,
        0.90,
        "Weight of the L1 term in the generator's loss; the adversarial term gets the rest.",
        _number("a number from 0 to 1", lambda value: 0 <= value <= 1),
    )
    learning_beta1: float = _option(LEARNING, 0.5, "Adam's beta1.", _BELOW_1)
    learning_rate_half_life: int = _option(
        LEARNING, 5000, "Batches after which the learning rate is halved.", _whole(1)
    )
    learning_rate_start: float = _option(LEARNING, 0.00020, "Learning rate at the start.", _ABOVE_0)
    noise_level: float = _option(
        LEARNING,
        0.03,
        "Standard deviation of the noise on the generator's input while training.",
        _FROM_0,
    )
    random_seed: int = _option(LEARNING, 0, "Seed of every random draw.", _whole(0, 2**31 - 1))
    deterministic: bool = _option(
        LEARNING,
        False,
        "Make GPUs compute the same bits each time, more slowly; CPUs always do.",
        _SWITCH,
    )
    jit_compile: bool = _option(LEARNING, False, "Compile the training step with XLA.", _SWITCH)
    log_device_placement: bool = _option(
        LEARNING, False, "Log on which device each operation runs.", _SWITCH
    )

    sample_size: int = _option(
        PICTURES,
        64,
        "Side of the training pictures in pixels; the network's input is a quarter of it.",
        ("a multiple of 8 from 64 to 128", range(64, 129, 8).__contains__),
    )
    test_vectors: int = _option(
        PICTURES,
        16,
        "Pictures kept for testing where no list_eval_partition.txt says which.",
        _whole(1),
    )
    cache: str = _option(
        PICTURES,
        "none",
        "Where decoded pictures are kept: none, memory, or the path of a file that later runs use "
        "too.",
        _PATH,
    )
    max_bad_images: float = _option(
        PICTURES,
        5.0,
        "Percent of the pictures that may be unreadable before a training stops.",
        _number("a percentage from 0 to 100", lambda value: 0 <= value <= 100),
    )

    summary_period: int = _option(
        KEEPING, 200, "Batches between two sheets of test faces.", _whole(1)
    )
    evaluate_period: int = _option(
        KEEPING,
        1000,
        "Batches between two measurements on validation pictures, from which the best weights are "
        "chosen. 0: never.",
        _whole(0),
    )
    checkpoint_minutes: float = _option(
        KEEPING,
        5.0,
        "Minutes between two checkpoints. 0: only by --checkpoint_period.",
        _number("a number of minutes from 0 up", lambda value: value >= 0),
    )
    checkpoint_period: int = _option(KEEPING, 10000, "Batches between two checkpoints.", _whole(1))
    keep_every: int = _option(
        KEEPING,
        0,
        "Keep each checkpoint at a multiple of this many batches, and the two newest. 0: only "
        "those.",
        _whole(0),
    )

    workers: int = _option(MACHINES, 1, "Processes on this machine that train together.", _whole(1))
    cores: int = _option(
        MACHINES, 0, "Cores that each worker is bound to (Linux). 0: any.", _whole(0)
    )
    strategy: str = _option(
        MACHINES,
        "auto",
        "How a training spreads: none, over this machine's GPUs (mirrored), or over the processes "
        "of TF_CONFIG (multi_worker); auto: what is there.",
        _one_of("auto", "mirrored", "multi_worker", "none"),
    )
    sync_batch_norm: bool = _option(
        MACHINES,
        True,
        "Take batch statistics over all replicas' pictures, so that several replicas compute what "
        "one does.",
        _SWITCH,
    )

    infer_input: str = _option(
        ENLARGING, "test.jpg", "Picture to enlarge, or a folder of them.", _PATH
    )
    infer_output: str | None = _option(
        ENLARGING,
        None,
        "PNG file to write; for a folder of pictures a folder.",
        ("a path that ends in .png, or --infer_input a folder", bool),
        "result.png or result/",
    )
    infer_batch: int = _option(
        ENLARGING, 16, "Pictures of a folder that go through the network at a time.", _whole(1)
    )
    faces: str = _option(
        ENLARGING,
        "auto",
        "auto: enlarge each face in a photo and put it back; off: take the centred square.",
        _one_of("auto", "off"),
    )
    upscale_full: bool = _option(
        ENLARGING,
        False,
        "Enlarge the whole picture four times, whatever its size, rather than a face in it.",
        _SWITCH,
    )
    tile: int = _option(
        ENLARGING,
        128,
        "Side of the squares that --upscale_full takes at a time, in pixels of the input.",
        _whole(16),
    )
    weights: str = _option(
        ENLARGING,
        "best",
        "Weights to use, for --run evaluate and export too: the average that was best on the "
        "validation pictures, the newest average (ema), or the newest weights themselves (raw).",
        _one_of("best", "ema", "raw"),
    )

    evaluation_dir: str = _option(
        RESULTS, "evaluation", "Folder for what --run evaluate finds.", _PATH
    )
    export_format: str = _option(
        RESULTS,
        "keras",
        "What --run export writes. onnx needs more packages: requirements/export.txt.",
        _one_of("keras", "onnx", "savedmodel", "tflite"),
    )
    export_output: str = _option(
        RESULTS, "generator", "Where --run export writes to; the suffix is added.", _PATH
    )
    pack_output: str = _option(
        RESULTS, "shards", "Folder for the zips that --run pack makes.", _PATH
    )
    shard_mb: int = _option(
        RESULTS, 256, "Size of the zips that --run pack makes, in MiB at most.", _whole(1)
    )

    def __post_init__(self):
        for field in FIELDS.values():
            value = getattr(self, field.name)
            if value is not None and not field.metadata["check"](value):
                raise ValueError(_refusal(field, value))
            if field.type in (float, float | None) and value is not None:
                object.__setattr__(self, field.name, float(value))
        png = self.infer_output is None or self.infer_output.lower().endswith(".png")
        if not (png or Path(self.infer_input).is_dir()):
            raise ValueError(_refusal(FIELDS["infer_output"], self.infer_output))
        if self.train_time is None and not self.train_batches:
            object.__setattr__(self, "train_time", TRAIN_MINUTES)

    @property
    def training_dataset(self):
        """The dataset to train on: if none was given dataset/, or None for the drawn faces."""
        return self.dataset or ("dataset" if Path("dataset").exists() else None)

    def of_training(self):
        """The options that a training depends on, a dict by name."""
        return {
            name: getattr(self, name)
            for name, field in FIELDS.items()
            if field.metadata["group"] in OF_TRAINING
        }

    def arguments(self):
        """The command line, without the program, that gives these options: a list of words."""
        values = {name: getattr(self, name) for name in FIELDS}
        return [
            f"--{name}={value}" for name, value in values.items() if value != FIELDS[name].default
        ]


FIELDS = {field.name: field for field in dataclasses.fields(Options)}


def parse(argv, runs):
    """The Options of a command line, whose first word is the program's name.

    `runs` are the commands that --run may name.

    Raises:
        ValueError: it is wrong; one line that names what was typed.
    """
    known = flags.FlagValues()
    for field in FIELDS.values():
        _define(field, known)
    try:
        words = known(argv)[1:]
    except flags.Error as error:
        raise ValueError(_explain(str(error))) from error
    if words:
        hint = "options begin with --, switches are --name or --noname"
        if words[0] in runs:
            hint = f"did you mean --run {words[0]}?"
        raise ValueError(f"stray word {words[0]!r}: {hint}")
    if known["run"].value not in runs:
        raise ValueError(f"flag --run={known['run'].value}: expected {_one_of(*sorted(runs))[0]}")
    return Options(**{name: known[name].value for name in FIELDS})


def help_text(runs):
    """The page that --help shows, 80 columns wide; `runs` is a dict of words by command."""
    lines = ["Examples:", EXAMPLES, "", "Commands:"]
    lines += [f"  --run {name:<9} {words}" for name, words in runs.items()]
    for group, fields in _groups().items():
        lines += ["", f"{group}:"]
        for field in fields:
            text = f"{field.metadata['help']} Default: {_default(field)}."
            name, indent = f"  --{field.name}  ", " " * 6
            lines += textwrap.wrap(text, 79, initial_indent=name, subsequent_indent=indent)
    return "\n".join(lines)


def options_page():
    """docs/OPTIONS.md."""
    lines = [_PAGE]
    for group, fields in _groups().items():
        lines += [f"## {group}", "", "| option | default | what |", "| --- | --- | --- |"]
        for field in fields:
            about = field.metadata
            text = f"{about['help']} Expected: {about['expected']}."
            lines.append(f"| `--{field.name}` | {_default(field)} | {text} |")
        lines.append("")
    return "\n".join(lines)


def _groups():
    groups = collections.defaultdict(list)
    for field in FIELDS.values():
        groups[field.metadata["group"]].append(field)
    return groups


def _default(field):
    if field.metadata["shown"]:
        return field.metadata["shown"]
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _define(field, known):
    arguments = (field.name, field.default, field.metadata["help"])
    if field.type is bool:
        short = {"short_name": "h"} if field.name == "help" else {}
        flags.DEFINE_boolean(*arguments, flag_values=known, **short)
    elif field.type is int:
        flags.DEFINE_integer(*arguments, flag_values=known)
    elif field.type in (float, float | None):
        flags.DEFINE_float(*arguments, flag_values=known)
    else:
        flags.DEFINE_string(*arguments, flag_values=known)


def _refusal(field, value):
    shown = f"{value:g}" if isinstance(value, float) else value
    return f"flag --{field.name}={shown}: expected {field.metadata['expected']}"


def _explain(message):
    """absl's message of a bad flag, with the allowed values in our words."""
    name = re.search(r"--(\w+)", message)
    if name and name[1] in FIELDS:
        return f"{message.partition(': ')[0]}: expected {FIELDS[name[1]].metadata['expected']}"
    return f"{message.rstrip('.')}; --help lists all"


if __name__ == "__main__":
    print(options_page(), end="")
