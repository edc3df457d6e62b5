"""The examples under deploy/ as far as they can be checked without a cluster."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import srez_main
from tests.conftest import ROOT, SMALL, in_turn, run_main, train_arguments

DEPLOY = ROOT / "deploy"
SBATCH = DEPLOY / "slurm.sbatch"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().splitlines()
COPIES = [line.split()[1:] for line in DOCKERFILE if line.startswith("COPY ")]
EXAMPLES = ["Dockerfile", "kubernetes.yaml", "slurm.sbatch", "slurm_env.py", "space/README.md"]
KUBERNETES = "1.31"  # whose schemas the manifest is held against
SHOW = "import os; print(os.environ['TF_CONFIG'])"
PUT_BACK = [(143, 99), (137, 0)]  # exit status, restarts before
NO_STEP = "use srun in a Slurm job, whose variables are needed: "
SEVERAL = "several tasks on a node: use srun --ntasks-per-node=1"


def _run(*command, **environment):
    environment = os.environ | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def _with_stand_ins(folder, programs):
    """PATH with shell scripts in front of the programs of their names."""
    for name, code in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{code}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


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
        ({}, NO_STEP + "'SLURM_STEP_TASKS_PER_NODE'"),
        (_slurm(SLURM_JOB_ID="x"), NO_STEP + "invalid literal"),
        (_slurm(SLURM_STEP_TASKS_PER_NODE="2(x4)"), SEVERAL),
    ],
)
def test_outside_a_fitting_slurm_step_the_command_is_not_run(environment, message):
    process = _slurm_env(**environment)
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith(f"slurm_env: {message}") and process.stderr.count("\n") == 1


def test_the_batch_script_is_clean_for_bash_and_shellcheck():
    assert _run("bash", "-n", SBATCH).returncode == 0
    process = _run(Path(sys.executable).with_name("shellcheck"), SBATCH)
    assert process.returncode == 0, process.stdout


def test_the_batch_script_asks_for_a_task_per_node_and_for_sigterm_before_the_end():
    lines = SBATCH.read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    asked = [line for line in lines[:first_command] if line.startswith("#SBATCH ")]
    for option in ("--ntasks-per-node=1", "--signal=TERM@120", "--requeue"):
        assert f"#SBATCH {option}" in asked
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])


@pytest.mark.parametrize(("status", "restarts"), [*PUT_BACK, (0, 0), (1, 0), (2, 0), (137, 20)])
def test_a_job_is_put_back_if_it_was_stopped_or_a_worker_killed(here, status, restarts):
    stand_ins = {"srun": f'echo "$@" >srun.txt; exit {status}', "scontrol": 'echo "$@"'}
    environment = {
        "PATH": _with_stand_ins(here, stand_ins),
        "SLURM_SUBMIT_DIR": str(here),
        "SLURM_JOB_ID": "77",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_RESTART_COUNT": str(restarts),
    }
    process = _run("bash", SBATCH, "--dataset", "my faces", **environment)
    assert process.returncode == status
    assert process.stderr == ""
    assert ("requeue 77\n" in process.stdout) == ((status, restarts) in PUT_BACK)
    called = ".venv/bin/python deploy/slurm_env.py .venv/bin/python srez_main.py"
    given = (here / "srun.txt").read_text()
    assert given.endswith(f"{called} --run train --dataset my faces\n")


@pytest.fixture(scope="module")
def manifest():
    """The objects of the Kubernetes manifest by their kind, and the Job's Pod and Container."""
    contents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    objects = {content["kind"]: content for content in contents}
    pod = objects["Job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return types.SimpleNamespace(objects=objects, **objects, Pod=pod, Container=container)


def test_the_manifest_is_what_kubernetes_schemas_allow(manifest):
    assert set(manifest.objects) == {"Service", "PersistentVolumeClaim", "Job"}
    for content in manifest.objects.values():
        kubernetes_validate.validate(content, KUBERNETES, strict=True)


def test_the_service_selects_the_pods_and_names_them(manifest):
    labels = manifest.Job["spec"]["template"]["metadata"]["labels"]
    assert manifest.Service["spec"]["selector"].items() <= labels.items()
    assert manifest.Service["spec"]["clusterIP"] == "None"
    assert manifest.Service["metadata"]["name"] == manifest.Pod["subdomain"]


def test_the_pods_share_the_claimed_volume_where_they_work(manifest):
    claim, container = manifest.PersistentVolumeClaim, manifest.Container
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (volume,) = manifest.Pod["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mount = {"name": volume["name"], "mountPath": container["workingDir"]}
    assert container["volumeMounts"] == [mount]


def test_exit_rules_are_of_the_trainers_container_and_pods_are_made_anew(manifest):
    rules = manifest.Job["spec"]["podFailurePolicy"]["rules"]
    actions = {}
    for rule in (rule for rule in rules if "onExitCodes" in rule):
        assert rule["onExitCodes"]["containerName"] == manifest.Container["name"]
        actions |= dict.fromkeys(rule["onExitCodes"]["values"], rule["action"])
    assert actions == {143: "Ignore", 2: "FailJob", 3: "FailJob"}
    assert manifest.Pod["restartPolicy"] == "Never"


@pytest.mark.parametrize("index", [0, 1])
def test_in_kubernetes_the_command_gets_its_place_among_the_pods(manifest, here, index):
    container, job = manifest.Container, manifest.Job
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    environment["PATH"] = _with_stand_ins(here, {"python3": 'echo "$TF_CONFIG"; echo "$@"'})
    environment["JOB_COMPLETION_INDEX"] = str(index)
    process = _run(*container["command"], *container["args"], **environment)
    config, command = process.stdout.splitlines()
    count = int(environment["WORKERS"])
    assert count == job["spec"]["completions"] == job["spec"]["parallelism"]
    name, service = job["metadata"]["name"], manifest.Service["metadata"]["name"]
    port = container["ports"][0]["containerPort"]
    assert json.loads(config) == {
        "cluster": {"worker": [f"{name}-{i}.{service}:{port}" for i in range(count)]},
        "task": {"type": "worker", "index": index},
    }
    assert command.startswith("/srez/srez_main.py --run train ")


def test_the_image_is_made_of_files_that_are_there():
    copied = [pattern for pattern, _ in COPIES]
    needed = "requirements.txt requirements srez_*.py srez weights docs/astronaut_small.png"
    assert copied == needed.split()
    assert all(any(ROOT.glob(pattern)) for pattern in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1:] == ["*", *(f"!{pattern}" for pattern in copied), "**/__pycache__"]


@pytest.mark.slow
def test_what_the_image_holds_trains_evaluates_and_enlarges(here, faces):
    image = here / "image"
    image.mkdir()
    for pattern, target in COPIES:
        for path in ROOT.glob(pattern):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            (image / "docs").mkdir(exist_ok=True)
            copy(path, image / target.removeprefix("/srez/"))
    (image / "tests").mkdir()
    program = shutil.copy(SMALL, image / "tests")  # which runs the srez_main.py above it
    commands = in_turn(
        train_arguments(faces, train_batches=2),
        ["--run", "evaluate"],
        ["--run", "infere", f"--infer_input={faces}/00.jpg"],
    )
    process = run_main(*commands, cwd=here, program=program)
    assert (process.returncode, process.stderr) == (0, "")
    assert (here / "evaluation" / "MODEL_CARD.md").exists()
    assert (here / "result.png").exists()


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_says_that_it_is_untried(name):
    assert "Untried" in (DEPLOY / name).read_text()


def test_the_space_opens_the_page_with_the_weights_in_the_box(monkeypatch):
    opened = []
    monkeypatch.setitem(srez_main.MODES, "serve", opened.append)
    with pytest.raises(SystemExit, match="^0$"):
        runpy.run_path(str(DEPLOY / "space" / "app.py"), run_name="__main__")
    [options] = opened
    assert (options.weights, options.serve_host, options.serve_port) == ("shipped", "0.0.0.0", 7860)
    _, header, text = (DEPLOY / "space" / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(header)
    assert (DEPLOY / "space" / about["app_file"]).is_file()
    pins = (ROOT / "requirements" / "page.txt").read_text().splitlines()
    assert f"{about['sdk']}=={about['sdk_version']}" in pins
    assert len((DEPLOY / "space" / "app.py").read_text().splitlines()) <= 10
