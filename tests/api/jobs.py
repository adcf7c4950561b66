"""Training jobs that a test makes by boto3: the request, which stands here once, and what is asked of a job that
runs."""
import re

from conftest import ended, log_lines, wait_for

PYTHON = "sagemaker-scikit-learn:1.2-1-cpu-py3"
ARGUMENT_SIZE = 256  # of ContainerArguments


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
        left = [name for name in self.names if self.describe(name)["TrainingJobStatus"] == "InProgress"]
        for name in left:
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
