"""What options may be: each by itself, and together.

A kind of values is (what is expected, in words; a check of a value).
"""

import math
import os
import re
from pathlib import Path

# What results are written as, by the suffix of --infer_output.
RESULT_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def whole(low, high=math.inf):
    """Whole numbers from `low` to `high`."""
    words = f"a whole number from {low} " + (f"to {high}" if high < math.inf else "up")
    return words, lambda value: low <= value <= high


def number(words, check):
    """Finite numbers that pass a check."""
    return words, lambda value: math.isfinite(value) and check(value)


def one_of(*values):
    """One of some texts."""
    return "one of " + ", ".join(values), values.__contains__


def _is_box(text):
    try:
        left, top, side = map(float, text.split(","))
    except ValueError:
        return False
    return math.isfinite(left + top + side) and side > 0


def _is_tensorflows(path):
    """Whether TensorFlow, for which all names are UTF-8, means the same file by a path."""
    try:
        return os.fsencode(path) == path.encode()
    except UnicodeEncodeError:
        return False


PATH = "a path", bool
DATASET = "paths", bool
UTF8_PATH = (
    "a path in ASCII, or in UTF-8 if the locale is UTF-8",
    lambda path: path and _is_tensorflows(path),
)
IN_UTF8_PATH = (
    f"{UTF8_PATH[0]}, except its last part",
    lambda path: path and _is_tensorflows(os.path.dirname(path)),
)
WEB_PATH = "a path as /srez", re.compile(r"(/[\w.~-]+)+", re.ASCII).fullmatch
SWITCH = "true or false", lambda value: True
ABOVE_0 = number("a number above 0", lambda value: value > 0)
FROM_0 = number("a number from 0 up", lambda value: value >= 0)
BELOW_1 = number("a number from 0 to below 1", lambda value: 0 <= value < 1)
MINUTES = number("a number of minutes above 0", lambda value: value > 0)
SHARE = number("a number from 0 to 1", lambda value: 0 <= value <= 1)
PERCENT = number("a percentage from 0 to 100", lambda value: 0 <= value <= 100)
MINUTES_OR_0 = number("a number of minutes from 0 up", lambda value: value >= 0)
SIDE = ("a multiple of 8 from 64 to 128", range(64, 129, 8).__contains__)
BOX = ("three numbers, as 120,80,60, the last above 0", _is_box)
RESULT = ("a path that ends in .png, .jpg or .webp (any path if --infer_input is a folder)", bool)
PATHS = (PATH, UTF8_PATH, IN_UTF8_PATH, RESULT, DATASET)


def checked(field, value):
    """The value of an option's field: a path with the user's home folder in place of ~.

    Raises ValueError: it isn't of its kind; one line that names the option.
    """
    words, check = kind = field.metadata["kind"]
    if value and kind in PATHS:
        value = _at_home(field.name, kind, value)
    if value is not None and not check(value):
        _refuse(field.name, value, words)
    is_float = field.type in (float, float | None) and value is not None
    return float(value) if is_float else value


def refuse_contradictions(options, fields):
    """Raises ValueError if options don't go together; `fields` are theirs by name."""
    for name, field in fields.items():
        recipe = field.metadata["recipe"]
        if recipe not in (None, options.recipe) and getattr(options, name) != field.default:
            raise ValueError(f"flag --{name}: it is for --recipe={recipe} only")
    if options.recipe == "modern" and options.precision == "float16":
        raise ValueError(
            "flag --precision=float16: --recipe=modern computes in bfloat16 or float32"
        )
    if options.recipe == "modern" and options.consistent == "off" and not options.degrade:
        raise ValueError("flag --consistent=off: with --degrade=0 all inputs are exact")
    if options.run == "train" and options.weights == "shipped" and options.recipe != "modern":
        raise ValueError("flag --weights=shipped: these weights are for --recipe=modern")
    given = [name for name in ("face", "face_box") if getattr(options, name)]
    other = "--upscale_full" if options.upscale_full else "--faces=off"
    if given and (options.upscale_full or options.faces == "off"):
        raise ValueError(f"flag --{given[0]}: {other} takes no face out of the photo")
    if len(given) > 1:
        raise ValueError("flag --face: --face_box tells already which one it is")
    if 0 < options.face_max < options.face_min:
        raise ValueError(
            f"flag --face_max={options.face_max}: --face_min={options.face_min} is more"
        )
    is_file = (options.infer_output or ".png").lower().endswith(tuple(RESULT_FORMATS))
    if not (is_file or Path(options.infer_input).is_dir()):
        _refuse("infer_output", options.infer_output, RESULT[0])


def _at_home(name, kind, text):
    """A path, or each of a list, with its home folder; a shell does that only at a word's start."""
    is_list = kind == DATASET and not os.path.exists(text)
    words = [word.strip() for word in text.split(",")] if is_list else [text]
    paths = [os.path.expanduser(word) for word in words]
    if any(path.split("/")[0] == "~" for path in paths):
        raise ValueError(
            f"flag --{name}={text}: nobody knows the home folder here: give the whole path"
        )
    return ",".join(paths)


def _refuse(name, value, expected):
    shown = f"{value:g}" if isinstance(value, float) else value
    raise ValueError(f"flag --{name}={shown}: expected {expected}")
