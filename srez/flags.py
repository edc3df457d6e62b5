"""The command line, --help and docs/OPTIONS.md, made from the fields of srez.options.Options."""

import collections
import difflib
import importlib.metadata
import platform
import re
import textwrap

from absl import flags

import srez
from srez.console import command
from srez.options import FIELDS, Options

USUAL = """\
  --run infere -i me.jpg -o large.png    enlarge a picture, or the faces in it
  --run train                            train a network, 20 minutes long
  --run train --dataset FOLDER_OR_ZIP    train it on your own pictures
  --run demo                             make the video of the training
  --run evaluate                         measure how good it is"""
_ABOUT = """\
srez makes faces in small pictures four times as large, and trains networks
for it."""
_PAGE = """\
# Options

`python3 -m srez.flags` makes this page from srez/options.py. Give a switch as `--name` or
`--noname`.
"""


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
    run = known["run"].value
    if run not in runs:
        near = difflib.get_close_matches(run, runs, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(runs))}"
        raise ValueError(f"flag --run={run}: {hint}")
    return Options(**{name: known[name].value for name in FIELDS})


def usage():
    """What srez is and its five usual commands, for a command line without any words."""
    return f"{_ABOUT}\n\n{_usage()}\n\n{USUAL}\n\n--help lists all commands and options."


def versions():
    """The versions of srez, its libraries and Python, in a line."""
    libraries = (f"{name} {importlib.metadata.version(name)}" for name in ("tensorflow", "keras"))
    return f"srez {srez.__version__} ({', '.join(libraries)}, Python {platform.python_version()})"


def help_text(runs):
    """The page that --help shows, 80 columns wide; `runs` is a dict of words by command."""
    lines = [_usage(), "", "Examples:", USUAL, "", "Commands:"]
    names = {words: [name for name in runs if runs[name] == words] for words in runs.values()}
    lines += [f"  --run {' or '.join(names[words]):<16} {words}" for words in names]
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


def _usage():
    return f"Usage:\n  {command('--run COMMAND [options]')}"


def _groups():
    groups = collections.defaultdict(list)
    for field in FIELDS.values():
        groups[field.metadata["group"]].append(field)
    return groups


def _text(field):
    recipe = field.metadata["recipe"]
    names = " or ".join("-" * min(len(name), 2) + name for name in field.metadata["aliases"])
    only = f" Only for --recipe={recipe}." if recipe else ""
    return field.metadata["help"] + (f" Also {names}." if names else "") + only


def _default(field):
    if field.metadata["shown"]:
        return field.metadata["shown"]
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _define(field, known):
    kinds = {bool: flags.DEFINE_boolean, int: flags.DEFINE_integer}
    kinds |= dict.fromkeys((float, float | None), flags.DEFINE_float)
    define = kinds.get(field.type, flags.DEFINE_string)
    define(field.name, field.default, field.metadata["help"], flag_values=known)
    for name in field.metadata["aliases"]:
        flags.DEFINE_alias(name, field.name, flag_values=known)


def _explain(message):
    """absl's message of a bad flag, with the allowed values in our words."""
    name = re.search(r"--?(\w+)", message)
    meant = {name: field for field in FIELDS.values() for name in field.metadata["aliases"]}
    field = (FIELDS | meant).get(name and name[1])
    if field:
        return f"{message.partition(': ')[0]}: expected {field.metadata['expected']}"
    return f"{message.rstrip('.')}; --help lists all"


if __name__ == "__main__":
    print(options_page(), end="")
