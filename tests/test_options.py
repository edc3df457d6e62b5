import re
from pathlib import Path

import pytest

import srez_main
from srez import values
from srez.flags import options_page, parse
from srez.options import FIELDS, Options
from tests.conftest import ROOT

ORIGINAL_DEFAULTS = {
    "batch_size": 16,
    "checkpoint_dir": "checkpoint",
    "checkpoint_period": 10000,
    "dataset": None,  # dataset/ if it is there
    "epsilon": 1e-8,
    "gene_l1_factor": 0.90,
    "learning_beta1": 0.5,
    "learning_rate_half_life": 5000,
    "learning_rate_start": 0.00020,
    "log_device_placement": False,
    "random_seed": 0,
    "run": "demo",
    "sample_size": 64,
    "summary_period": 200,
    "test_vectors": 16,
    "train_dir": "train",
    "train_time": None,  # 20, without --train_batches
}
# Arguments, and what the one line of the error has to name: one of each kind of values. Which
# option is of which kind stands in docs/OPTIONS.md.
BAD_COMMAND_LINES = [
    ("--batch_size=0", "--batch_size=0: expected a whole number from 1 up"),
    ("--batch_size=two", "--batch_size=two: expected a whole number"),
    ("--checkpoint_minutes=-1", "--checkpoint_minutes=-1: expected a number of minutes from 0"),
    ("--ema=1", "--ema=1: expected a number from 0 to below 1"),
    ("--epsilon=0", "--epsilon=0: expected a number above 0"),
    ("--fidelity=2", "--fidelity=2: expected a number from 0 to 1"),
    ("--infer_output=x.gif", "infer_output=x.gif: expected a path that ends in"),
    ("--learning_rate_start=inf", "--learning_rate_start=inf: expected a number above 0"),
    ("--max_bad_images=101", "--max_bad_images=101: expected a percentage from 0 to 100"),
    ("--noise_level=-1", "--noise_level=-1: expected a number from 0 up"),
    ("--nosuchflag=1", "nosuchflag"),
    ("--precision=double", "--precision=double: expected one of auto, bfloat16, float16, float32"),
    ("--random_seed=-1", "--random_seed=-1: expected a whole number from 0 to 2147483647"),
    ("--resume=maybe", "--resume=maybe: expected true or false"),
    ("--run=fly", "expected one of demo, evaluate, export, infer, infere, pack, serve, train"),
    ("--run=trian", "--run=trian: did you mean train?"),
    ("--run", "--run: expected a command"),
    ("-i", "-i: expected a path"),
    ("--output=x.bmp", "x.bmp: expected a path that ends in .png, .jpg or .webp"),
    ("--sample_size=68", "--sample_size=68: expected a multiple of 8 from 64 to 128"),
    ("--sample_size=136", "--sample_size=136: expected a multiple of 8 from 64 to 128"),
    ("--serve_path=srez/", "--serve_path=srez/: expected a path as /srez"),
    ("--train_dir=", "--train_dir=: expected a path"),
    ("--train_time=0", "--train_time=0: expected a number of minutes above 0"),
    ("--face_box=nan,0,30", "--face_box=nan,0,30: expected three numbers, as 120,80,60"),
    ("train", "'train': did you mean --run train?"),
    ("hello", "'hello'"),
]


def test_the_original_options_have_their_names_and_defaults():
    assert {name: FIELDS[name].default for name in ORIGINAL_DEFAULTS} == ORIGINAL_DEFAULTS


def test_the_page_holds_all_options_and_defaults_of_the_code():
    assert (ROOT / "docs" / "OPTIONS.md").read_text() == options_page()


@pytest.mark.parametrize(("argument", "expected"), BAD_COMMAND_LINES)
def test_a_bad_command_line_is_one_line(argument, expected):
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        parse(["srez_main.py", argument], srez_main.MODES)
    assert "\n" not in str(caught.value)


def test_a_bad_value_is_refused_in_the_code_as_on_the_command_line():
    with pytest.raises(ValueError, match="^flag --batch_size=0: expected a whole number"):
        Options(batch_size=0)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"recipe": "modern", "gene_l1_factor": 0.5}, "flag --gene_l1_factor: it is for --recipe="),
        ({"recipe": "modern", "ema": 0.5}, "flag --ema: it is for --recipe=original"),
        ({"l1_batches": 5}, "flag --l1_batches: it is for --recipe=modern"),
        ({"degrade": 0.5}, "flag --degrade: it is for --recipe=modern"),
        (
            {"recipe": "modern", "precision": "float16"},
            "flag --precision=float16: --recipe=modern computes in",
        ),
        (
            {"recipe": "modern", "degrade": 0.0, "consistent": "off"},
            "flag --consistent=off: with --degrade=0 all inputs are exact",
        ),
        (
            {"run": "train", "weights": "shipped"},
            "flag --weights=shipped: these weights are for --recipe=modern",
        ),
        ({"face": 2, "faces": "off"}, "flag --face: --faces=off takes no face out"),
        ({"face_box": "1,2,3", "faces": "off"}, "flag --face_box: --faces=off takes no face"),
        ({"face_box": "1,2,3", "upscale_full": True}, "flag --face_box: --upscale_full takes no"),
        ({"face": 1, "face_box": "1,2,3"}, "flag --face: --face_box tells already which"),
        ({"face_min": 41, "face_max": 40}, "flag --face_max=40: --face_min=41 is more"),
    ],
)
def test_options_that_contradict_each_other_are_refused(flags, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Options(**flags)


def test_the_command_line_of_options_gives_these_options():
    options = Options(
        run="train", dataset="a b,c", ema=0.1, resume=False, train_time=0.05, workers=2
    )
    assert "--resume=False" in options.arguments()
    assert parse(["srez_main.py", *options.arguments()], srez_main.MODES) == options
    assert Options().arguments() == ["--train_time=20.0"]


def test_train_time_rules_no_more_when_only_train_batches_is_given():
    assert Options(train_batches=5).train_time is None
    assert Options(train_batches=5, train_time=2).train_time == 2
    assert Options().train_time == 20


def test_without_a_dataset_the_drawn_faces_are_taken(here):
    assert Options().training_dataset is None
    Path("img_align_celeba.zip").touch()
    assert Options().training_dataset == "img_align_celeba.zip"
    Path("dataset").mkdir()
    assert Options().training_dataset == "dataset"


def test_a_dataset_that_was_given_is_never_replaced_by_drawn_faces(here):
    assert Options(dataset="dataset").training_dataset == "dataset"


def test_a_folder_may_be_enlarged_into_any_path_and_a_picture_into_a_png_only(here):
    assert Options(infer_input=".", infer_output="folder").infer_output == "folder"
    with pytest.raises(ValueError, match="--infer_output=folder: expected a path that ends in"):
        Options(infer_input="a.jpg", infer_output="folder")


@pytest.mark.parametrize("names", [("-i", "-o"), ("--input", "--output")])
def test_input_and_output_have_short_names(names):
    argv = ["srez_main.py", names[0], "a.jpg", names[1], "b.webp"]
    assert parse(argv, srez_main.MODES) == Options(infer_input="a.jpg", infer_output="b.webp")


@pytest.mark.parametrize(
    "name", [name for name, field in FIELDS.items() if field.metadata["kind"] in values.PATHS]
)
def test_the_home_folder_is_meant_by_a_tilde_in_every_path(monkeypatch, name):
    monkeypatch.setenv("HOME", "/home/me")
    options = parse(["", "--run=train", f"--{name}=~/x.png"], ["train"])
    assert getattr(options, name) == "/home/me/x.png"
    assert getattr(Options(**{name: "x/~/y.png"}), name) == "x/~/y.png"


def test_all_options_that_name_files_are_paths():
    ends = ("_dir", "_input", "_output", "dataset", "cache")
    found = {name for name, field in FIELDS.items() if field.metadata["kind"] in values.PATHS}
    assert found == {name for name in FIELDS if name.endswith(ends)}


def test_the_home_folder_is_meant_in_each_path_of_a_list(here, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = "--dataset=~/a, ~/b/*.zip,c~,gs://x/~/d"
    dataset = parse(["", "--run=train", given], ["train"]).dataset
    assert dataset == "/home/me/a,/home/me/b/*.zip,c~,gs://x/~/d"
    (here / "a,b").mkdir()
    assert Options(dataset="a,b").dataset == "a,b"


def test_a_home_folder_that_nobody_knows_is_said(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="flag --train_dir=~/x: nobody knows the home folder"):
        Options(train_dir="~/x")
