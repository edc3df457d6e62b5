"""Runs a command with TF_CONFIG set for its task of a Slurm step: srun python3 slurm_env.py COMMAND

Each node of the step has one task, and each task is one worker. Untried on a real cluster.
"""

import json
import os
import re
import sys

FIRST_PORT, PORTS = 20000, 10000  # below the ports that Linux gives to clients


def tf_config():
    """TF_CONFIG in tf.distribute's format, from the variables that Slurm sets.

    The port follows from the job's number, so two jobs on a node seldom take the same one.

    Raises:
        OSError: this is no Slurm step, or has several tasks on a node.
    """
    try:
        if not re.fullmatch(r"1(\(x\d+\))?", os.environ["SLURM_STEP_TASKS_PER_NODE"]):
            raise OSError("several tasks on a node: use srun --ntasks-per-node=1")
        addresses = _addresses(FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS)
        hosts = [address.rpartition(":")[0] for address in addresses]
        # Not SLURM_PROCID: TensorFlow sorts the nodes as text, n10 before n9, and Slurm doesn't.
        index = hosts.index(os.environ["SLURMD_NODENAME"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise OSError(f"use srun in a Slurm job, whose variables are needed: {error}") from error
    return json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    )


def _addresses(port):
    import tensorflow as tf

    # The trainer takes all GPUs that Slurm lets it see, so there are none to divide up here. But
    # without GPUs the resolver fails (range() by steps of 0), so this says that there is one.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port, gpus_per_node=1, gpus_per_task=1, auto_set_gpu=False
    )
    return resolver.cluster_spec().as_dict()["worker"]


def main(argv):
    """Becomes the command; returns 1 if it can't, 2 if there is none."""
    if not argv[1:]:
        return _complain("no command to run with TF_CONFIG set", 2)
    try:
        os.environ["TF_CONFIG"] = tf_config()
        os.execvp(argv[1], argv[1:])
    except OSError as error:
        return _complain(error, 1)


def _complain(message, status):
    print("slurm_env:", message, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
