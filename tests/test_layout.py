"""The house rules that a machine can hold: who may import whom, one home for flags, pins."""

import ast

import pytest

from tests.conftest import ROOT

# From the left to the right: each imports from itself and from what stands before it.
ORDER = ["srez_model", "console", "files", "options", "modern", "pictures", "drawn", "data"]
ORDER += ["parallel", "run", "quality", "photo", "front", "srez_main", "bench"]
FILES = [*ROOT.glob("srez_*.py"), *ROOT.glob("srez/**/[!_]*.py"), *ROOT.glob("bench/*.py")]
PATHS = {str(path.relative_to(ROOT)): path for path in sorted(FILES)}


def _imports(path):
    """The modules that a file imports, wherever in it, and whether at its top."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            is_package = node.module == "srez"
            names = [f"srez.{alias.name}" for alias in node.names] if is_package else [node.module]
            yield from ((name, node in tree.body) for name in names)


def _rank(module):
    """The place in ORDER of one of our modules, or None for a library."""
    first, *rest = module.split(".")
    name = rest[0] if first == "srez" else first
    if name.startswith("srez_") and name not in ORDER:
        name = "front"
    return ORDER.index(name) if name in ORDER and (first != name or first in ORDER) else None


@pytest.mark.parametrize("name", PATHS)
def test_a_module_imports_leftwards_only(name):
    rank = _rank(name.removesuffix(".py").replace("/", "."))
    imported = {module: _rank(module) for module, _ in _imports(PATHS[name])}
    assert not {module for module, other in imported.items() if other is not None and other > rank}
    assert not {module for module in imported if module.startswith("tests")}
    assert "absl" not in {module.split(".")[0] for module in imported} or name == "srez/options.py"


def test_srez_main_imports_a_modes_room_only_when_that_mode_runs():
    at_top = {module for module, is_top in _imports(ROOT / "srez_main.py") if is_top}
    assert at_top == {"dataclasses", "sys", "srez.console", "srez.options"}


@pytest.mark.parametrize("package", sorted(ROOT.glob("srez/*/")), ids=lambda path: path.name)
def test_no_package_has_more_than_eight_modules(package):
    assert len(list(package.glob("[!_]*.py"))) <= 8


def test_every_requirement_is_pinned():
    paths = [ROOT / "requirements.txt", *ROOT.glob("requirements/*.txt")]
    lines = [line for path in paths for line in path.read_text().splitlines()]
    assert all("==" in line for line in lines if not line.startswith("-r "))
