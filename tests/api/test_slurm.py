"""Jobs on a Slurm cluster: three fake nodes on this machine, the real slurmctld and slurmd of Debian."""
import json
import pathlib
import re
import signal
import time

import pytest

import slurm_cluster
import test_health
from test_health import told  # noqa: F401
from conftest import Server, drill_spot, ended, log_lines, model_files, processed, wait_for

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.pytorch  # noqa: E402
import sagemaker.sklearn  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"
USD_HOUR = 7.2


@pytest.fixture(scope="module")
def cluster():
    why = slurm_cluster.missing()
    if why:
        pytest.skip(why)
    c = slurm_cluster.Cluster()
    try:
        yield c.start()
    finally:
        c.stop()


@pytest.fixture(scope="module")
def server(cluster, tmp_path_factory):
    conf = tmp_path_factory.mktemp("slurm") / "sagebrush.conf"
    conf.write_text("slurm-partition = batch\nslurm-spot-partition = spot\n")
    fleet = conf.with_name("fleet.toml")  # of which a cluster takes all but nodes
    fleet.write_text(f'[[types]]\nname = "ml.m5.large"\nusd_hour = {USD_HOUR}\n')
    s = Server(runtime="slurm", options=["--config", conf, "--fleet", str(fleet)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        s.start()
    yield s
    s.stop()


@pytest.fixture(autouse=True)
def nothing_is_left(request, cluster, server):
    yield
    for node in cordoned(server):
        server.command("nodes", "return", node, check=True)
    cluster.is_left(server, request.node.failed_once)


def describe(aws, job):
    return aws("sagemaker").describe_training_job(TrainingJobName=job)


def statuses(done):
    return [t["Status"] for t in done["SecondaryStatusTransitions"]]


def lines(aws, job):
    return log_lines(aws("logs"), job)


def said(aws, job, words):
    return any(words in line for text in lines(aws, job).values() for line in text)


def fit(job, script="train_spot.py", kind=sagemaker.sklearn.SKLearn, **options):
    session = sagemaker.Session()
    options = {"instance_count": 1, "instance_type": "ml.m5.large", "max_run": 3600, **options}
    if kind is sagemaker.sklearn.SKLearn:
        options["framework_version"] = "1.2-1"
    else:
        options.update(framework_version="2.1", py_version="py310")
    kind(script, source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), sagemaker_session=session,
         **options).fit(job_name=job, wait=False)


def test_a_job(cluster, server, aws, unique):
    fit(unique, hyperparameters={"steps": 3, "stops": ""}, keep_alive_period_in_seconds=600)
    first = describe(aws, unique)["SecondaryStatusTransitions"][0]["StatusMessage"]
    assert "KeepAlivePeriodInSeconds keeps nothing with the runtime slurm" in first
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert done["WarmPoolStatus"] == {"Status": "Terminated"}
    assert "Training" in statuses(done) and statuses(done)[-1] == "Completed"
    assert said(aws, unique, "begins at step 0")
    assert "weights.json" in model_files(aws, done)
    # It was Slurm's: one job, named by our agent's name.
    wait_for(lambda: cluster.of_job(done["TrainingJobArn"]) == ["COMPLETED"], 60, "the end of the Slurm job")
    line = server.cost()[unique]
    assert line["usd"] == pytest.approx(line["used_ms"] / 3.6e6 * USD_HOUR, rel=1e-6)


def test_several_instances_are_one_allocation(cluster, server, aws, unique):
    fit(unique, "train_cluster.py", sagemaker.pytorch.PyTorch, instance_count=3,
        hyperparameters={"waits": "algo-1/algo-2/algo-3"})
    wait_for(lambda: [text[-1:] for text in lines(aws, unique).values()] == [["waits"]] * 3, 120, "the instances", 0.2)
    arn = describe(aws, unique)["TrainingJobArn"]
    assert cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%D|%k").splitlines() == [f"3|{arn}"]
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Stopped"
    assert {f"algo-{i}.json" for i in (1, 2, 3)} <= model_files(aws, done).keys()


@pytest.fixture
def warned(aws, unique):
    """What EventBridge tells of spot instances, as a log group has it."""
    group, logs, events = f"/aws/events/{unique}-ec2", aws("logs"), aws("events")
    logs.create_log_group(logGroupName=group)
    arn = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["arn"].removesuffix(":*")
    events.put_rule(Name=f"{unique}-ec2", EventPattern=json.dumps({"source": ["aws.ec2"]}))
    events.put_targets(Rule=f"{unique}-ec2", Targets=[{"Id": "log", "Arn": arn}])
    return lambda: [json.loads(e["message"]) for e in logs.filter_log_events(logGroupName=group)["events"]]


def test_a_spot_job_is_preempted(cluster, server, aws, warned, unique):
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    with cluster.taken():  # our job has to go, and waits
        wait_for(lambda: "Interrupted" in statuses(describe(aws, unique)), 120, "the interruption", 0.2)
        wait_for(lambda: (t := describe(aws, unique)["SecondaryStatusTransitions"][-1])["Status"] == "Pending" and
                 re.search(r"Slurm job .*\((Resources|Priority)", t["StatusMessage"]), 60, "Pending", 0.2)
        told = wait_for(lambda: len(warned()) >= 2 and warned(), 60, "the warning", 0.2)
        assert [e["detail-type"] for e in told] == ["EC2 Instance Rebalance Recommendation",
                                                    "EC2 Spot Instance Interruption Warning"]
        assert told[0]["detail"]["instance-id"] == told[1]["detail"]["instance-id"]
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert said(aws, unique, "begins at step 0") and said(aws, unique, "begins at step 7")
    assert statuses(done).count("Training") == 2
    assert json.loads(model_files(aws, done)["weights.json"])["step"] == 20


@pytest.mark.parametrize("how", ["scancel --signal=TERM", "scontrol requeue"])
def test_somebody_takes_a_job_back(cluster, server, aws, unique, how):
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    job = cluster.jobs()[0][0]
    if how.startswith("scontrol"):
        cluster.run("scontrol", "update", f"jobid={job}", "requeue=1")  # ours ask not to be
    cluster.run(*how.split(), job)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert "Interrupted" in statuses(done)
    text = [line for lines_ in lines(aws, unique).values() for line in lines_ if "begins at" in line]
    assert sorted(text) == ["begins at step 0", "begins at step 7"]


def test_a_processing_job(cluster, server, aws, unique):
    sm = aws("sagemaker")
    sm.create_processing_job(
        ProcessingJobName=unique, RoleArn=sagemaker.get_execution_role(sagemaker.Session()),
        AppSpecification={"ImageUri": "sagemaker-scikit-learn:1.2-1-cpu-py3",
                          "ContainerEntrypoint": ["/usr/bin/python3", "-c",
                                                  "open('/opt/ml/output/message', 'w').write('of a node')"]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}})
    done = processed(aws, unique)
    assert done["ProcessingJobStatus"] == "Completed" and done["ExitMessage"] == "of a node", done
    wait_for(lambda: cluster.of_job(done["ProcessingJobArn"]) == ["COMPLETED"], 60, "the end of the Slurm job")


def test_what_slurm_cannot_give_or_not_yet(cluster, server, aws, unique):
    never, later = unique + "-never", unique + "-later"
    fit(never, instance_type="ml.m5.24xlarge")  # 96 cores; the nodes have 8
    done = ended(aws, never)
    assert done["TrainingJobStatus"] == "Failed" and "ClientError: Slurm does not take the job" in done["FailureReason"]
    with cluster.taken():
        fit(later)
        wait_for(lambda: "Slurm job" in describe(aws, later)["SecondaryStatusTransitions"][-1]["StatusMessage"], 60,
                 "Pending")
        text = server.command("status", check=True).stdout
        assert "1 running or left to Slurm (squeue says which wait)" in text, text
        aws("sagemaker").stop_training_job(TrainingJobName=later)
        done = ended(aws, later)
        assert done["TrainingJobStatus"] == "Stopped" and "TrainingStartTime" not in done
        wait_for(lambda: cluster.of_job(done["TrainingJobArn"]) == ["CANCELLED"], 60, "the end of the Slurm job")


def test_a_node_that_fails(cluster, server, aws, unique):
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, max_retry_attempts=2, checkpoint_s3_uri=checkpoints, hyperparameters={"steps": 20, "stops": "5"})
    wait_for(lambda: said(aws, unique, "waits at step 5"), 120, "step 5", 0.2)
    node = cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%N").strip()
    with cluster.dead(node):
        wait_for(lambda: "Restarting" in statuses(describe(aws, unique)), 120, "the restart", 0.2)
        done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert [t["StatusMessage"] for t in done["SecondaryStatusTransitions"] if "NODE_FAIL" in t["StatusMessage"]]
    assert said(aws, unique, "begins at step 5") and json.loads(model_files(aws, done)["weights.json"])["step"] == 20


def processes_on(node, agents):
    """Of our agent and its container, and of Slurm above it."""
    for agent in agents:
        pid = int((agent / "agent.pid").read_text())
        if f"SLURMD_NODENAME={node}" not in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0"):
            continue
        found = test_health.processes_of(agent)
        while not pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("slurmstepd"):
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            found.append(pid)
        return found
    raise AssertionError(f"nothing of ours runs on {node}")


def test_a_node_of_three_instances_dies(cluster, server, aws, role, bucket, unique):
    jobs = test_health.Steps(aws, role, bucket)
    jobs.create(unique, test_health.STEPS, count=3, RetryStrategy={"MaximumRetryAttempts": 1})
    jobs.says(unique, "waits at step 10", 3)
    jobs.saved(unique, 3)
    begun = jobs.describe(unique)
    on_it = processes_on("n2", test_health.agents_of(server, unique).values())
    # As a power failure would: nobody hears of it, not even srun that a connection ends, until Slurm says so.
    test_health.signal_all(on_it, signal.SIGSTOP)
    died = time.monotonic()
    with cluster.dead("n2"):  # the cluster has no other
        test_health.signal_all(on_it, signal.SIGKILL)
        wait_for(lambda: "Restarting" in statuses(jobs.describe(unique)), 120, "the restart", 0.2)
    jobs.says(unique, "begins at step 10", 3)
    print(f"a node died: all of its job ran again after {time.monotonic() - died:.1f} s")
    done = jobs.completed(unique)
    again = next(t for t in done["SecondaryStatusTransitions"] if t["Status"] == "Restarting")
    assert "NODE_FAIL" in again["StatusMessage"], again
    failed_s = (again["StartTime"] - begun["TrainingStartTime"]).total_seconds()
    assert done["TrainingTimeInSeconds"] - done["BillableTimeInSeconds"] >= int(failed_s)


def node_of(agent):
    return json.loads((agent / "report.json").read_text())["node"]


def cordoned(server):
    return {n["name"]: n for n in test_health.nodes(server).values() if n["state"] == "cordoned"}


def test_a_bad_node_is_not_asked_for_again(cluster, server, aws, role, bucket, told, unique):
    """Slurm, which knows nothing of it, would give the same again."""
    jobs = test_health.Steps(aws, role, bucket)
    jobs.create(unique, test_health.STEPS, count=2, RetryStrategy={"MaximumRetryAttempts": 1})
    jobs.says(unique, "waits at step 10", 2)
    jobs.saved(unique, 2)
    begun = jobs.describe(unique)
    agent = test_health.agents_of(server, unique)["algo-2"]
    bad = node_of(agent)
    test_health.kill_node(agent)
    jobs.says(unique, "begins at step 10", 2)
    done = jobs.completed(unique)
    first, second = cluster.nodes_of_job(done["TrainingJobArn"])
    assert len(first) == len(second) == 2 and bad in first and bad not in second
    again = next(t for t in done["SecondaryStatusTransitions"] if t["Status"] == "Restarting")
    assert "algo-2: the container was lost" in again["StatusMessage"], again
    failed_s = (again["StartTime"] - begun["TrainingStartTime"]).total_seconds()
    assert done["TrainingTimeInSeconds"] - done["BillableTimeInSeconds"] >= int(failed_s)
    event = told("Node Cordoned")[0]
    assert event["node"] == bad and event["check"] == "container" and event["back"], event
    assert cordoned(server)[bad]["back_ms"] > 0 and "runs" not in cordoned(server)[bad]
    server.kill_control()
    assert list(cordoned(server)) == [bad]
    assert f"under {unique} (container): the container was lost" in server.command("nodes").stdout
    assert server.command("nodes", "return", bad).returncode == 0
    assert not cordoned(server) and told("Node Returned")[0]["node"] == bad


def test_a_cluster_whose_nodes_are_cordoned(cluster, server, aws, unique):
    for node in cluster.names:
        wait_for(lambda: server.command("nodes", "cordon", node, "a test").returncode == 0, 60, "Slurm's list", 0.5)
    assert "there is no node n17" in server.command("nodes", "cordon", "n17").stderr
    fit(unique, hyperparameters={"steps": 1})
    wait_for(lambda: "only nodes that are cordoned could: n1,n2,n3" in
             describe(aws, unique)["SecondaryStatusTransitions"][-1]["StatusMessage"], 60, "the reason", 0.2)
    assert server.command("nodes", "return", "n3").returncode == 0
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert cluster.nodes_of_job(done["TrainingJobArn"]) == [["n3"]]


def test_a_controller_that_forgets(cluster, server, aws, unique):
    """slurmctld is killed, and what it had saved is gone: job ids begin at 1 again."""
    runs, waits = unique + "-runs", unique + "-waits"
    for _ in range(5):  # of two jobs with one id Slurm itself takes the end of one for the other's
        cluster.run("scancel", cluster.run("sbatch", "--parsable", "--hold", "--wrap=true").strip())
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(runs, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, runs, "waits at step 7"), 120, "step 7", 0.2)
    # 8 cores each: not beside the other.
    fit(waits, "train_cluster.py", sagemaker.pytorch.PyTorch, instance_count=3, instance_type="ml.m5.2xlarge")
    wait_for(lambda: "Resources" in describe(aws, waits)["SecondaryStatusTransitions"][-1]["StatusMessage"], 60,
             "the queue", 0.2)
    silences = server.log_path.read_text().count("slurm.silent")
    cluster.kill("slurmctld")
    cluster.forget_everything()
    wait_for(lambda: server.log_path.read_text().count("slurm.silent") > silences, 60, "what squeue does not answer")
    assert describe(aws, runs)["TrainingJobStatus"] == describe(aws, waits)["TrainingJobStatus"] == "InProgress"
    cluster.start_controller()
    # The one that waited is submitted again. The agent of the other runs on, or Slurm has killed it: then it is, too.
    wait_for(lambda: cluster.of_job(describe(aws, waits)["TrainingJobArn"]), 60, "the job in Slurm", 0.2)
    drill = drill_spot(server, runs)
    assert drill.returncode == 0, drill.stderr
    for job in (runs, waits):
        done = ended(aws, job)
        assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    text = [line for lines_ in lines(aws, runs).values() for line in lines_]
    assert sorted(line for line in text if "begins at" in line) == ["begins at step 0", "begins at step 7"]
    text = [line for lines_ in lines(aws, waits).values() for line in lines_]
    assert len([line for line in text if "the sum is" in line]) == 3
    wait_for(lambda: not cluster.jobs(), 60, "the end of the Slurm jobs", 0.2)
