"""The house rules that a machine can hold: who may import whom, one home for flags, pins."""

import ast

import pytest

from tests.conftest import ROOT

# From the left to the right: each imports from itself and from what stands before it.
ORDER = [
    "srez_model",
    "console",
    "files",
    "values",
    "options",
    "flags",
    "original",
    "modern",
]
ORDER += ["pictures", "drawn", "data", "parallel", "run", "quality", "photo", "front", "page"]
ORDER += ["srez_main", "bench"]
PATTERNS = ("srez_*.py", "srez/**/[!_]*.py", "bench/**/*.py")
NAMES = sorted(str(path.relative_to(ROOT)) for each in PATTERNS for path in ROOT.glob(each))


def _imports(nodes):
    """The modules that statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "srez":
            yield from (f"srez.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def _rank(module):
    """The place in ORDER of one of our modules; -1 for a library."""
    name = module.removeprefix("srez.").partition(".")[0]
    if name.startswith("srez_") and name not in ORDER:
        name = "front"
    return ORDER.index(name) if name in ORDER else -1


@pytest.mark.parametrize("name", NAMES)
def test_a_module_imports_leftwards_only(name):
    rank = _rank(name.removesuffix(".py").replace("/", "."))
    assert rank >= 0
    imported = set(_imports(ast.walk(ast.parse((ROOT / name).read_text()))))
    assert not {module for module in imported if _rank(module) > rank}
    assert not {module for module in imported if module.startswith("tests")}
    assert "absl" not in {module.split(".")[0] for module in imported} or name == "srez/flags.py"


def test_srez_main_imports_a_modes_room_only_when_that_mode_runs():
    at_top = ast.parse((ROOT / "srez_main.py").read_text()).body
    at_top += [node for each in at_top if isinstance(each, ast.Try) for node in each.body]
    assert set(_imports(at_top)) == {
        "dataclasses",
        "gc",
        "importlib.util",
        "os",
        "signal",
        "sys",
        "srez.console",
        "srez.flags",
    }


@pytest.mark.parametrize("name", NAMES)
def test_scipy_is_imported_only_where_it_is_used(name):
    """It takes a fifth of the time of a short run."""
    body = ast.parse((ROOT / name).read_text()).body
    assert "scipy" not in {module.partition(".")[0] for module in _imports(body)}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("bench")])
def test_no_module_has_more_than_350_lines(name):
    assert len((ROOT / name).read_text().splitlines()) <= 350


def test_no_two_classes_share_a_name():
    trees = [ast.parse((ROOT / name).read_text()) for name in NAMES]
    classes = [each.name for tree in trees for each in tree.body if isinstance(each, ast.ClassDef)]
    assert sorted(classes) == sorted(set(classes))


@pytest.mark.parametrize("package", sorted(ROOT.glob("srez/**/")), ids=lambda path: path.name)
def test_no_package_has_more_than_eight_modules(package):
    assert len(list(package.glob("[!_]*.py"))) <= 8


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("srez_*.py")))
def test_who_imports_keras_or_tensorflow_outside_of_srez_imports_srez_first(name):
    imported = list(_imports(ast.parse((ROOT / name).read_text()).body))
    if {"keras", "tensorflow"} & set(imported):
        assert imported[0] == "srez"


@pytest.mark.parametrize("package", ["bench", "tests"])
def test_so_does_a_package_whose_modules_import_them(package):
    body = ast.parse((ROOT / package / "__init__.py").read_text()).body
    assert "srez" in set(_imports(body))


def test_every_requirement_is_pinned():
    paths = [ROOT / "requirements.txt", *ROOT.glob("requirements/*.txt")]
    lines = [line for path in paths for line in path.read_text().splitlines()]
    assert all("==" in line for line in lines if not line.startswith("-r "))
