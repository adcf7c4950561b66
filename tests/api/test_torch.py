"""Real PyTorch by the SageMaker Python SDK, unchanged: distribution=, spot, readers. Needs Debian's python3-torch on
the machine that runs the scripts, and openmpi-bin with python3-mpi4py for MPI; what is missing is named where it is
skipped."""
import functools
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest

from conftest import drill_spot, ended, log_lines, model_files, needs_tun, processed, wait_for
from test_cluster import lines

sagemaker = pytest.importorskip("sagemaker")
from sagemaker.inputs import TrainingInput  # noqa: E402
from sagemaker.pytorch import PyTorch  # noqa: E402

PATIENCE_S = 400  # importing PyTorch alone takes half a minute on a machine that has much else to do
SCRIPTS = pathlib.Path(__file__).parent / "scripts"
# Named in full, the SDK leaves it to the server which launcher runs on which instance type.
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:1.13.1-cpu-py39-ubuntu20.04-sagemaker"


@functools.cache
def missing(module, *programs):
    """Why the machine cannot run it; empty: it can."""
    found = subprocess.run(["/usr/bin/python3", "-c", f"import {module}"], capture_output=True)
    absent = [f"the module {module} of /usr/bin/python3"] if found.returncode else []
    return ", ".join(absent + [program for program in programs if not shutil.which(program)])


pytestmark = pytest.mark.skipif(bool(missing("torch")), reason="not on this machine: " + missing("torch"))
needs_mpi = pytest.mark.skipif(bool(missing("mpi4py", "mpirun", "orted")),
                               reason="not on this machine: " + missing("mpi4py", "mpirun", "orted"))


def run(name, script, count=2, wait=False, inputs=None, **changes):
    session = sagemaker.Session()
    if "framework_version" not in changes:
        changes.setdefault("image_uri", IMAGE)
    estimator = PyTorch(script, source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session),
                        instance_count=count,
                        **{"instance_type": "ml.m5.large", "max_run": 600, **changes}, sagemaker_session=session)
    estimator.fit(inputs, job_name=name, wait=wait)
    return estimator


def completed(aws, name):
    done = ended(aws, name, PATIENCE_S)
    assert done["TrainingJobStatus"] == "Completed", (done.get("FailureReason"), lines(aws, name))
    return done


def alone(script, folder, *arguments):
    """The same script in one process on this machine."""
    done = subprocess.run(["/usr/bin/python3", SCRIPTS / script, *arguments], capture_output=True, text=True,
                          check=True, env={"PATH": os.environ["PATH"], "SM_MODEL_DIR": str(folder)})
    return done.stdout


DISTRIBUTIONS = {
    "torch_distributed": (dict(distribution={"torch_distributed": {"enabled": True}}, instance_type="ml.g4dn.xlarge",
                               framework_version="1.13.1", py_version="py39"), 2),
    "pytorchddp": (dict(distribution={"pytorchddp": {"enabled": True}}, encrypt_inter_container_traffic=True), 2),
    "mpi": (dict(distribution={"mpi": {"enabled": True, "processes_per_host": 2}}, enable_network_isolation=True), 4),
}


@pytest.mark.parametrize("kind", ["torch_distributed", pytest.param("pytorchddp", marks=needs_tun),
                                  pytest.param("mpi", marks=needs_mpi)])
def test_gradients_are_averaged(aws, unique, tmp_path, kind):
    changes, size = DISTRIBUTIONS[kind]
    run(unique, "train_ddp.py", metric_definitions=[{"Name": "loss", "Regex": " loss=([0-9.]+)"}], **changes)
    done = completed(aws, unique)
    files = {name: json.loads(text) for name, text in model_files(aws, done).items()}
    alone("train_ddp.py", tmp_path)
    expected = json.loads((tmp_path / "weights.json").read_text())
    each = size // 2
    assert files.keys() == {"weights.json", *(f"rank-{rank}.json" for rank in range(size))}
    for rank in range(size):
        assert files[f"rank-{rank}.json"] == {"host": f"algo-{rank // each + 1}", "weights": files["weights.json"]}
    for name, values in expected.items():
        assert files["weights.json"][name] == pytest.approx(values, rel=1e-12)
    said = [line for text in lines(aws, unique).values() for line in text if " loss=" in line]
    assert len(said) == size and all(f"of={size}" in line for line in said)
    found = {m["MetricName"]: m["Value"] for m in done["FinalMetricDataList"]}
    assert any(f"loss={found['loss']:.6f}" in line for line in said)


@pytest.mark.parametrize("kind", ["pytorchddp", pytest.param("mpi", marks=needs_mpi)])
def test_the_launcher_runs_in_the_group_that_is_named(aws, unique, kind):
    from sagemaker.instance_group import InstanceGroup

    data, trainers = InstanceGroup("data", "ml.c5.xlarge", 1), InstanceGroup("trainers", "ml.m5.large", 2)
    run(unique, "train_ddp.py", count=None, instance_type=None, instance_groups=[data, trainers],
        distribution={kind: {"enabled": True}, "instance_groups": [trainers]})
    done = completed(aws, unique)
    said = sorted(line[line.index("rank="):].split(" loss")[0] for text in lines(aws, unique).values() for line in text
                  if " loss=" in line)
    assert said == ["rank=0 of=1 at=algo-1", "rank=0 of=2 at=algo-2", "rank=1 of=2 at=algo-3"]
    assert json.loads(model_files(aws, done)["rank-1.json"])["host"] == "algo-3"


def test_model_trainer(aws, unique):
    """The newer way of the SDK, which brings its own launcher and expects torchrun in the image."""
    from sagemaker.modules.configs import Compute, SourceCode
    from sagemaker.modules.distributed import Torchrun
    from sagemaker.modules.train import ModelTrainer

    trainer = ModelTrainer(
        training_image=IMAGE, base_job_name=unique, role=sagemaker.get_execution_role(), distributed=Torchrun(),
        source_code=SourceCode(source_dir=str(SCRIPTS), entry_script="train_ddp.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=2))
    trainer.train(wait=False)
    name, = [j["TrainingJobName"]
             for j in aws("sagemaker").list_training_jobs(NameContains=unique)["TrainingJobSummaries"]]
    files = model_files(aws, completed(aws, name))
    assert [json.loads(files[f"rank-{rank}.json"])["host"] for rank in range(2)] == ["algo-1", "algo-2"]


# --- What went wrong ---

@pytest.mark.parametrize("kind", ["torch_distributed", pytest.param("mpi", marks=needs_mpi)])
@pytest.mark.parametrize("how, words", [("fails", "ValueError: told to fail at algo-2"), ("killed", "signal 9")])
def test_one_rank_goes(aws, unique, kind, how, words):
    """The reason is that of the rank that failed, not of those that lost it."""
    distribution = {kind: {"enabled": True}}
    run(unique, "train_ddp.py", distribution=distribution, hyperparameters={how: "algo-2"})
    done = ended(aws, unique, PATIENCE_S)
    assert done["TrainingJobStatus"] == "Failed"
    said = lines(aws, unique)
    assert words in done["FailureReason"], json.dumps(said, indent=1)
    assert not any("SUCCESS" in line for text in said.values() for line in text), json.dumps(said, indent=1)
    assert "Connection" not in done["FailureReason"]


# --- Spot ---

def saved(aws, name):
    """The last step that each attempt said it had saved; attempts without one are left out."""
    said = [[int(line.split()[2]) for line in text if line.startswith("saved step")]
            for text in log_lines(aws("logs"), name).values()]
    return [steps[-1] for steps in said if steps]


def test_spot_interrupted_three_times_at_random(server, aws, unique, tmp_path):
    """Weights, bit for bit, of a training that was never interrupted."""
    seed = random.randrange(1 << 32)
    print("the moments come from the seed", seed)
    dice = random.Random(seed)
    steps = 400
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    run(unique, "train_torch_spot.py", count=1, use_spot_instances=True, max_run=3600, max_wait=7200,
        checkpoint_s3_uri=checkpoints, hyperparameters={"steps": steps, "interruptions": 3})
    for attempt in range(1, 4):
        until = dice.randint(1, steps)
        wait_for(lambda: len(saved(aws, unique)) >= attempt and max(saved(aws, unique)) >= until, PATIENCE_S,
                 f"step {until} in attempt {attempt}", dice.uniform(0.05, 0.3))
        taken = drill_spot(server, unique)
        assert taken.returncode == 0, taken.stderr
        sm = aws("sagemaker")
        wait_for(lambda: [t["Status"] for t in sm.describe_training_job(TrainingJobName=unique)[
            "SecondaryStatusTransitions"]].count("Interrupted") == attempt, PATIENCE_S, f"interruption {attempt}", 0.1)
    done = completed(aws, unique)
    found = json.loads(model_files(aws, done)["weights.json"])
    alone("train_torch_spot.py", tmp_path, "--steps", str(steps), "--checkpoints", str(tmp_path / "checkpoints"))
    assert found["weights"] == json.loads((tmp_path / "weights.json").read_text())["weights"], seed
    assert len(found["attempts"]) == 4 and found["attempts"] == sorted(found["attempts"]), seed
    assert done["BillableTimeInSeconds"] <= done["TrainingTimeInSeconds"]


@pytest.mark.parametrize("kind", ["torch_distributed", pytest.param("mpi", marks=needs_mpi)])
def test_spot_of_two_instances(server, aws, unique, tmp_path, kind):
    """Every rank has its notice, the first one saves, and all go on from there."""
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    run(unique, "train_ddp.py", distribution={kind: {"enabled": True}}, use_spot_instances=True, max_run=3600,
        max_wait=7200, checkpoint_s3_uri=checkpoints, hyperparameters={"waits": 3})

    def waiting():
        return sum("waits at step 3" in line for text in lines(aws, unique).values() for line in text)
    wait_for(lambda: waiting() == 2, PATIENCE_S, "step 3 of both ranks", 0.2)
    assert drill_spot(server, unique).returncode == 0
    done = completed(aws, unique)
    alone("train_ddp.py", tmp_path)
    expected = json.loads((tmp_path / "weights.json").read_text())
    files = {name: json.loads(text) for name, text in model_files(aws, done).items()}
    for rank in range(2):
        for name, values in expected.items():
            assert files[f"rank-{rank}.json"]["weights"][name] == pytest.approx(values, rel=1e-12)


# --- Input ---

@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="no /dev/fuse")
def test_datasets_of_pipe_and_fastfile(aws, unique):
    import numpy

    session = sagemaker.Session()
    base = f"s3://{session.default_bucket()}/{unique}"
    rows = numpy.arange(600, dtype="<f4").reshape(150, 4)
    for channel in ("stream", "table"):
        for part in range(3):
            aws("s3").put_object(Bucket=session.default_bucket(), Key=f"{unique}/{channel}/part-{part}",
                                 Body=rows[part * 50:(part + 1) * 50].tobytes())
    run(unique, "read_torch.py", count=1, inputs={
        "stream": TrainingInput(f"{base}/stream/", input_mode="Pipe"),
        "table": TrainingInput(f"{base}/table/", input_mode="FastFile")})
    completed(aws, unique)
    said = [line for line in lines(aws, unique)["algo-1"] if "rows, sum" in line]
    assert said == ["stream epoch 0: 150 rows, sum 179700", "stream epoch 1: 150 rows, sum 179700",
                    "table: 150 rows, sum 179700"]


# --- Processing ---

def test_a_processor_scores_in_parts(aws, unique, tmp_path):
    """The plain Processor with a command of its own, on two instances that have half of the objects each."""
    from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor

    session = sagemaker.Session()
    base = f"s3://{session.default_bucket()}/{unique}"
    for part in range(4):
        aws("s3").put_object(Bucket=session.default_bucket(), Key=f"{unique}/rows/{part}",
                             Body=f"{part} {part + 1}".encode())
    program = """
import pathlib, torch
for path in pathlib.Path('/opt/ml/processing/rows').iterdir():
    row = torch.tensor([float(word) for word in path.read_text().split()])
    score = torch.dot(row, torch.tensor([2.0, 10.0])).item()
    pathlib.Path('/opt/ml/processing/scores', path.name).write_text(str(score))
"""
    (tmp_path / "score.py").write_text(program)
    processor = Processor(
        image_uri=IMAGE, entrypoint=["python3", "/opt/ml/processing/code/score.py"],
        role=sagemaker.get_execution_role(session), instance_count=2,
        instance_type="ml.m5.large", sagemaker_session=session)
    processor.run(
        job_name=unique, wait=False, logs=False,
        inputs=[ProcessingInput(str(tmp_path / "score.py"), "/opt/ml/processing/code"),
                ProcessingInput(f"{base}/rows/", "/opt/ml/processing/rows",
                                s3_data_distribution_type="ShardedByS3Key")],
        outputs=[ProcessingOutput("/opt/ml/processing/scores", f"{base}/scores", output_name="scores")])
    done = processed(aws, unique, PATIENCE_S)
    assert done["ProcessingJobStatus"] == "Completed", done.get("FailureReason")
    scores = [aws("s3").get_object(Bucket=session.default_bucket(), Key=f"{unique}/scores/{part}")["Body"].read()
              for part in range(4)]
    assert scores == [b"10.0", b"22.0", b"34.0", b"46.0"]
