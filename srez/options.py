"""Every option once: its default, what is allowed, and what it means.

The command line, --help and docs/OPTIONS.md are made from the class `Options`.
"""

import collections
import dataclasses
import functools
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

TRAIN_MINUTES = 20.0  # of the original recipe, if the user doesn't say
ADVERSARIAL_BATCHES = 14_000  # of the modern one, after l1_batches
EXAMPLES = """\
  python3 srez_main.py --run train --dataset img_align_celeba.zip
  python3 srez_main.py --run demo
  python3 srez_main.py --run infere --infer_input me.jpg"""
_PAGE = """\
# Options

Made by `python3 -m srez.options`, from srez/options.py. A switch is given as `--name` or
`--noname`.
"""


def _option(group, default, allowed, text, shown=None, recipe=None):
    """A field of Options.

    `allowed` is (words, check), `shown` describes the default None, `recipe` is the one that it
    is for, if not for both.
    """
    words, check = allowed
    about = {"group": group, "help": text, "expected": words, "check": check, "shown": shown}
    return dataclasses.field(default=default, metadata=about | {"recipe": recipe})


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
_MINUTES = _number("a number of minutes above 0", lambda value: value > 0)
_SHARE = _number("a number from 0 to 1", lambda value: 0 <= value <= 1)
_PERCENT = _number("a percentage from 0 to 100", lambda value: 0 <= value <= 100)
_MINUTES_OR_0 = _number("a number of minutes from 0 up", lambda value: value >= 0)
_SIDE = ("a multiple of 8 from 64 to 128", range(64, 129, 8).__contains__)
_PNG_OR_FOLDER = ("a path that ends in .png, or --infer_input a folder", bool)

_command = functools.partial(_option, COMMAND)
_usual = functools.partial(_option, USUAL)
_learning = functools.partial(_option, LEARNING)
_original = functools.partial(_learning, recipe="original")
_pictures = functools.partial(_option, PICTURES)
_keeping = functools.partial(_option, KEEPING)
_machines = functools.partial(_option, MACHINES)
_enlarging = functools.partial(_option, ENLARGING)
_results = functools.partial(_option, RESULTS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the user wants: a field for each flag, with the flag's name.

    `dataset`, `infer_output` and `train_time` are None if they were not given. Without `train_time`
    and `train_batches` a training takes TRAIN_MINUTES, or l1_batches + ADVERSARIAL_BATCHES.

    Raises:
        ValueError: a value that isn't allowed; one line that names it.
    """

    run: str = _command("demo", ("a command", bool), "The command.")
    help: bool = _command(False, _SWITCH, "Show this page.")

    dataset: str | None = _usual(
        None,
        _PATH,
        "Folders of pictures, or zips such as CelebA's as it is: paths or patterns with "
        "commas between, here or remote (gs://).",
        "dataset/ if it is there, else faces that the program draws",
    )
    train_time: float | None = _usual(
        None, _MINUTES, "Minutes to train in all.", "20 without --train_batches; modern: no limit"
    )
    train_batches: int = _usual(
        0, _whole(0), "Batches to train in all. 0: no limit.", "no limit; modern: 18000"
    )
    recipe: str = _usual(
        "original",
        _one_of("original", "modern"),
        "original: the networks and losses of 2016. modern: larger, truer to the pixels, slower.",
    )
    train_dir: str = _usual("train", _PATH, "Folder for sheets, logs and the video.")
    checkpoint_dir: str = _usual("checkpoint", _PATH, "Folder for the checkpoints.")
    resume: bool = _usual(
        True,
        _SWITCH,
        "Go on from the newest checkpoint. --noresume starts anew and moves old results aside.",
    )
    precision: str = _usual(
        "float32",
        _one_of("auto", "bfloat16", "float16", "float32"),
        "What the networks compute in. float16 is for GPUs; auto is bfloat16 where the device"
        " has it, else float32.",
    )

    batch_size: int = _learning(16, _whole(1), "Pictures per batch.")
    ema: float = _original(
        0.995, _BELOW_1, "Decay of the average of the generator's weights. 0: no averaging."
    )
    epsilon: float = _original(1e-8, _ABOVE_0, "Adam's epsilon.")
    gene_l1_factor: float = _original(
        0.90,
        _SHARE,
        "Weight of the L1 term in the generator's loss; the adversarial term gets the rest.",
    )
    l1_batches: int = _learning(
        4000,
        _whole(0),
        "Batches before the discriminator comes in.",
        recipe="modern",
    )
    learning_beta1: float = _original(0.5, _BELOW_1, "Adam's beta1.")
    learning_rate_half_life: int = _original(
        5000, _whole(1), "Batches after which the learning rate is halved."
    )
    learning_rate_start: float = _original(0.00020, _ABOVE_0, "Learning rate at the start.")
    noise_level: float = _original(
        0.03, _FROM_0, "Standard deviation of the noise on the generator's input while training."
    )
    random_seed: int = _learning(0, _whole(0, 2**31 - 1), "Seed of every random draw.")
    deterministic: bool = _learning(
        False, _SWITCH, "Compute the same bits each time; without it, the last bits may differ."
    )
    jit_compile: bool = _learning(False, _SWITCH, "Compile the training step with XLA.")
    log_device_placement: bool = _learning(
        False, _SWITCH, "Log on which device each operation runs."
    )

    sample_size: int = _pictures(
        64,
        _SIDE,
        "Side of the training pictures in pixels; the network's input is a quarter of it.",
    )
    test_vectors: int = _pictures(
        16, _whole(1), "Pictures kept for testing where no list_eval_partition.txt says which."
    )
    cache: str = _pictures(
        "none",
        _PATH,
        "Where decoded pictures are kept: none, memory, or the path of a file that later runs"
        " use too.",
    )
    max_bad_images: float = _pictures(
        5.0, _PERCENT, "Percent of the pictures that may be unreadable before a training stops."
    )

    summary_period: int = _keeping(200, _whole(1), "Batches between two sheets of test faces.")
    evaluate_period: int = _keeping(
        1000,
        _whole(0),
        "Batches between two measurements on validation pictures, from which the best weights"
        " are chosen. 0: never.",
    )
    checkpoint_minutes: float = _keeping(
        5.0, _MINUTES_OR_0, "Minutes between two checkpoints. 0: only by --checkpoint_period."
    )
    checkpoint_period: int = _keeping(10000, _whole(1), "Batches between two checkpoints.")
    keep_every: int = _keeping(
        0,
        _whole(0),
        "Keep each checkpoint at a multiple of this many batches, and the two newest. 0: only"
        " those.",
    )

    workers: int = _machines(1, _whole(1), "Processes on this machine that train together.")
    cores: int = _machines(0, _whole(0), "Cores that each worker is bound to (Linux). 0: any.")
    strategy: str = _machines(
        "auto",
        _one_of("auto", "mirrored", "multi_worker", "none"),
        "How a training spreads: none, over this machine's GPUs (mirrored), or over the "
        "processes of TF_CONFIG (multi_worker); auto: what is there.",
    )
    sync_batch_norm: bool = _machines(
        True,
        _SWITCH,
        "Take batch statistics over all replicas' pictures, so that several replicas compute "
        "what one does.",
    )

    infer_input: str = _enlarging("test.jpg", _PATH, "Picture to enlarge, or a folder of them.")
    infer_output: str | None = _enlarging(
        None,
        _PNG_OR_FOLDER,
        "PNG file to write; for a folder of pictures a folder.",
        "result.png or result/",
    )
    invented: bool = _enlarging(
        False,
        _SWITCH,
        "Show what is invented, in the comparison: where the two ends of --fidelity differ.",
    )
    infer_batch: int = _enlarging(
        16, _whole(1), "Pictures of a folder that go through the network at a time."
    )
    faces: str = _enlarging(
        "auto",
        _one_of("auto", "off"),
        "auto: enlarge each face in a photo and put it back; off: take the centred square.",
    )
    upscale_full: bool = _enlarging(
        False,
        _SWITCH,
        "Enlarge the whole picture four times, whatever its size, rather than a face in it.",
    )
    tile: int = _enlarging(
        128,
        _whole(16),
        "Side of the squares that --upscale_full takes at a time, in pixels of the input.",
    )
    weights: str = _enlarging(
        "auto",
        _one_of("auto", "best", "ema", "raw", "shipped"),
        "Weights to use, for --run evaluate and export too. best: the average that was best on the "
        "validation pictures. ema: the newest average. raw: the newest weights themselves. "
        "shipped: those in the box. auto: best, or shipped where there is no run.",
    )

    consistent: str = _enlarging(
        "on",
        _one_of("on", "off"),
        "on: results average back to their input, in training's sheets and measurements too; "
        "off: what the network gives.",
    )
    fidelity: float = _enlarging(
        1.0,
        _SHARE,
        "From 0, true to the pixels, to 1, plausible detail: how far the weights go from those of "
        "the recipe modern's first stage to the final ones.",
    )

    evaluation_dir: str = _results("evaluation", _PATH, "Folder for what --run evaluate finds.")
    export_format: str = _results(
        "keras",
        _one_of("keras", "onnx", "savedmodel", "tflite"),
        "What --run export writes. onnx needs more packages: requirements/export.txt.",
    )
    export_output: str = _results(
        "generator", _PATH, "Where --run export writes to; the suffix is added."
    )
    pack_output: str = _results("shards", _PATH, "Folder for the zips that --run pack makes.")
    shard_mb: int = _results(
        256, _whole(1), "Size of the zips that --run pack makes, in MiB at most."
    )

    def __post_init__(self):
        for field in FIELDS.values():
            value = getattr(self, field.name)
            if value is not None and not field.metadata["check"](value):
                raise ValueError(_refusal(field, value))
            if field.type in (float, float | None) and value is not None:
                object.__setattr__(self, field.name, float(value))
            recipe = field.metadata["recipe"]
            if recipe not in (None, self.recipe) and value != field.default:
                raise ValueError(f"flag --{field.name}: it is for --recipe={recipe} only")
        if self.recipe == "modern" and self.precision == "float16":
            raise ValueError(
                "flag --precision=float16: --recipe=modern computes in bfloat16 or float32"
            )
        png = self.infer_output is None or self.infer_output.lower().endswith(".png")
        if not (png or Path(self.infer_input).is_dir()):
            raise ValueError(_refusal(FIELDS["infer_output"], self.infer_output))
        if self.train_time is None and not self.train_batches:
            if self.recipe == "original":
                object.__setattr__(self, "train_time", TRAIN_MINUTES)
            else:
                object.__setattr__(self, "train_batches", self.l1_batches + ADVERSARIAL_BATCHES)

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
            text = f"{_text(field)} Default: {_default(field)}."
            name, indent = f"  --{field.name}  ", " " * 6
            lines += textwrap.wrap(text, 79, initial_indent=name, subsequent_indent=indent)
    return "\n".join(lines)


def options_page():
    """docs/OPTIONS.md."""
    lines = [_PAGE]
    for group, fields in _groups().items():
        lines += [f"## {group}", "", "| option | default | what |", "| --- | --- | --- |"]
        for field in fields:
            text = f"{_text(field)} Expected: {field.metadata['expected']}."
            lines.append(f"| `--{field.name}` | {_default(field)} | {text} |")
        lines.append("")
    return "\n".join(lines)


def _groups():
    groups = collections.defaultdict(list)
    for field in FIELDS.values():
        groups[field.metadata["group"]].append(field)
    return groups


def _text(field):
    recipe = field.metadata["recipe"]
    return field.metadata["help"] + (f" Only for --recipe={recipe}." if recipe else "")


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
