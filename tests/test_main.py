import sys
import time

import srez_main
from srez.options import FIELDS
from tests.conftest import run_main


def test_a_bad_command_line_costs_one_line_and_status_2(capsys):
    assert srez_main.main(["srez_main.py", "--batch_size=0"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "srez: flag --batch_size=0: expected a whole number from 1 up\n"


def test_a_bad_flag_is_refused_before_tensorflow_is_imported(here):
    started = time.monotonic()
    process = run_main("--run", "train", "--batch_size=0", cwd=here, PYTHONVERBOSE="1")
    assert process.returncode == 2
    assert "import 'absl.flags'" in process.stderr
    assert "import 'tensorflow'" not in process.stderr
    assert time.monotonic() - started < 60


def test_help_exits_0_and_names_every_option_within_80_columns(capsys):
    assert srez_main.main(["srez_main.py", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  --{name}  " in out for name in FIELDS)
    assert all(f"  --run {name} " in out for name in srez_main.MODES)
    assert max(map(len, out.splitlines())) <= 80


def test_infere_and_infer_are_the_same_mode():
    assert srez_main.MODES["infere"] is srez_main.MODES["infer"]


def test_a_missing_picture_is_one_line_and_status_1(here):
    process = run_main("--run", "infere", "--infer_input", "nowhere.jpg", cwd=here)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "--infer_input=nowhere.jpg" in process.stderr


def test_the_demo_does_without_tensorflow(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert srez_main.main(["srez_main.py", "--run=demo"]) == 1
    assert "--train_dir=train" in capsys.readouterr().err


def test_packing_a_folder_does_without_tensorflow(here, faces, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert srez_main.main(["srez_main.py", "--run=pack", f"--dataset={faces}"]) == 0
    assert "--dataset 'shards/faces-*.zip'" in capsys.readouterr().out
