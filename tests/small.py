"""srez_main.py with small networks: python tests/small.py --run train ... , --run demo , ...

For tests of what isn't about the networks. A graph of few layers is built in a fraction of the
time, a checkpoint takes kilobytes, and the commands between commas share what TensorFlow costs.
Those with the weights in the box have their networks as they are.
"""

import contextlib
import importlib
import sys
from pathlib import Path
from unittest import mock

SIZES = {
    "srez_model": {"RES_UNITS": (16, 8, 8), "RES_BLOCKS": 1, "DISCRIMINATOR_UNITS": (8, 8)},
    "srez.modern": {
        "UNITS": (8, 8, 8),
        "RES_BLOCKS": 1,
        "DISCRIMINATOR_LAYERS": ((8, 2), (8, 2), (8, 2)),
        "DISCRIMINATOR_DENSE": 8,
    },
}
SIGN = "$ "  # a line that begins with it shows the command line that runs next


def shrink(set_to):
    """Makes networks small by set_to(module, name, size)."""
    for name, sizes in SIZES.items():
        module = importlib.import_module(name)
        for constant, size in sizes.items():
            set_to(module, constant, size)


def main(words):
    """Runs the command lines in turn; returns the first status that isn't 0."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import srez_main

    srez_main.guard_console()
    srez_main.program = lambda: [__file__]  # what --workers starts
    statuses = []
    while words:
        end = words.index(",") if "," in words else len(words)
        command, words = words[:end], words[end + 1 :]
        print(SIGN + " ".join(command), flush=True)
        statuses.append(_run(srez_main, command))
    return next(filter(None, statuses), 0)


def _run(srez_main, command):
    with contextlib.ExitStack() as stack:
        load_tensorflow = srez_main.load_tensorflow

        def patch(*what):
            stack.enter_context(mock.patch.object(*what))

        def load(*given):
            load_tensorflow(*given)
            if "--weights=shipped" not in command:
                shrink(patch)

        patch(srez_main, "load_tensorflow", load)
        return srez_main.main(["srez_main.py", *command])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
