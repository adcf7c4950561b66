"""One endpoint, created, invoked all the time, updated and deleted, whatever dies meanwhile: who asks gets the right
model's answer, or learns soon that there is none at the moment."""
import collections
import threading
import time

import botocore.exceptions

from world import wait_for

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
MODELS = 4       # each answers its own number, whatever it is asked
SETTLE_S = 600   # within which an endpoint has settled, on a machine that does much else
SILENT_S = 120   # within which an endpoint that is in service answers again, with somebody killing all the time
RECOVER_S = 60   # within which a container that was killed is there again
KINDS = ["is updated"] * 4 + ["is updated and loses its models", "is deleted while it is created",
                              "is deleted while it is updated"]


def train_models(world):
    """By our own XGBoost, before anybody is killed: trees that have seen one label only say that label."""
    for n in range(1, MODELS + 1):
        world.client("s3").put_object(Bucket=world.bucket, Key=f"train/{n}/data.csv", Body=f"{n},0,1\n{n},1,0\n" * 20)
        world.client("sagemaker").create_training_job(
            TrainingJobName=f"model-{world.seed}-{n}", RoleArn=world.role,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            HyperParameters={"objective": "reg:squarederror", "num_round": "1", "base_score": str(n)},
            InputDataConfig=[{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": f"s3://{world.bucket}/train/{n}/"}}}],
            OutputDataConfig={"S3OutputPath": f"s3://{world.bucket}/models"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600})
    for n in range(1, MODELS + 1):
        def completed():
            job = world.client("sagemaker").describe_training_job(TrainingJobName=f"model-{world.seed}-{n}")
            assert job["TrainingJobStatus"] in ("InProgress", "Completed"), job.get("FailureReason")
            return job["TrainingJobStatus"] == "Completed"
        wait_for(completed, 300, f"model {n}", 0.2)


class Endpoint:
    def __init__(self, world, number):
        self.world, self.name, self.dice = world, f"endpoint-{world.seed}-{number}", world.dice("endpoint", number)
        self.kind = self.dice.choice(KINDS)
        self.models = self.dice.sample(range(1, MODELS + 1), 2)
        self.right = []  # sets of answers, each right from its moment on until the next
        self.closing = threading.Event()
        self.counts = collections.Counter()

    def run(self):
        for n in self.models:
            self.make(n)
        self.call("create_endpoint", late="already existing", EndpointConfigName=self.part(self.models[0]))
        if self.kind == "is deleted while it is created":
            time.sleep(self.dice.uniform(0, 1))
            self.delete()
            return
        self.settle(self.models[0])
        invoker = threading.Thread(target=self.invoke_all_the_time, daemon=True)
        invoker.start()
        try:
            time.sleep(self.dice.uniform(1, 5))
            self.update()
        finally:
            self.closing.set()
            invoker.join()
        self.delete()

    def update(self):
        if self.kind == "is updated and loses its models":
            self.unmake(self.models[0])
        self.right.append(set(self.models))
        # A second update while the first is on its way is refused; one after it deploys the same again.
        self.call("update_endpoint", late="Cannot update in-progress", EndpointConfigName=self.part(self.models[1]))
        if self.kind == "is deleted while it is updated":
            time.sleep(self.dice.uniform(0, 1))
            return
        self.settle(self.models[1])
        self.answers_in_the_end()
        time.sleep(self.dice.uniform(0, 3))

    def call(self, operation, late=None, **request):
        return self.world.insist("sagemaker", operation, late, EndpointName=self.name, **request)

    def part(self, model):
        return f"{self.name}-{model}"

    def make(self, n):
        url = f"s3://{self.world.bucket}/models/model-{self.world.seed}-{n}/output/model.tar.gz"
        self.world.insist("sagemaker", "create_model", "already existing", ModelName=self.part(n),
                          ExecutionRoleArn=self.world.role, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url})
        self.world.insist("sagemaker", "create_endpoint_config", "already existing", EndpointConfigName=self.part(n),
                          ProductionVariants=[{"VariantName": "v", "ModelName": self.part(n),
                                               "InstanceType": "ml.m5.large",
                                               "InitialInstanceCount": 1, "InitialVariantWeight": 1}])

    def unmake(self, n):
        self.world.insist("sagemaker", "delete_endpoint_config", "Could not find", EndpointConfigName=self.part(n))
        self.world.insist("sagemaker", "delete_model", "Could not find", ModelName=self.part(n))

    def settle(self, model):
        """In service, with that model and no other."""
        def settled():
            e = self.call("describe_endpoint")
            return e if e["EndpointStatus"] in ("InService", "Failed") else None
        e = wait_for(settled, SETTLE_S, f"{self.name} in service", 0.3)
        # A new deployment whose container was killed before it was healthy may be given up; the old one stays.
        if e["EndpointStatus"] != "InService" or e.get("FailureReason"):
            raise AssertionError(f"{self.name} is {e['EndpointStatus']}: {e.get('FailureReason')}")
        if e["EndpointConfigName"] != self.part(model):
            raise AssertionError(f"{self.name} is in service with {e['EndpointConfigName']}")
        self.right.append({model})

    # --- invocations ---

    def invoke(self):
        """The answer, or None when there is none at the moment, which is said with a reason that is allowed."""
        try:
            answer = self.world.client("sagemaker-runtime").invoke_endpoint(
                EndpointName=self.name, ContentType="text/csv", Body="0,1")
            return round(float(answer["Body"].read()), 3)
        except botocore.exceptions.ClientError as e:
            status = e.response["ResponseMetadata"]["HTTPStatusCode"]
            if status != 503 and not (status in (424, 500, 502) and self.world.wounded(self.name, RECOVER_S)):
                self.world.find(f"{self.name} answers {status}: {e}")
            self.counts[f"{status} {e.response['Error']['Code']}"] += 1
        except (botocore.exceptions.BotoCoreError, OSError) as e:
            self.counts[type(e).__name__] += 1
        return None

    def invoke_all_the_time(self):
        good_at = time.monotonic()
        while not self.closing.wait(0.05):
            since = len(self.right) - 1
            answer = self.invoke()
            now = time.monotonic()
            if answer is None:
                if now - good_at > SILENT_S:
                    self.world.find(f"{self.name} is in service and has not answered for {now - good_at:.0f} s: "
                                    f"{self.counts}")
                    good_at = now
                continue
            right = set().union(*self.right[since:])
            if answer not in right:
                self.world.find(f"{self.name} answers {answer}, and right is {right}")
            self.counts["answers"] += 1
            self.counts["longest silence, s"] = max(self.counts["longest silence, s"], round(now - good_at, 1))
            good_at = now

    def answers_in_the_end(self):
        answer = wait_for(self.invoke, SILENT_S, f"an answer of {self.name}", 0.2)
        if answer not in self.right[-1]:
            self.world.find(f"{self.name} answers {answer}, and right is {self.right[-1]}")

    # --- the end ---

    def delete(self):
        self.call("delete_endpoint", late="Could not find|Deleting")
        self.world.wait_gone(self.name, lambda: self.call("describe_endpoint")["EndpointStatus"], "Could not find",
                             SETTLE_S)
        self.nobody_answers()

    def nobody_answers(self):
        def refused():
            try:
                self.world.client("sagemaker-runtime").invoke_endpoint(EndpointName=self.name, ContentType="text/csv",
                                                                       Body="0,1")
                self.world.find(f"{self.name} is deleted and answers")
                return True
            except botocore.exceptions.ClientError as e:
                return e.response["Error"]["Code"] == "ValidationError"
            except (botocore.exceptions.BotoCoreError, OSError):
                return False
        wait_for(refused, SILENT_S, f"the refusal of {self.name}", 0.2)

    def check_again(self):
        """At the very end: what was deleted stays so."""
        try:
            self.call("describe_endpoint")
            self.world.find(f"{self.name} was deleted and is there in the end")
        except botocore.exceptions.ClientError:
            pass
