"""The benchmarks. BENCH_BACKEND=jax is for bench.weights.gpu and bench.weights.check alone."""

import os

import srez

srez.settle("KERAS_", BACKEND=os.environ.get("BENCH_BACKEND", "tensorflow"), HOME=os.devnull)
srez.settle("MPL", BACKEND="agg")  # charts go into files
