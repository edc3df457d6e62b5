"""What a hosted Space runs: the page of srez, for all who come, with the weights in the box."""

import sys

import srez_main

if __name__ == "__main__":
    page = ["--run=serve", "--weights=shipped", "--serve_host=0.0.0.0", "--serve_port=7860"]
    sys.exit(srez_main.main(["app.py", *page]))
