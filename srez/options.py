"""Every option once: its default, what is allowed, and what it means.

srez.flags makes the command line, --help and docs/OPTIONS.md from the class `Options`.
"""

import dataclasses
import functools
from pathlib import Path

from srez import values

LYING_HERE = ("dataset", "img_align_celeba.zip")  # what is trained on without --dataset
TRAIN_MINUTES = 20.0  # of the original recipe, if the user doesn't say
ADVERSARIAL_BATCHES = 14_000  # of the modern one, after l1_batches


def _option(group, default, kind, text, shown=None, recipe=None, aliases=()):
    """A field of Options.

    `kind` is one of srez.values, `shown` describes the default None, `recipe` is the one that it
    is for, if not for both. `aliases` are other names for the flag.
    """
    about = {"group": group, "help": text, "kind": kind, "expected": kind[0], "shown": shown}
    about |= {"recipe": recipe, "aliases": aliases}
    return dataclasses.field(default=default, metadata=about)


_command = functools.partial(_option, "What to do")
_usual = functools.partial(_option, "Training: the usual ones")
_learning = functools.partial(_option, "Training: how the networks learn")
_original = functools.partial(_learning, recipe="original")
_pictures = functools.partial(_option, "Training: the pictures")
_keeping = functools.partial(_option, "Training: what is measured and kept")
_machines = functools.partial(_option, "Training: several processes and machines")
_enlarging = functools.partial(_option, "Enlarging pictures")
_results = functools.partial(_option, "Measuring, exporting, packing")
_page = functools.partial(_option, "The page in the browser")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the user wants: a field for each flag, with the flag's name.

    `dataset`, `infer_output` and `train_time` are None if they were not given. Without `train_time`
    and `train_batches` a training takes TRAIN_MINUTES, or l1_batches + ADVERSARIAL_BATCHES.

    Raises:
        ValueError: a value that isn't allowed; one line that names it.
    """

    run: str = _command("demo", ("a command", bool), "The command.")
    help: bool = _command(False, values.SWITCH, "Show this page.", aliases=("h",))
    version: bool = _command(False, values.SWITCH, "Show the version of srez and of its libraries.")

    dataset: str | None = _usual(
        None,
        values.DATASET,
        "Folders of pictures, or zips such as CelebA's. Give paths or patterns with commas "
        "between them, local or remote (gs://).",
        "dataset/ or img_align_celeba.zip if it is here, else faces that srez draws",
    )
    train_time: float | None = _usual(
        None,
        values.MINUTES,
        "Minutes to train in all. Only batches count, not sheets and measurements.",
        "20 without --train_batches; modern: no limit",
    )
    train_batches: int = _usual(
        0, values.whole(0), "Batches to train in all. 0: no limit.", "no limit; modern: 18000"
    )
    recipe: str = _usual(
        "original",
        values.one_of("original", "modern"),
        "original: the networks and losses of 2016. modern: larger, truer to the pixels, slower.",
    )
    train_dir: str = _usual("train", values.UTF8_PATH, "Folder for sheets, logs and the video.")
    checkpoint_dir: str = _usual("checkpoint", values.UTF8_PATH, "Folder for the checkpoints.")
    resume: bool = _usual(
        True,
        values.SWITCH,
        "Go on from the newest checkpoint. --noresume starts anew and moves old results aside.",
    )
    precision: str = _usual(
        "auto",
        values.one_of("auto", "bfloat16", "float16", "float32"),
        "Number type of the networks. float16 is for GPUs. auto: bfloat16 if the device has it, "
        "else float32.",
    )

    batch_size: int = _learning(16, values.whole(1), "Pictures per batch.")
    ema: float = _original(
        0.995, values.BELOW_1, "Decay of the average of the generator's weights. 0: no averaging."
    )
    epsilon: float = _original(1e-8, values.ABOVE_0, "Adam's epsilon.")
    gene_l1_factor: float = _original(
        0.90,
        values.SHARE,
        "Weight of the L1 term in the generator's loss. The adversarial term gets the rest.",
    )
    l1_batches: int = _learning(
        4000,
        values.whole(0),
        "Batches before the discriminator starts.",
        recipe="modern",
    )
    degrade: float = _learning(
        0.6,
        values.SHARE,
        "Share of the training pictures that srez makes like faces in photos: resampled, noisy, "
        "with traces of JPEG. The others become exact averages.",
        recipe="modern",
    )
    learning_beta1: float = _original(0.5, values.BELOW_1, "Adam's beta1.")
    learning_rate_half_life: int = _original(
        5000, values.whole(1), "Batches after which the learning rate is halved."
    )
    learning_rate_start: float = _original(0.00020, values.ABOVE_0, "Learning rate at the start.")
    noise_level: float = _original(
        0.03,
        values.FROM_0,
        "Standard deviation of the noise on the generator's input while training.",
    )
    random_seed: int = _learning(0, values.whole(0, 2**31 - 1), "Seed of every random draw.")
    deterministic: bool = _learning(
        False,
        values.SWITCH,
        "Compute the same bits each time. Without it the last bits may differ.",
    )
    jit_compile: bool = _learning(False, values.SWITCH, "Compile the training step with XLA.")
    log_device_placement: bool = _learning(
        False, values.SWITCH, "Log on which device each operation runs."
    )

    sample_size: int = _pictures(
        64,
        values.SIDE,
        "Side of the training pictures in pixels. The network's input has a quarter of it.",
    )
    test_vectors: int = _pictures(
        16,
        values.whole(1),
        "Pictures to keep for testing, if there is no list_eval_partition.txt.",
    )
    cache: str = _pictures(
        "none",
        values.PATH,
        "Where to keep decoded pictures: none, memory, or the path of a file, which later runs "
        "use, too.",
    )
    max_bad_images: float = _pictures(
        5.0,
        values.PERCENT,
        "A training stops if more than this percentage of the pictures is bad.",
    )

    summary_period: int = _keeping(
        200, values.whole(1), "Batches between two sheets of test faces."
    )
    evaluate_period: int = _keeping(
        1000,
        values.whole(0),
        "Batches between two measurements on validation pictures, which choose the best weights."
        " 0: never.",
    )
    checkpoint_minutes: float = _keeping(
        5.0, values.MINUTES_OR_0, "Minutes between two checkpoints. 0: only --checkpoint_period."
    )
    checkpoint_period: int = _keeping(10000, values.whole(1), "Batches between two checkpoints.")
    keep_every: int = _keeping(
        0,
        values.whole(0),
        "Also keep the checkpoints at multiples of this many batches. 0: keep only the two newest.",
    )

    workers: int = _machines(1, values.whole(1), "Processes on this machine that train together.")
    strategy: str = _machines(
        "auto",
        values.one_of("auto", "mirrored", "multi_worker", "none"),
        "What a training runs on. mirrored: all GPUs of this machine. multi_worker: the processes "
        "in TF_CONFIG. none: one device. auto: what is there.",
    )
    sync_batch_norm: bool = _machines(
        True,
        values.SWITCH,
        "Take batch statistics over all replicas' pictures, so several replicas compute what one "
        "does.",
    )

    infer_input: str = _enlarging(
        "test.jpg", values.PATH, "Picture to enlarge, or a folder of them.", aliases=("i", "input")
    )
    infer_output: str | None = _enlarging(
        None,
        values.RESULT,
        "File to write. Its suffix says PNG, JPEG or WebP. For a folder of pictures: a folder.",
        "result.png or result/",
        aliases=("o", "output"),
    )
    invented: bool = _enlarging(
        False,
        values.SWITCH,
        "Show in the comparison what is invented: the places where --fidelity 0 and 1 differ. "
        "For weights of --recipe=modern.",
    )
    infer_batch: int = _enlarging(
        16, values.whole(1), "Pictures of a folder that the network enlarges at a time."
    )
    infer_skip_existing: bool = _enlarging(
        False, values.SWITCH, "In a folder, leave out pictures that have a comparison already."
    )
    faces: str = _enlarging(
        "auto",
        values.one_of("auto", "all", "off"),
        "auto: enlarge a photo's faces from --face_min to --face_max pixels wide, and put them "
        "back. all: enlarge all faces. off: take the centred square, and look for no face. If "
        "there is no face, not even on its side or upside down, auto and all make nothing.",
    )
    face: int = _enlarging(
        0, values.whole(0), "Number of the face to enlarge, from the left. 0: all."
    )
    face_box: str | None = _enlarging(
        None,
        values.BOX,
        "Where a face is, if srez doesn't find it. Think of a square from forehead to chin. Give "
        "x and y of its upper left corner and its side, in pixels of the photo as it is.",
        "what srez finds",
    )
    face_max: int = _enlarging(
        0,
        values.whole(0),
        "Wider faces, in pixels, stay as they are. 0: the side of the results.",
    )
    face_min: int = _enlarging(
        12,
        values.whole(1),
        "Narrower faces, in pixels, stay as they are: all of them would be invented.",
    )
    photo_scale: int = _enlarging(
        0,
        values.whole(0, 4),
        "How many times larger the photo with its faces put back becomes. 0: large enough that at "
        "least half of the faces keep all their pixels, at most 4 times.",
    )
    face_size: str = _enlarging(
        "auto",
        values.one_of("auto", "64", "128"),
        "Side of the results in pixels, with the weights in the box. auto: it depends on the "
        "size of the face.",
    )
    upscale_full: bool = _enlarging(
        False,
        values.SWITCH,
        "Enlarge the whole picture four times, not only a face in it.",
    )
    tile: int = _enlarging(
        128,
        values.whole(16),
        "Side of the squares that --upscale_full takes at a time, in pixels of the input.",
    )
    weights: str = _enlarging(
        "auto",
        values.one_of("auto", "best", "ema", "raw", "shipped"),
        "Weights to use, for --run evaluate and export, too. best: the average that was best on "
        "the validation pictures. ema: the newest average. raw: the newest weights, not averaged. "
        "shipped: those in the box. Then a new training of --recipe=modern begins with them, at "
        "--fidelity. auto: best, or shipped if there is no run.",
    )

    consistent: str = _enlarging(
        "auto",
        values.one_of("auto", "on", "off"),
        "on: results average back to their input, also in training's sheets and measurements. off: "
        "they stay as the network makes them. auto: on if the input is clean. Two inputs are not: "
        "a face in a photo that is smaller than its result; and a picture less than half as wide "
        "as its result, if it is a JPEG or shows noise or blocks. A network trained with "
        "--degrade=0 allows only on.",
    )
    fidelity: float = _enlarging(
        1.0,
        values.SHARE,
        "0: true to the pixels. 1: plausible detail. A number between mixes the weights of both. "
        "For weights of --recipe=modern, such as those in the box.",
    )

    evaluation_dir: str = _results(
        "evaluation", values.PATH, "Folder for the results of --run evaluate."
    )
    export_format: str = _results(
        "keras",
        values.one_of("keras", "onnx", "savedmodel", "tflite"),
        "What --run export writes. onnx needs more packages, and names them.",
    )
    export_output: str = _results(
        "generator", values.IN_UTF8_PATH, "File that --run export writes. srez adds the suffix."
    )
    pack_output: str = _results("shards", values.PATH, "Folder for the zips that --run pack makes.")
    shard_mb: int = _results(
        256, values.whole(1), "Largest size, in MiB, of the zips that --run pack makes."
    )

    serve_host: str = _page(
        "127.0.0.1",
        ("an address", bool),
        "Address that --run serve listens at. 0.0.0.0: all of this machine.",
    )
    serve_port: int = _page(7860, values.whole(1, 65535), "Port that --run serve listens at.")
    serve_password: str | None = _page(
        None, ("a password", bool), "Password of --run serve. Any user name is right.", "none"
    )
    serve_path: str | None = _page(
        None, values.WEB_PATH, "Path of the page at a reverse proxy.", "none"
    )

    def __post_init__(self):
        for name, field in FIELDS.items():
            object.__setattr__(self, name, values.checked(field, getattr(self, name)))
        values.refuse_contradictions(self, FIELDS)
        if self.train_time is None and not self.train_batches:
            if self.recipe == "original":
                object.__setattr__(self, "train_time", TRAIN_MINUTES)
            else:
                object.__setattr__(self, "train_batches", self.l1_batches + ADVERSARIAL_BATCHES)

    @property
    def training_dataset(self):
        """The dataset to train on: if none was given what lies here, or None: the drawn faces."""
        return self.dataset or next((name for name in LYING_HERE if Path(name).exists()), None)

    def of_training(self):
        """The options that a training depends on, a dict by name."""
        return {
            name: getattr(self, name)
            for name, field in FIELDS.items()
            if field.metadata["group"].startswith("Training")
        }

    def arguments(self):
        """The command line, without the program, that gives these options: a list of words."""
        given = {name: getattr(self, name) for name in FIELDS}
        return [
            f"--{name}={value}" for name, value in given.items() if value != FIELDS[name].default
        ]


FIELDS = {field.name: field for field in dataclasses.fields(Options)}
