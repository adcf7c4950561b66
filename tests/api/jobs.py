"""Training jobs that a test makes by boto3: the request, which stands here once, and what is asked of a job that
runs."""
import contextlib
import re

from conftest import ended, log_lines, wait_for

PYTHON = "sagemaker-scikit-learn:1.2-1-cpu-py3"
ARGUMENT_SIZE = 256  # of ContainerArguments

# Each step is in the checkpoint of its host. The first attempt gets to step 10 and waits; one that finds a checkpoint
# goes on.
STEPS = """
import pathlib, socket, time
me = socket.gethostname()
saved = pathlib.Path("/opt/ml/checkpoints", me)
step = int(saved.read_text()) if saved.exists() else 0
first = step == 0
print("begins at step", step, "on", socket.gethostbyname(me), flush=True)
while step < 20:
    step += 1
    saved.with_suffix(".sagemaker-ignore").write_text(str(step))
    saved.with_suffix(".sagemaker-ignore").rename(saved)
    if step == 10 and first:
        print("waits at step", step, flush=True)
        time.sleep(3600)
pathlib.Path("/opt/ml/model", me).write_text(str(step))
print("ends at step", step, flush=True)
"""


def over(request, changes):
    """The request with the changes; of a map only the members that are named."""
    request = dict(request)
    for member, value in changes.items():
        both = isinstance(value, dict) and isinstance(request.get(member), dict)
        request[member] = {**request[member], **value} if both else value
    return request


def running(command=None, script=None):
    """The part of a request that says what runs: a shell's command, or a program in Python of any length."""
    if command is not None:
        return {"AlgorithmSpecification": {"ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": [command]}}
    if script is None:
        return {}
    parts = {}
    if len(script) > ARGUMENT_SIZE or "\n" in script:  # no argument may be so: it comes in variables
        parts = {f"PART_{i}": script[at:at + 500] for i, at in enumerate(range(0, len(script), 500))}
        script = f"import os; exec(''.join(os.environ[f'PART_{{i}}'] for i in range({len(parts)})))"
    return {"AlgorithmSpecification": {"ContainerEntrypoint": ["python3", "-c"], "ContainerArguments": [script]},
            "Environment": parts}


def request(name, role, bucket, command=None, script=None, **changes):
    """Of CreateTrainingJob; without a command or a script the image's own."""
    plain = dict(
        TrainingJobName=name, RoleArn=role,
        AlgorithmSpecification={"TrainingImage": PYTHON, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 3600})
    return over(over(plain, running(command, script)), changes)


class Jobs:
    """Jobs of one server. 'client' makes clients as boto3.client does."""

    def __init__(self, client, role, bucket):
        self.client, self.role, self.bucket, self.names = client, role, bucket, []
        self.sm, self.logs, self.s3 = client("sagemaker"), client("logs"), client("s3")

    def create(self, name, command=None, script=None, **changes):
        self.submit(request(name, self.role, self.bucket, command, script, **changes))

    def submit(self, made):
        self.sm.create_training_job(**made)
        self.names.append(made["TrainingJobName"])

    def close(self):
        """What a test leaves behind, because it failed or because it is done, is in no other's way."""
        left = [name for name in self.names if self.describe(name)["TrainingJobStatus"] in ("InProgress", "Stopping")]
        for name in left:
            with contextlib.suppress(self.sm.exceptions.ClientError):  # it has ended meanwhile
                self.sm.stop_training_job(TrainingJobName=name)
        for name in left:
            self.ended(name)

    def describe(self, name):
        return self.sm.describe_training_job(TrainingJobName=name)

    def streams(self, name, kind="Training"):
        return log_lines(self.logs, name, kind)

    def lines(self, name, kind="Training"):
        return [line for text in self.streams(name, kind).values() for line in text]

    def says(self, name, words, times=1, kind="Training"):
        """The lines with these words, when there are so many."""
        def check():
            found = [line for line in self.lines(name, kind) if words in line]
            return found if len(found) >= times else None
        return wait_for(check, 120, f"'{words}' of {name}", 0.1)

    def reaches(self, name, status):
        """The description of a job with this SecondaryStatus."""
        return wait_for(lambda: (d := self.describe(name))["SecondaryStatus"] == status and d, 60,
                        f"{status} of {name}", 0.05)

    def waits(self, name, words):
        """It is Pending and says so, or did when it was told to go on."""
        def why():
            return [t["StatusMessage"] for t in self.describe(name)["SecondaryStatusTransitions"]
                    if t["Status"] == "Pending"]
        wait_for(lambda: any(re.search(words, message) for message in why()), 60, f"{name} waits: {words}", 0.05)

    def saved(self, name, count):
        """Every host has its tenth of STEPS in S3, below <job>/checkpoints."""
        def check():
            try:
                return all(self.s3.get_object(Bucket=self.bucket,
                                              Key=f"{name}/checkpoints/algo-{i}")["Body"].read() == b"10"
                           for i in range(1, count + 1))
            except self.s3.exceptions.NoSuchKey:
                return False
        wait_for(check, 60, "the checkpoints of all hosts", 0.1)

    def ended(self, name, seconds=180):
        return ended(self.client, name, seconds)

    def completed(self, name):
        done = self.ended(name)
        assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
        return done

    def end(self, *names):
        for name in names:
            self.sm.stop_training_job(TrainingJobName=name)
        for name in names:
            assert self.ended(name)["TrainingJobStatus"] == "Stopped"


def transition(done, status):
    """The first one to this status, of a description."""
    return next(t for t in done["SecondaryStatusTransitions"] if t["Status"] == status)
