"""The command line's flags: names, defaults, what is allowed; the original's and ours, by name."""

import math
import re
from pathlib import Path

from absl import flags

RUNS = ("demo", "evaluate", "export", "infer", "infere", "pack", "train")
_EXPECTED = {}  # flag -> its allowed values, in words


def explain(message):
    """absl's message of a bad flag, with the allowed values in our words."""
    name = re.search(r"--(\w+)", message)
    if name and name[1] in _EXPECTED:
        return f"{message.partition(': ')[0]}: expected {_EXPECTED[name[1]]}"
    return f"{message.rstrip('.')}; --help lists all"


def _integer(name, default, text, lower=1, upper=None):
    _EXPECTED[name] = f"a whole number from {lower} " + (f"to {upper}" if upper else "up")
    flags.DEFINE_integer(name, default, text, lower_bound=lower, upper_bound=upper)


def _float(name, default, text, allowed, expected):
    _EXPECTED[name] = expected
    flags.DEFINE_float(name, default, text)
    flags.register_validator(name, lambda value: math.isfinite(value) and allowed(value))


def _path(name, default, text):
    _EXPECTED[name] = "a path"
    flags.DEFINE_string(name, default, text)
    flags.register_validator(name, bool)


def _switch(name, default, text, **options):
    _EXPECTED[name] = f"true or false (or --{name}, --no{name} alone)"
    flags.DEFINE_boolean(name, default, text, **options)


def _choice(name, default, values, text):
    _EXPECTED[name] = "one of " + ", ".join(values)
    flags.DEFINE_enum(name, default, values, text)


_integer("batch_size", 16, "Pictures per batch.")
_path(
    "cache",
    "none",
    "Where decoded pictures are kept: none, memory, or the path of a file for this and later runs.",
)
_path("checkpoint_dir", "checkpoint", "Folder for the checkpoints.")
_float(
    "checkpoint_minutes",
    5.0,
    "Minutes between two checkpoints, beside --checkpoint_period; 0: only by that.",
    lambda value: value >= 0,
    "a number of minutes from 0 up",
)
_integer("checkpoint_period", 10000, "Batches between two checkpoints.")
_path(
    "dataset",
    "dataset",
    "Folders of pictures, or zips such as CelebA's img_align_celeba.zip as it is: paths or "
    "patterns with commas between, here or remote (gs://). If it is not given and there is no "
    "dataset/, training is on drawn sample faces.",
)
_switch(
    "deterministic",
    False,
    "Make GPUs compute the same bits each time, more slowly; CPUs always do.",
)
_float(
    "ema",
    0.995,
    "Decay of the average of the generator's weights; 0: no averaging.",
    lambda value: 0 <= value < 1,
    "a number from 0 to below 1",
)
_float("epsilon", 1e-8, "Adam's epsilon.", lambda value: value > 0, "a number above 0")
_integer(
    "evaluate_period",
    1000,
    "Batches between two measurements on validation pictures, from which the best weights "
    "are chosen. 0: never.",
    lower=0,
)
_path("evaluation_dir", "evaluation", "Folder for what --run evaluate finds.")
_choice(
    "export_format",
    "keras",
    ["keras", "onnx", "savedmodel", "tflite"],
    "What --run export writes; onnx needs requirements-export.txt.",
)
_path("export_output", "generator", "Where --run export writes to; the suffix is added.")
_choice(
    "faces",
    "auto",
    ["auto", "off"],
    "auto: enlarge each face in a photo and put it back; off: take the centred square.",
)
_float(
    "gene_l1_factor",
    0.90,
    "Weight of the L1 term in the generator's loss; the adversarial one gets the rest.",
    lambda value: 0 <= value <= 1,
    "a number from 0 to 1",
)
_switch("help", False, "Shows this page.", short_name="h")
_integer("infer_batch", 16, "Pictures of a folder that go through the network at a time.")
_path("infer_input", "test.jpg", "Picture to enlarge, or a folder of them.")
_path(
    "infer_output",
    "result.png",
    "PNG file to write; for a folder of pictures a folder (then 'result' by default).",
)
_switch("jit_compile", False, "Compile the training step with XLA.")
_integer(
    "keep_every",
    0,
    "Keep each checkpoint at a multiple of this many batches, beside the two newest. 0: none.",
    lower=0,
)
_float(
    "learning_beta1",
    0.5,
    "Adam's beta1.",
    lambda value: 0 <= value < 1,
    "a number from 0 to below 1",
)
_integer("learning_rate_half_life", 5000, "Batches after which the learning rate is halved.")
_float(
    "learning_rate_start",
    0.00020,
    "Learning rate at the start.",
    lambda value: value > 0,
    "a number above 0",
)
_switch("log_device_placement", False, "Log on which device each operation runs.")
_float(
    "max_bad_images",
    5.0,
    "Percent of the pictures that may be unreadable before a training stops.",
    lambda value: 0 <= value <= 100,
    "a percentage from 0 to 100",
)
_float(
    "noise_level",
    0.03,
    "Standard deviation of the noise added to the generator's input while training.",
    lambda value: value >= 0,
    "a number from 0 up",
)
_path("pack_output", "shards", "Folder for the zips that --run pack makes.")
_choice(
    "precision",
    "float32",
    ["auto", "bfloat16", "float16", "float32"],
    "What the networks compute in; auto: bfloat16 where the device has it, else float32.",
)
_integer("random_seed", 0, "Seed of every random draw.", lower=0, upper=2**31 - 1)
_switch(
    "resume",
    True,
    "Go on from the newest checkpoint. --noresume starts anew; old results are moved aside.",
)
_choice(
    "run",
    "demo",
    RUNS,
    "Train a network, make the video of its training (demo), enlarge a picture (infere), "
    "measure how good it is (evaluate), write the network for other "
    "programs (export), or pack a dataset into a few zips (pack).",
)
_integer(
    "sample_size",
    64,
    "Side of the training pictures in pixels; the network's input is a quarter of it.",
)
_EXPECTED["sample_size"] = "a multiple of 8 from 64 to 128"
flags.register_validator("sample_size", range(64, 129, 8).__contains__)
_integer("shard_mb", 256, "Size of the zips that --run pack makes, in MiB at most.")
_choice(
    "strategy",
    "auto",
    ["auto", "mirrored", "multi_worker", "none"],
    "How a training spreads: none, over this machine's GPUs (mirrored), or over the processes "
    "of TF_CONFIG (multi_worker); auto: what is there.",
)
_integer("summary_period", 200, "Batches between two sheets of test faces.")
_switch(
    "sync_batch_norm",
    True,
    "Take batch statistics over all replicas' pictures, so that several replicas compute what "
    "one does.",
)
_integer(
    "test_vectors",
    16,
    "Pictures kept for testing where no list_eval_partition.txt says which.",
)
_integer(
    "tile",
    128,
    "Side of the squares that --upscale_full takes at a time, in pixels of the input.",
    lower=16,
)
_integer(
    "train_batches",
    0,
    "Batches to train in all; --train_time then counts only if it is given too. 0: no limit.",
    lower=0,
)
_path("train_dir", "train", "Folder for sheets, logs and the video.")
_float(
    "train_time",
    20.0,
    "Minutes to train in all.",
    lambda value: value > 0,
    "a number of minutes above 0",
)
_switch(
    "upscale_full",
    False,
    "Enlarge the whole picture four times, whatever its size, rather than a face in it.",
)
_choice(
    "weights",
    "best",
    ["best", "ema", "raw"],
    "Weights to use: the average that was best on the validation pictures, the newest average "
    "(ema), or the newest weights themselves (raw).",
)
# A folder can only go into a folder.
_EXPECTED["infer_output"] = "a path that ends in .png, or --infer_input a folder"
flags.register_multi_flags_validator(
    ["infer_input", "infer_output"],
    lambda values: (
        values["infer_output"].lower().endswith(".png") or Path(values["infer_input"]).is_dir()
    ),
    message="--infer_output",
)
