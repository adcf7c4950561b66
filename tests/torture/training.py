"""One training job, from its creation to its end, whatever dies meanwhile: it runs once, and its user learns how it
ended."""
import re
import time

import botocore.exceptions

from world import wait_for

IMAGE = "sagemaker-scikit-learn:1.2-1-cpu-py3"
GROUP = "/aws/sagemaker/TrainingJobs"
COMMAND = "echo started $TRAINING_JOB_NAME; sleep {seconds}; echo done > /opt/ml/model/done; echo finished; {end}"
LOST = "InternalServerError: instance unhealthy: the container was lost"
END_S = 600  # within which a job of a few seconds has ended, on a machine that does much else
KINDS = ["completes"] * 5 + ["fails", "stops", "is deleted"]


class Job:
    def __init__(self, world, number):
        self.world, self.name, self.dice = world, f"job-{world.seed}-{number}", world.dice("job", number)
        self.kind = self.dice.choice(KINDS)
        self.status = None  # until its end was seen

    def run(self):
        self.create()
        if self.kind == "stops":
            time.sleep(self.dice.uniform(0, 3))
            self.stop()
        job = wait_for(self.ended, END_S, f"the end of {self.name}", 0.5)
        self.check(job)
        if self.kind == "is deleted":
            self.delete()

    def call(self, operation, late=None, **request):
        return self.world.insist("sagemaker", operation, late, TrainingJobName=self.name, **request)

    def create(self):
        seconds = round(self.dice.uniform(0, 3), 1)
        end = "echo no luck > /opt/ml/output/failure; exit 3" if self.kind == "fails" else "true"
        self.call("create_training_job", late="must be unique",
                  RoleArn=self.world.role,
                  AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File",
                                          "ContainerEntrypoint": ["/bin/sh", "-c"],
                                          "ContainerArguments": [COMMAND.format(seconds=seconds, end=end)]},
                  OutputDataConfig={"S3OutputPath": f"s3://{self.world.bucket}/out"},
                  ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                  StoppingCondition={"MaxRuntimeInSeconds": 3600})

    def stop(self):
        try:
            self.call("stop_training_job")
        except botocore.exceptions.ClientError as e:
            if "is in status" not in e.response["Error"]["Message"]:
                raise
            if "Completed" in e.response["Error"]["Message"]:
                self.kind = "completes"  # it was quicker; or it was stopped, and the answer lost

    def delete(self):
        self.call("delete_training_job", late="not found|status Deleting")
        self.kind = "is gone"
        self.world.wait_gone(self.name, lambda: self.call("describe_training_job")["TrainingJobStatus"], "not found",
                             END_S)

    def ended(self):
        job = self.call("describe_training_job")
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    def check(self, job):
        status, reason = job["TrainingJobStatus"], job.get("FailureReason", "")
        self.status = status
        started = self.started()
        if started > 1:
            self.world.find(f"{self.name} ran {started} times")
        if status == "Failed" and reason.startswith(LOST) and self.world.wounded(self.name):
            return
        if self.kind == "fails":
            if status != "Failed" or not re.match(r"AlgorithmError: no luck\s*, exit code: 3$", reason):
                self.world.find(f"{self.name} should have failed and is {status}: {reason}")
        elif status == "Completed" or self.kind != "stops":
            self.check_completed(job, started)
        elif status != "Stopped":
            self.world.find(f"{self.name} was stopped and is {status}: {reason}")

    def check_completed(self, job, started):
        if job["TrainingJobStatus"] != "Completed":
            self.world.find(f"{self.name} is {job['TrainingJobStatus']}: {job.get('FailureReason')}")
            return
        key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
        self.world.insist("s3", "head_object", Bucket=self.world.bucket, Key=key)
        if started != 1 or self.lines().count("finished") != 1:
            self.world.find(f"{self.name} completed, and its log is {self.lines()}")

    def lines(self):
        streams = self.world.insist("logs", "describe_log_streams", logGroupName=GROUP,
                                    logStreamNamePrefix=self.name + "/")
        return [e["message"].strip() for s in streams["logStreams"] for e in self.world.insist(
            "logs", "get_log_events", logGroupName=GROUP, logStreamName=s["logStreamName"],
            startFromHead=True)["events"]]

    def started(self):
        try:
            return self.lines().count(f"started {self.name}")
        except botocore.exceptions.ClientError:  # no job has logged yet
            return 0

    def check_again(self):
        """At the very end: what was answered is there."""
        try:
            job = self.call("describe_training_job")
            if self.kind == "is gone" or (self.status and job["TrainingJobStatus"] != self.status):
                self.world.find(f"{self.name} was {self.kind} {self.status}, and is {job['TrainingJobStatus']} in the "
                                f"end")
        except botocore.exceptions.ClientError as e:
            if self.kind != "is gone":
                self.world.find(f"{self.name} was {self.status}, and in the end {e}")
