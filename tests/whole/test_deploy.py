"""The examples under deploy/ as far as they can be checked without a cluster."""

import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT, train_arguments

DEPLOY = ROOT / "deploy"
SBATCH = DEPLOY / "slurm.sbatch"
KUBERNETES = "1.31"  # whose schemas the manifest is held against
SHOW = "import os; print(os.environ['TF_CONFIG'])"


def _run(*command, **environment):
    return subprocess.run(
        list(map(str, command)),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _slurm(**changes):
    """What Slurm sets in a task of a step on n8, n9, n10 and n11, here the one on n9."""
    return {
        "SLURM_JOB_ID": "1234567",
        "SLURM_PROCID": "1",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "n[8-11]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x4)",
        "SLURMD_NODENAME": "n9",
    } | changes


def _slurm_env(**environment):
    return _run(sys.executable, DEPLOY / "slurm_env.py", sys.executable, "-c", SHOW, **environment)


def test_in_slurm_the_command_gets_its_place_among_the_nodes():
    process = _slurm_env(**_slurm())
    assert process.returncode == 0, process.stderr
    config = json.loads(process.stdout)
    addresses = config["cluster"]["worker"]
    assert sorted(addresses) == sorted(f"{name}:24567" for name in ("n8", "n9", "n10", "n11"))
    assert config["task"] == {"type": "worker", "index": addresses.index("n9:24567")}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {},
            "slurm_env: use srun in a Slurm job, whose variables are needed: "
            "'SLURM_STEP_TASKS_PER_NODE'",
        ),
        (
            _slurm(SLURM_JOB_ID="x"),
            "slurm_env: use srun in a Slurm job, whose variables are needed: invalid literal",
        ),
        (
            _slurm(SLURM_STEP_TASKS_PER_NODE="2(x4)"),
            "slurm_env: several tasks on a node: use srun --ntasks-per-node=1",
        ),
    ],
)
def test_outside_a_fitting_slurm_step_the_command_is_not_run(environment, message):
    process = _slurm_env(**environment)
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith(message) and process.stderr.count("\n") == 1


def test_the_batch_script_is_clean_for_bash_and_shellcheck():
    assert _run("bash", "-n", SBATCH).returncode == 0
    process = _run(Path(sys.executable).with_name("shellcheck"), SBATCH)
    assert process.returncode == 0, process.stdout


def test_the_batch_script_asks_for_a_task_per_node_and_for_sigterm_before_the_end():
    lines = SBATCH.read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    asked = [line for line in lines[:first_command] if line.startswith("#SBATCH ")]
    assert "#SBATCH --ntasks-per-node=1" in asked
    assert "#SBATCH --signal=TERM@120" in asked
    assert "#SBATCH --requeue" in asked
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [
        (0, 0, False),
        (1, 0, False),
        (2, 0, False),
        (143, 99, True),
        (137, 0, True),
        (137, 20, False),
    ],
)
def test_a_job_is_put_back_if_it_was_stopped_or_a_worker_killed(here, status, restarts, requeued):
    stand_ins = {"srun": f'echo "$@" >srun.txt; exit {status}', "scontrol": 'echo "$@"'}
    for name, code in stand_ins.items():
        (here / name).write_text(f"#!/bin/bash\n{code}\n")
        (here / name).chmod(0o755)
    process = _run(
        "bash",
        SBATCH,
        "--dataset",
        "my faces",
        PATH=f"{here}:{os.environ['PATH']}",
        SLURM_SUBMIT_DIR=str(here),
        SLURM_JOB_ID="77",
        SLURM_CPUS_PER_TASK="8",
        SLURM_RESTART_COUNT=str(restarts),
    )
    assert process.returncode == status
    assert process.stderr == ""
    assert ("requeue 77\n" in process.stdout) == requeued
    assert (
        (here / "srun.txt")
        .read_text()
        .endswith(
            ".venv/bin/python deploy/slurm_env.py .venv/bin/python srez_main.py --run train "
            "--dataset my faces\n"
        )
    )


@pytest.fixture(scope="module")
def manifest():
    """The objects of the Kubernetes manifest, by their kind."""
    objects = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {each["kind"]: each for each in objects}


def test_the_manifest_is_what_kubernetes_schemas_allow(manifest):
    assert set(manifest) == {"Service", "PersistentVolumeClaim", "Job"}
    for each in manifest.values():
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_the_service_selects_the_pods_and_names_them(manifest):
    service, job = manifest["Service"], manifest["Job"]["spec"]
    labels = job["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["clusterIP"] == "None"
    assert job["template"]["spec"]["subdomain"] == service["metadata"]["name"]


def test_the_pods_share_the_claimed_volume_where_they_work(manifest):
    pod = manifest["Job"]["spec"]["template"]["spec"]
    claim = manifest["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (volume,) = pod["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (container,) = pod["containers"]
    mount = {"name": volume["name"], "mountPath": container["workingDir"]}
    assert container["volumeMounts"] == [mount]


def test_exit_rules_are_of_the_trainers_container_and_pods_are_made_anew(manifest):
    job = manifest["Job"]["spec"]
    pod = job["template"]["spec"]
    rules = [rule for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    actions = {status: rule["action"] for rule in rules for status in rule["onExitCodes"]["values"]}
    assert actions == {143: "Ignore", 2: "FailJob", 3: "FailJob"}
    names = {rule["onExitCodes"]["containerName"] for rule in rules}
    assert names == {pod["containers"][0]["name"]}
    assert pod["restartPolicy"] == "Never"


@pytest.mark.parametrize("index", [0, 1])
def test_in_kubernetes_the_command_gets_its_place_among_the_pods(manifest, here, index):
    job = manifest["Job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    (here / "python3").write_text('#!/bin/bash\necho "$TF_CONFIG"; echo "$@"\n')
    (here / "python3").chmod(0o755)
    process = _run(
        *container["command"],
        *container["args"],
        PATH=f"{here}:{os.environ['PATH']}",
        JOB_COMPLETION_INDEX=str(index),
        **environment,
    )
    config, command = process.stdout.splitlines()
    name, port = manifest["Job"]["metadata"]["name"], container["ports"][0]["containerPort"]
    service = manifest["Service"]["metadata"]["name"]
    count = int(environment["WORKERS"])
    assert count == job["completions"] == job["parallelism"]
    assert json.loads(config) == {
        "cluster": {"worker": [f"{name}-{i}.{service}:{port}" for i in range(count)]},
        "task": {"type": "worker", "index": index},
    }
    assert command.startswith("/srez/srez_main.py --run train ")


def test_the_image_is_made_of_files_that_are_there():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY ")]
    assert copied == ["requirements.txt", "srez_*.py", "srez"]
    assert all(any(ROOT.glob(pattern)) for pattern in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1:] == ["*", *(f"!{pattern}" for pattern in copied), "**/__pycache__"]


@pytest.mark.slow
def test_what_the_image_holds_trains_evaluates_and_enlarges(here, faces):
    image = here / "image"
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            _, pattern, target = line.split()
            folder = image / target.removeprefix("/srez/")
            for path in ROOT.glob(pattern):
                if path.is_dir():
                    shutil.copytree(path, folder)
                else:
                    folder.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, folder)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    commands = (
        train_arguments(faces, train_batches=2),
        ["--run", "evaluate"],
        ["--run", "infere", f"--infer_input={faces}/00.jpg"],
    )
    for command in commands:
        program = [sys.executable, image / "srez_main.py", *command]
        process = subprocess.run(
            program, cwd=here, env=environment, capture_output=True, text=True, timeout=300
        )
        assert (process.returncode, process.stderr) == (0, "")
    assert (here / "evaluation" / "MODEL_CARD.md").exists()
    assert (here / "result.png").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in DEPLOY.glob("*")))
def test_each_example_says_that_it_is_untried(name):
    if not fnmatch(name, "*.dockerignore"):
        assert "Untried" in (DEPLOY / name).read_text()
