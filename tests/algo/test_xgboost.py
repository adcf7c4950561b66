"""The built-in XGBoost as a container: trained and asked beside the xgboost Python package on the same data."""
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("SAGEBRUSH_XGBOOST", TOP + "/build/src/algo/sagebrush-xgboost")
SETS = {
    "breast_cancer": {"objective": "binary:logistic", "eval_metric": "logloss,auc,error,aucpr"},
    "diabetes": {"objective": "reg:squarederror", "eval_metric": "rmse,mae,mape"},
    "wine": {"objective": "multi:softprob", "num_class": "3", "eval_metric": "mlogloss,merror"},
    "iris": {"objective": "multi:softmax", "num_class": "3", "eval_metric": "mlogloss,merror"},
}


def reference(do, **arguments):
    done = subprocess.run(["/usr/bin/python3", os.path.dirname(__file__) + "/reference.py"], text=True,
                          capture_output=True, input=json.dumps({"do": do, **arguments}))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Folder of each data set, with train.csv and validation.csv."""
    folders = {}
    for name in SETS:
        folders[name] = str(tmp_path_factory.mktemp(name))
        reference("dataset", name=name, folder=folders[name])
    return folders


class Job:
    def __init__(self, base, hp, train, validation=None, content_type="text/csv", checkpoints=False):
        self.base = str(base)
        self.model = self.base + "/model/xgboost-model"
        config = self.base + "/input/config"
        os.makedirs(config, exist_ok=True)
        channels = {}
        for name, files in (("train", train), ("validation", validation)):
            if files is None:
                continue
            folder = f"{self.base}/input/data/{name}"
            os.makedirs(folder, exist_ok=True)
            for i, f in enumerate(files if isinstance(files, list) else [files]):
                os.symlink(f, f"{folder}/{i}-{os.path.basename(f)}")
            channels[name] = {"ContentType": content_type, "TrainingInputMode": "File", "RecordWrapperType": "None",
                              "S3DistributionType": "FullyReplicated"}
        documents = {"hyperparameters": hp, "inputdataconfig": channels,
                     "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]}}
        if checkpoints:
            documents["checkpointconfig"] = {"LocalPath": "/opt/ml/checkpoints/", "S3Uri": "s3://b/c"}
        for name, document in documents.items():
            with open(f"{config}/{name}.json", "w") as f:
                json.dump(document, f)

    def start(self):
        return subprocess.Popen([PROGRAM, "train"], env={**os.environ, "SAGEMAKER_BASE_DIR": self.base}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self):
        child = self.start()
        self.log = child.communicate(timeout=60)[0]
        self.code = child.returncode
        return self

    def failure(self):
        with open(self.base + "/output/failure") as f:
            return f.read()

    def metrics(self):
        """Of the last iteration: {"train": {metric: value}, "validation": ...}"""
        line = [l for l in self.log.splitlines() if re.match(r"\[\d+\]\t", l)][-1]
        result = {}
        for part in line.split("\t")[1:]:
            name, value = part.rsplit(":", 1)
            result.setdefault(name.split("-")[0], {})[name.split("-", 1)[1]] = float(value)
        return result


class Server:
    def __init__(self, base, **environment):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(self.port),
                       **environment}
        self.child = subprocess.Popen([PROGRAM, "serve"], env=environment, stderr=subprocess.PIPE, text=True)
        self.log = ""
        while "serve.ready" not in self.log:
            line = self.child.stderr.readline()
            assert line, self.log
            self.log += line

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.child.send_signal(signal.SIGTERM)
        self.log += self.child.communicate(timeout=10)[1]
        assert self.child.returncode == 0, self.log

    def call(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("content-type")

    def invoke(self, body, content_type="text/csv", **headers):
        status, text, _ = self.call("POST", "/invocations", body, content_type=content_type, **headers)
        return status, text.decode() if headers.get("accept") != "application/x-recordio-protobuf" else text


def features(folder):
    """The validation rows as a request: without their labels."""
    with open(folder + "/validation.csv") as f:
        return "\n".join(line.rstrip("\n").split(",", 1)[1] for line in f)


def close(mine, theirs, tolerance=1e-6):
    if isinstance(theirs, list):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs):
            close(a, b, tolerance)
    else:
        assert abs(mine - theirs) <= tolerance * max(1, abs(theirs)), (mine, theirs)


@pytest.mark.parametrize("name", SETS)
def test_metrics_and_models_are_those_of_the_python_package(data, tmp_path, name):
    hp = {"num_round": "15", "max_depth": "4", "tree_method": "exact", "nthread": "1", "seed": "5", **SETS[name]}
    theirs = reference("train", folder=data[name], hyperparameters=hp)
    mixed = dict(hp, eval_metric=",".join([hp["eval_metric"], *theirs["ours"]]))
    job = Job(tmp_path, mixed, data[name] + "/train.csv", data[name] + "/validation.csv").run()
    assert job.code == 0, job.log
    mine = job.metrics()
    for part in ("train", "validation"):
        for metric, value in theirs["metrics"][part].items():
            assert abs(mine[part][metric] - value) < 1e-5, (part, metric)
    for metric, value in theirs["ours"].items():
        assert abs(mine["validation"][metric] - value) < 1e-5 * max(1, value / 100), metric
    opened = reference("predict", model=job.model, csv=data[name] + "/validation.csv")
    assert opened["rounds"] == 15
    close(opened["predictions"], theirs["predictions"], 0)

    with Server(tmp_path) as server:
        status, text = server.invoke(features(data[name]), accept="application/json")
        assert status == 200, text
        close([p["score"] for p in json.loads(text)["predictions"]], theirs["predictions"])
        assert "predictor=native" in server.log


@pytest.mark.parametrize("booster,file,native", [
    ("gbtree", "model.json", True), ("gbtree", "model.ubj", True), ("gbtree", "xgboost-model", True),
    ("dart", "model.json", False), ("gblinear", "xgboost-model.json", False)])
def test_models_of_the_python_package_are_served(data, tmp_path, booster, file, native):
    os.makedirs(tmp_path / "model")
    hp = {"num_round": "8", "booster": booster, **SETS["diabetes"]}
    theirs = reference("train", folder=data["diabetes"], hyperparameters=hp, save=f"{tmp_path}/model/{file}")
    with Server(tmp_path) as server:
        assert ("predictor=native" in server.log) == native, server.log
        status, text = server.invoke(features(data["diabetes"]))
        assert status == 200
        close([float(v) for v in text.split(",")], theirs["predictions"], 1e-5)


def test_the_same_data_in_other_formats_gives_the_same_model(data, tmp_path):
    hp = {"num_round": "5", "tree_method": "exact", "nthread": "1", **SETS["breast_cancer"]}
    folder = data["breast_cancer"]
    lines = {"csv": Job(tmp_path / "csv", hp, folder + "/train.csv").run().log}
    with open(folder + "/train.csv") as f, open(tmp_path / "a.libsvm", "w") as a, \
            open(tmp_path / "b.libsvm", "w") as b, open(tmp_path / "semicolon.csv", "w") as s:
        for i, line in enumerate(f):
            label, *row = line.rstrip("\n").split(",")
            (a if i < 200 else b).write(" ".join([label] + [f"{k}:{v}" for k, v in enumerate(row) if v]) + "\n")
            s.write(line.replace(",", ";"))
    reference("recordio", csv=folder + "/train.csv", out=f"{tmp_path}/dense.pb", sparse=False)
    reference("recordio", csv=folder + "/train.csv", out=f"{tmp_path}/sparse.pb", sparse=True)
    for name, files, content_type in (
            ("libsvm", [f"{tmp_path}/a.libsvm", f"{tmp_path}/b.libsvm"], "text/libsvm"),
            ("dense", f"{tmp_path}/dense.pb", "application/x-recordio-protobuf"),
            ("sparse", f"{tmp_path}/sparse.pb", "application/x-recordio-protobuf"),
            ("semicolon", f"{tmp_path}/semicolon.csv", "text/csv;label_size=1")):
        lines[name] = Job(tmp_path / name, hp, files, content_type=content_type).run().log
    wanted = [l for l in lines["csv"].splitlines() if l.startswith("[") and "\t" in l]
    assert len(wanted) == 5
    for name, log in lines.items():
        assert [l for l in log.splitlines() if l.startswith("[") and "\t" in l] == wanted, (name, log)


def test_early_stopping_keeps_the_best_model(data, tmp_path):
    hp = {"num_round": "300", "early_stopping_rounds": "4", **SETS["diabetes"], "eval_metric": "rmse"}
    job = Job(tmp_path, hp, data["diabetes"] + "/train.csv", data["diabetes"] + "/validation.csv").run()
    assert job.code == 0, job.log
    curve = [float(l.split("validation-rmse:")[1]) for l in job.log.splitlines() if "validation-rmse:" in l]
    best = curve.index(min(curve))
    assert len(curve) == best + 5 < 300
    assert reference("predict", model=job.model, csv=data["diabetes"] + "/validation.csv")["rounds"] == best + 1


def test_cross_validation_leaves_an_ensemble(data, tmp_path):
    hp = {"num_round": "4", "_kfold": "3", "_num_cv_round": "2", **SETS["breast_cancer"]}
    folder = data["breast_cancer"]
    job = Job(tmp_path, hp, folder + "/train.csv", folder + "/validation.csv").run()
    assert job.code == 0, job.log
    models = sorted(os.listdir(tmp_path / "model"))
    assert models == [f"xgboost-model-{i}" for i in range(6)]
    assert "The overall metrics of 2-round cross validation" in job.log
    with open(tmp_path / "output/data/predictions.csv") as f:
        rows = [[float(v) for v in line.split(",")] for line in f]
    assert len(rows) == 569 and sum(r[0] == r[2] for r in rows) / 569 > 0.9
    each = [reference("predict", model=f"{tmp_path}/model/{m}", csv=folder + "/validation.csv")["predictions"]
            for m in models]
    with Server(tmp_path) as server:
        mine = [float(v) for v in server.invoke(features(folder))[1].split(",")]
        close(mine, [sum(column) / 6 for column in zip(*each)])
    with Server(tmp_path, SAGEMAKER_INFERENCE_ENSEMBLE="false") as server:
        close([float(v) for v in server.invoke(features(folder))[1].split(",")], each[0])


def test_a_killed_job_goes_on_from_its_checkpoint(data, tmp_path):
    hp = {"num_round": "400", "tree_method": "exact", "nthread": "1", **SETS["breast_cancer"]}
    folder = data["breast_cancer"]
    whole = Job(tmp_path / "whole", hp, folder + "/train.csv").run()
    job = Job(tmp_path / "cut", hp, folder + "/train.csv", checkpoints=True)
    child = job.start()
    while not child.stdout.readline().startswith("[20]"):
        pass
    child.kill()
    child.communicate()
    kept = sorted(int(n.split(".")[1]) for n in os.listdir(tmp_path / "cut/checkpoints") if not n.endswith("ignore"))
    assert 5 <= len(kept) <= 6 and kept[-1] >= 20
    assert job.run().code == 0
    first = int(re.search(r"^\[(\d+)\]\t", job.log, re.M).group(1))
    assert first == kept[-1] + 1
    assert job.log.splitlines()[-2] == whole.log.splitlines()[-2]
    assert len(os.listdir(tmp_path / "cut/checkpoints")) == 5


def test_stopping_saves_the_model_when_asked_to(data, tmp_path):
    hp = {"num_round": "100000", "save_model_on_termination": "true", **SETS["breast_cancer"]}
    job = Job(tmp_path, hp, data["breast_cancer"] + "/train.csv")
    child = job.start()
    while not child.stdout.readline().startswith("[9]"):
        pass
    child.terminate()
    child.communicate(timeout=20)
    assert child.returncode == 0
    assert reference("predict", model=job.model, csv=data["breast_cancer"] + "/train.csv")["rounds"] >= 10


@pytest.mark.parametrize("change,said", [
    ({"num_round": None}, "ClientError: Missing required hyperparameter: num_round"),
    ({"objective": "multi:softmax"}, "ClientError: Require input for parameter 'num_class' for multi-classification"),
    ({"objective": "multi:softprob", "num_class": "2", "eval_metric": "f1_binary"}, None),
    ({"scale": "1"}, "ClientError: Extraneous hyperparameter found: scale"),
    ({"base_score": "1.5", "objective": "binary:logistic"}, "base_score must be in (0,1) for logistic loss"),
])
def test_a_users_fault_is_told(data, tmp_path, change, said):
    hp = {"num_round": "3", "objective": "reg:squarederror", **change}
    hp = {k: v for k, v in hp.items() if v is not None}
    job = Job(tmp_path, hp, data["breast_cancer"] + "/train.csv").run()
    if said is None:
        assert job.code == 0, job.log
        return
    assert job.code == 1
    assert job.failure().startswith("ClientError: ") and said in job.failure()
    assert not os.path.exists(job.model)


def test_faults_in_the_data_are_told(data, tmp_path):
    with open(data["diabetes"] + "/train.csv") as f:
        text = f.read()
    cases = {
        "header": ("y,a,b\n" + text, "text/csv", "CSV format require no header line in it"),
        "labels": (text, "text/csv", "label must be in [0,1] for logistic regression"),
        "short": (text + "1,2\n", "text/csv", "has 2 columns, the first line has 11"),
        "form": (text, None, "is not 'LIBSVM' format"),
        "empty": ("", "text/csv", "No data in training channel path"),
        "parquet": (text, "application/x-parquet", "Parquet files cannot be read"),
        "type": (text, "image/png", "image/png is not an accepted ContentType: csv, libsvm"),
        "gzip": (gzip.compress(text.encode()), "text/csv", "gzip.csv' of the train channel is no text but a gzip file"),
        "binary": (b"1,2,\xff\x00\x81", "text/csv", "the channel has csv: lines of numbers with commas between them"),
        "recordio": (text, "application/x-recordio-protobuf", "does not start with the RecordIO magic number"),
    }
    for name, (content, content_type, said) in cases.items():
        file = tmp_path / (name + ".csv")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        job = Job(tmp_path / name, {"num_round": "2", "objective": "binary:logistic"}, str(file),
                  content_type=content_type or "text/libsvm").run()
        assert job.code == 1, name
        assert job.failure().startswith("ClientError: ") and said in job.failure(), (name, job.failure())


@pytest.fixture(scope="session")
def classifier(data, tmp_path_factory):
    base = tmp_path_factory.mktemp("classifier")
    assert Job(base, {"num_round": "5", **SETS["breast_cancer"]}, data["breast_cancer"] + "/train.csv").run().code == 0
    return base


def test_the_server_keeps_the_contract(data, classifier):
    row = features(data["breast_cancer"]).splitlines()[3]
    sparse = " ".join(f"{i}:{v}" for i, v in enumerate(row.split(",")) if v)
    listed = ",".join(v or "null" for v in row.split(","))
    with Server(classifier, MAX_CONTENT_LENGTH=str(1 << 20)) as server:
        assert server.call("GET", "/ping")[:2] == (200, b"")
        status, text, content_type = server.call("GET", "/execution-parameters")
        assert content_type == "application/json"
        assert json.loads(text)["BatchStrategy"] == "MULTI_RECORD" and json.loads(text)["MaxPayloadInMB"] == 1
        assert server.call("GET", "/other")[0] == 404
        assert server.call("GET", "/invocations")[0] == 405
        score = server.invoke(row)[1]
        assert server.call("POST", "/invocations", row)[2] == "text/csv; charset=utf-8"  # no content type is CSV
        for body, content_type in (
                (row + "\n", "text/csv; charset=utf-8"), (row.replace(",", ";"), "text/csv"), (sparse, "text/libsvm"),
                ("1 " + sparse, "text/x-libsvm"), (f'{{"instances":[{{"features":[{listed}]}}]}}', "application/json"),
                (f"[{listed}]", "application/json"), (f"[[{listed}]]", "application/json"),
                (f'{{"features":[{listed}]}}\n', "application/jsonlines")):
            assert server.invoke(body, content_type) == (200, score), content_type
        assert server.invoke(f"{row}\n{row}") == (200, f"{score},{score}")
        assert server.invoke(row, accept="application/json") == (200, '{"predictions": [{"score": %s}]}' % score)
        assert server.invoke(row, accept="application/jsonlines; verbose=true") == (200, '{"score": %s}\n' % score)
        assert server.invoke(row, accept="*/*") == (200, score)
        assert server.invoke(row, accept="application/x-recordio-protobuf")[1][:4] == bytes.fromhex("0a23d7ce")
        assert server.invoke("")[0] == 204
        status, text = server.invoke("1,2,3")
        assert status == 400 and text == (
            "Unable to evaluate payload provided: Feature size of csv inference data 3 is not consistent with feature "
            "size of trained model 30.")
        assert server.invoke("90:1", "text/libsvm")[0] == 400
        assert server.invoke(row, "image/png")[0] == 415
        assert server.invoke("a,b,c")[0] == 415
        assert server.invoke("{", "application/json")[0] == 415
        assert server.invoke(row, accept="text/xml")[0] == 406
        assert server.invoke("1," * (1 << 20))[0] == 413
        large = "\n".join([row] * 2000)
        assert server.invoke(large) == (200, ",".join([score] * 2000))
        assert server.call("GET", "/ping")[0] == 200


@pytest.mark.parametrize("environment,accept,expected", [
    ({"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probability"}, None, "{l},{p}"),
    ({"SAGEMAKER_INFERENCE_OUTPUT": "Probabilities, labels"}, None, '"[{q}, {p}]","[0, 1]"'),
    ({"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label"}, "application/json",
     '{{"predictions": [{{"predicted_label": {l}}}]}}'),
    ({"SAGEMAKER_INFERENCE_OUTPUT": "raw_scores,predicted_score,predicted_label"}, "application/jsonlines",
     '{{"predicted_label": {l}, "raw_scores": [{q}, {p}], "predicted_score": NaN}}\n'),
    ({"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json"}, None, '{{"predictions": [{{"score": {p}}}]}}'),
    ({"SAGEMAKER_BATCH": "1"}, None, "{p}\n"),
    ({"SAGEMAKER_BATCH": "1", "SAGEMAKER_INFERENCE_OUTPUT": "raw_score"}, None, "{p}\n"),
])
def test_selectable_output(data, classifier, environment, accept, expected):
    row = features(data["breast_cancer"]).splitlines()[3]
    with Server(classifier) as server:
        p = server.invoke(row)[1]
    with Server(classifier, **environment) as server:
        headers = {"accept": accept} if accept else {}
        wanted = expected.format(p=p, q=repr(1.0 - float(p)), l=int(float(p) > 0.5))
        assert server.invoke(row, **headers) == (200, wanted)


def test_a_server_without_a_model_says_so(tmp_path):
    os.makedirs(tmp_path / "model")
    done = subprocess.run([PROGRAM, "serve"], env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)}, text=True,
                          capture_output=True, timeout=20)
    assert done.returncode == 1 and "Unable to load model: there is no file in" in done.stderr
    (tmp_path / "model/xgboost-model").write_text("no model")
    done = subprocess.run([PROGRAM, "serve"], env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)}, text=True,
                          capture_output=True, timeout=20)
    assert done.returncode == 1 and "cannot be loaded" in done.stderr


def was_read(connection):
    """Has the other side, on this machine, taken from its socket all that was sent?"""
    own = "0100007F:%04X" % connection.getsockname()[1]
    for line in open("/proc/net/tcp"):
        words = line.split()
        if words[2] == own and words[3] == "01":
            return words[4].endswith(":00000000")
    return False


def test_sigterm_answers_what_has_begun(data, classifier):
    row = features(data["breast_cancer"]).splitlines()[0]
    server = Server(classifier, SAGEMAKER_NUM_MODEL_WORKERS="1")
    connection = socket.create_connection(("127.0.0.1", server.port))
    body = "\n".join([row] * 20).encode()
    connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:10])
    while not was_read(connection):
        time.sleep(0.01)
    server.child.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    connection.sendall(body[10:])
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert server.child.wait(timeout=10) == 0
