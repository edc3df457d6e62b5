"""Kinds of values that options take: for each (what is expected, in words; a check of a value)."""

import math
import os
import re


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


def at_home(kind, text):
    """A value of one of PATHS with the user's home folder in place of ~, in a list in each path.

    A shell does that only where ~ begins a word. Raises ValueError: nobody knows the home folder.
    """
    is_list = kind == DATASET and not os.path.exists(text)
    words = [word.strip() for word in text.split(",")] if is_list else [text]
    paths = [os.path.expanduser(word) for word in words]
    if any(path.split("/")[0] == "~" for path in paths):
        raise ValueError("nobody knows the home folder here: give the whole path")
    return ",".join(paths)
