import re
import sys
import time

import pytest

import srez.options
import srez_main
from tests.conftest import ROOT, make_config, run_main

ORIGINAL_DEFAULTS = {
    "batch_size": 16,
    "checkpoint_dir": "checkpoint",
    "checkpoint_period": 10000,
    "dataset": "dataset",
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
    "train_time": 20,
}
NEW_DEFAULTS = {
    "cache": "none",
    "checkpoint_minutes": 5,
    "deterministic": False,
    "ema": 0.995,
    "evaluate_period": 1000,
    "evaluation_dir": "evaluation",
    "export_format": "keras",
    "export_output": "generator",
    "faces": "auto",
    "infer_batch": 16,
    "infer_input": "test.jpg",
    "infer_output": "result.png",
    "jit_compile": False,
    "keep_every": 0,
    "max_bad_images": 5,
    "noise_level": 0.03,
    "pack_output": "shards",
    "precision": "float32",
    "resume": True,
    "shard_mb": 256,
    "strategy": "auto",
    "sync_batch_norm": True,
    "tile": 128,
    "train_batches": 0,
    "upscale_full": False,
    "weights": "best",
}
# Arguments, and what the one line on stderr has to name.
BAD_COMMAND_LINES = [
    ("--batch_size=0", "--batch_size=0: expected a whole number from 1 up"),
    ("--batch_size=two", "--batch_size=two: expected a whole number"),
    ("--checkpoint_minutes=-1", "--checkpoint_minutes=-1.0: expected a number of minutes from 0"),
    ("--checkpoint_period=0", "--checkpoint_period"),
    ("--ema=1", "--ema=1.0: expected a number from 0 to below 1"),
    ("--epsilon=0", "--epsilon=0.0: expected a number above 0"),
    ("--epsilon=nan", "--epsilon=nan: expected a number above 0"),
    ("--faces=on", "--faces=on: expected one of auto, off"),
    ("--gene_l1_factor=1.5", "--gene_l1_factor=1.5: expected a number from 0 to 1"),
    ("--infer_output=x.jpg", "infer_output=x.jpg: expected a path that ends in .png"),
    ("--learning_rate_half_life=-5", "--learning_rate_half_life=-5: expected a whole number"),
    ("--learning_rate_start=inf", "--learning_rate_start=inf: expected a number above 0"),
    ("--keep_every=-1", "--keep_every=-1: expected a whole number from 0 up"),
    ("--max_bad_images=101", "--max_bad_images=101.0: expected a percentage from 0 to 100"),
    ("--noise_level=-1", "--noise_level=-1.0: expected a number from 0 up"),
    ("--nosuchflag=1", "nosuchflag"),
    ("--precision=double", "--precision=double: expected one of auto, bfloat16, float16, float32"),
    ("--random_seed=-1", "--random_seed=-1: expected a whole number from 0 to 2147483647"),
    ("--resume=maybe", "--resume=maybe: expected true or false"),
    (
        "--run=fly",
        "--run=fly: expected one of demo, evaluate, export, infer, infere, pack, train",
    ),
    ("--run", "--run: expected one of demo, evaluate, export, infer, infere, pack, train"),
    ("--sample_size=68", "--sample_size=68: expected a multiple of 8 from 64 to 128"),
    ("--sample_size=136", "--sample_size=136: expected a multiple of 8 from 64 to 128"),
    ("--shard_mb=0", "--shard_mb=0: expected a whole number from 1 up"),
    ("--tile=15", "--tile=15: expected a whole number from 16 up"),
    ("--train_dir=", "--train_dir=: expected a path"),
    ("--train_time=0", "--train_time=0.0: expected a number of minutes above 0"),
    ("--weights=new", "--weights=new: expected one of best, ema, raw"),
    ("train", "'train': did you mean --run train?"),
    ("hello", "'hello'"),
]


def _flags_of_this_program():
    return srez_main.FLAGS.flags_by_module_dict()["srez.options"]


def test_flags_have_the_original_names_and_defaults():
    defaults = {flag.name: flag.default for flag in _flags_of_this_program()}
    assert defaults == ORIGINAL_DEFAULTS | NEW_DEFAULTS | {"help": False}


def test_flags_are_defined_in_alphabetical_order():
    text = (ROOT / "srez/options.py").read_text()
    names = re.findall(r'_(?:integer|float|path|switch|choice)\(\s*"(\w+)"', text)
    assert names == sorted(names)
    assert len(names) == len(_flags_of_this_program())


def test_every_flag_stands_in_the_readme_table_with_its_default():
    rows = re.findall(r"^\| `--(\w+)` \| `([^`]*)` \|", (ROOT / "README.md").read_text(), re.M)
    defaults = {
        flag.name: f"{flag.default:g}" if isinstance(flag.default, float) else str(flag.default)
        for flag in _flags_of_this_program()
        if flag.name != "help"
    }
    assert dict(rows) == defaults


@pytest.mark.parametrize(("argument", "expected"), BAD_COMMAND_LINES)
def test_a_bad_command_line_costs_one_line_and_status_2(argument, expected, capsys):
    assert srez_main.main(["srez_main.py", argument]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_a_bad_flag_is_refused_before_tensorflow_is_imported(tmp_path):
    started = time.monotonic()
    process = run_main("--run", "train", "--batch_size=0", cwd=tmp_path, PYTHONVERBOSE="1")
    assert process.returncode == 2
    assert "import 'absl.flags'" in process.stderr
    assert "import 'tensorflow'" not in process.stderr
    assert time.monotonic() - started < 60


def test_help_exits_0_and_names_every_flag(tmp_path):
    process = run_main("--help", cwd=tmp_path)
    assert process.returncode == 0
    assert all(
        f"--{name}" in process.stdout or f"]{name}" in process.stdout
        for name in ORIGINAL_DEFAULTS | NEW_DEFAULTS
    )


def test_train_time_rules_no_more_when_only_train_batches_is_given():
    assert make_config(train_batches=5).train_time is None
    assert make_config(train_batches=5, train_time=2).train_time == 2
    assert make_config().train_time == 20


def test_without_a_dataset_the_drawn_faces_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert make_config().dataset is None
    (tmp_path / "dataset").mkdir()
    assert make_config().dataset == "dataset"


def test_a_dataset_that_was_given_is_never_replaced_by_drawn_faces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert make_config(dataset="dataset").dataset == "dataset"


def test_infere_and_infer_are_the_same_mode():
    assert srez_main.MODES["infere"] is srez_main.MODES["infer"]


def test_a_missing_picture_is_one_line_and_status_1(tmp_path):
    process = run_main("--run", "infere", "--infer_input", "nowhere.jpg", cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "--infer_input=nowhere.jpg" in process.stderr


def test_the_demo_does_without_tensorflow(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert srez_main.main(["srez_main.py", "--run=demo"]) == 1
    assert "--train_dir=train" in capsys.readouterr().err


def test_packing_a_folder_does_without_tensorflow(tmp_path, faces, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert srez_main.main(["srez_main.py", "--run=pack", f"--dataset={faces}"]) == 0
    assert "--dataset 'shards/faces-*.zip'" in capsys.readouterr().out


def test_every_run_has_its_mode():
    assert tuple(sorted(srez_main.MODES)) == srez.options.RUNS
