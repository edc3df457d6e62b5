"""The house rules that a machine can hold: who may import whom, flags in one place, pins."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.stem for path in ROOT.glob("srez_*.py"))

# Who may import whom. A module that is not here has no room yet.
ROOMS = {
    "srez_flags": set(),
    "srez_quiet": set(),
    "srez_main": {
        "srez_bench",
        "srez_demo",
        "srez_eval",
        "srez_export",
        "srez_flags",
        "srez_infer",
        "srez_quiet",
        "srez_shards",
        "srez_train",
    },
    "srez_launch": {"srez_child"},
    "srez_child": set(),
    "srez_shards": {"srez_image", "srez_parts", "srez_source"},
    "srez_bench": {
        "srez_cache",
        "srez_image",
        "srez_input",
        "srez_model",
        "srez_peer",
        "srez_source",
        "srez_textbook",
        "srez_trainer",
    },
    "srez_textbook": {"srez_model"},
    "srez_peer": set(),
    "srez_train": {
        "srez_bad",
        "srez_cache",
        "srez_checkpoint",
        "srez_cluster",
        "srez_device",
        "srez_log",
        "srez_loop",
        "srez_progress",
        "srez_resume",
        "srez_source",
        "srez_stop",
        "srez_trainer",
        "srez_watch",
    },
    "srez_loop": {
        "srez_image",
        "srez_input",
        "srez_load",
        "srez_log",
        "srez_progress",
        "srez_resume",
        "srez_saver",
        "srez_source",
        "srez_stop",
        "srez_watch",
    },
    "srez_cluster": set(),
    "srez_stop": {"srez_progress"},
    "srez_log": {"srez_image"},
    "srez_resume": {"srez_source"},
    "srez_bad": set(),
    "srez_cache": {"srez_bad", "srez_crop", "srez_image", "srez_load"},
    "srez_trainer": {"srez_input", "srez_model"},
    "srez_device": set(),
    "srez_progress": set(),
    "srez_checkpoint": {"srez_image"},
    "srez_generator": {"srez_checkpoint", "srez_model"},
    "srez_eval": {
        "srez_bad",
        "srez_card",
        "srez_checkpoint",
        "srez_dlib",
        "srez_generator",
        "srez_image",
        "srez_load",
        "srez_metrics",
        "srez_report",
        "srez_resume",
        "srez_source",
    },
    "srez_export": {"srez_generator", "srez_image", "srez_model"},
    "srez_card": {"srez_image", "srez_report"},
    "srez_report": {"srez_chart", "srez_image", "srez_metrics"},
    "srez_chart": set(),
    "srez_watch": {"srez_checkpoint", "srez_generator", "srez_image", "srez_metrics"},
    "srez_saver": {"srez_checkpoint"},
    "srez_infer": {
        "srez_dlib",
        "srez_generator",
        "srez_image",
        "srez_jobs",
        "srez_model",
        "srez_photo",
        "srez_tile",
    },
    "srez_jobs": {"srez_image"},
    "srez_photo": {"srez_image"},
    "srez_tile": {"srez_image", "srez_model"},
    "srez_demo": {"srez_image"},
    "srez_dlib": set(),
    "srez_input": {
        "srez_augment",
        "srez_bad",
        "srez_crop",
        "srez_image",
        "srez_load",
    },
    "srez_load": {"srez_augment", "srez_bad", "srez_crop", "srez_image"},
    "srez_augment": set(),
    "srez_crop": {"srez_image"},
    "srez_source": {
        "srez_faces",
        "srez_image",
        "srez_index",
        "srez_parts",
        "srez_zip",
    },
    "srez_parts": {"srez_image", "srez_local", "srez_remote", "srez_zip"},
    "srez_index": {"srez_names", "srez_zip"},
    "srez_names": set(),
    "srez_local": {"srez_image"},
    "srez_remote": {"srez_image"},
    "srez_zip": {"srez_image"},
    "srez_faces": {"srez_portrait"},
    "srez_portrait": {"srez_features", "srez_hair", "srez_pen"},
    "srez_features": {"srez_pen"},
    "srez_hair": {"srez_pen"},
    "srez_pen": set(),
    "srez_metrics": set(),
    "srez_image": set(),
    "srez_model": set(),
}
WITHOUT_TENSORFLOW = (
    "srez_bad",
    "srez_child",
    "srez_demo",
    "srez_dlib",
    "srez_faces",
    "srez_features",
    "srez_hair",
    "srez_image",
    "srez_index",
    "srez_jobs",
    "srez_launch",
    "srez_local",
    "srez_names",
    "srez_parts",
    "srez_peer",
    "srez_pen",
    "srez_photo",
    "srez_portrait",
    "srez_shards",
    "srez_source",
    "srez_zip",
)


def _imports(module):
    """Names of all modules that a module imports, wherever in it, and whether at its top."""
    tree = ast.parse((ROOT / f"{module}.py").read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            yield name.split(".")[0], id(node) in top


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_rooms_below_it(module):
    ours = {name for name, _ in _imports(module) if name.startswith("srez_")}
    assert ours <= ROOMS[module]


def test_the_arrows_form_no_circle():
    below = {module: set(rooms) for module, rooms in ROOMS.items()}
    while below:
        leaves = {module for module, rooms in below.items() if not rooms & below.keys()}
        assert leaves
        for leaf in leaves:
            del below[leaf]


def test_flags_are_defined_and_read_in_two_modules_only():
    users = {module for module in MODULES if "absl" in {name for name, _ in _imports(module)}}
    assert users == {"srez_flags", "srez_main"}


def test_srez_main_imports_no_mode_at_its_top():
    heavy = {"tensorflow", "keras", "numpy", "moviepy", "PIL"}
    at_top = {name for name, is_top in _imports("srez_main") if is_top}
    ours = {name for name in at_top if name.startswith("srez_")} - {"srez_flags", "srez_quiet"}
    assert not ours | (at_top & heavy)


@pytest.mark.parametrize("module", WITHOUT_TENSORFLOW)
def test_a_module_without_tensorflow_imports_none(module):
    assert not {"tensorflow", "keras"} & {name for name, _ in _imports(module)}


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_every_requirement_is_pinned(name):
    lines = (ROOT / name).read_text().split("\n")
    assert all("==" in line for line in lines if line and not line.startswith("-r "))
