"""The SageMaker Python SDK v2, unchanged: estimators, script mode, predictors; nothing here says that it is not AWS."""
import io
import pathlib

import numpy
import pytest

sagemaker = pytest.importorskip("sagemaker")

SCRIPTS = str(pathlib.Path(__file__).parent / "scripts")


def csv_of(rows):
    out = io.StringIO()
    numpy.savetxt(out, rows, delimiter=",", fmt="%g")
    return out.getvalue()


@pytest.fixture(scope="module")
def cancer():
    """The Wisconsin breast cancer data that scikit-learn ships; label first, a fifth held out."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    rows = numpy.column_stack([y, x])
    order = numpy.random.default_rng(7).permutation(len(rows))
    return rows[order[:455]], rows[order[455:]]


def test_role_and_bucket(session):
    role = sagemaker.get_execution_role(session)
    assert role.endswith(":role/SagebrushExecutionRole")
    assert session.default_bucket() == f"sagemaker-{session.boto_region_name}-{session.account_id()}"


def test_xgboost_estimator(session, cancer, capsys):
    train, held_out = cancer
    role = sagemaker.get_execution_role(session)
    source = session.upload_string_as_file_body(csv_of(train), session.default_bucket(), "cancer/train.csv")
    image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1")
    estimator = sagemaker.estimator.Estimator(
        image, role, instance_count=1, instance_type="ml.m5.xlarge", sagemaker_session=session,
        hyperparameters={"objective": "binary:logistic", "num_round": 20, "eval_metric": "auc"})
    estimator.fit({"train": sagemaker.inputs.TrainingInput(source, content_type="text/csv")})
    out = capsys.readouterr().out
    assert "train-auc" in out, "the logs came through"
    assert "Billable seconds" in out
    attached = sagemaker.estimator.Estimator.attach(estimator.latest_training_job.name, sagemaker_session=session)
    assert attached.model_data == estimator.model_data and attached.hyperparameters()["num_round"] == "20"
    curve = estimator.training_job_analytics.dataframe()
    assert set(curve["metric_name"]) == {"train:auc"} and all(0.5 < v <= 1 for v in curve["value"])
    predictor = estimator.deploy(1, "ml.m5.large", serializer=sagemaker.serializers.CSVSerializer(),
                                 deserializer=sagemaker.deserializers.CSVDeserializer())
    try:
        rows = predictor.predict(held_out[:, 1:])
        scores = numpy.array([float(v) for row in rows for v in row])
        assert scores.shape == (len(held_out),)
        assert numpy.mean((scores > 0.5) == held_out[:, 0]) > 0.9
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()


@pytest.mark.parametrize("framework", ["sklearn", "pytorch"])
def test_script_mode(session, cancer, framework, capsys):
    train, held_out = cancer
    role = sagemaker.get_execution_role(session)
    source = session.upload_string_as_file_body(csv_of(train), session.default_bucket(), f"cancer/{framework}.csv")
    common = dict(source_dir=SCRIPTS, role=role, instance_count=1, instance_type="ml.m5.large",
                  sagemaker_session=session, hyperparameters={"rounds": 40, "note": "two words"})
    if framework == "sklearn":
        from sagemaker.sklearn import SKLearn
        estimator = SKLearn(entry_point="train_sklearn.py", framework_version="1.2-1", py_version="py3", **common)
    else:
        from sagemaker.pytorch import PyTorch
        estimator = PyTorch(entry_point="train_pytorch.py", framework_version="1.13", py_version="py39", **common)
    estimator.fit({"train": source})
    assert "rounds=40 note=two words" in capsys.readouterr().out
    predictor = estimator.deploy(1, "ml.m5.large")
    try:
        scores = numpy.asarray(predictor.predict(held_out[:, 1:].astype("float32"))).ravel()
        assert numpy.mean((scores > 0.5) == held_out[:, 0]) > 0.85
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()


def test_a_script_that_exits_1_is_the_reason(session):
    from sagemaker.sklearn import SKLearn

    estimator = SKLearn(entry_point="fail.py", source_dir=SCRIPTS, role=sagemaker.get_execution_role(session),
                        instance_type="ml.m5.large", framework_version="1.2-1", sagemaker_session=session)
    with pytest.raises(sagemaker.exceptions.UnexpectedStatusException) as e:
        estimator.fit(logs=False)
    assert "ExecuteUserScriptError" in str(e.value)
    assert "the reason is written here" in str(e.value)


def test_a_script_imports_what_it_has_just_installed(session, capsys):
    from sagemaker.sklearn import SKLearn

    SKLearn(entry_point="install_and_import.py", source_dir=SCRIPTS, role=sagemaker.get_execution_role(session),
            instance_type="ml.m5.large", framework_version="1.2-1", sagemaker_session=session).fit()
    assert "installed while the script runs" in capsys.readouterr().out


@pytest.mark.parametrize("code, folder", [(0, "/opt/ml/output/tensorboard"), (1, "/opt/ml/output/tb/logs")])
def test_tensorboard_logs_reach_s3_however_the_job_ends(session, aws, code, folder):
    from sagemaker.debugger import TensorBoardOutputConfig
    from sagemaker.sklearn import SKLearn

    bucket = session.default_bucket()
    estimator = SKLearn(
        entry_point="write_tensorboard.py", source_dir=SCRIPTS, role=sagemaker.get_execution_role(session),
        instance_type="ml.m5.large", framework_version="1.2-1", sagemaker_session=session,
        hyperparameters={"code": code},
        tensorboard_output_config=TensorBoardOutputConfig(f"s3://{bucket}/tb", container_local_output_path=folder))
    try:
        estimator.fit(logs="None")
    except sagemaker.exceptions.UnexpectedStatusException:
        assert code
    at = estimator.latest_job_tensorboard_artifacts_path().removeprefix(f"s3://{bucket}/")
    body = aws("s3").get_object(Bucket=bucket, Key=f"{at}/train/events.out.tfevents.1")["Body"].read()
    assert body.decode() == "losses in " + folder


def test_a_shell_script_that_was_not_made_executable(session, capsys):
    from sagemaker.sklearn import SKLearn

    SKLearn(entry_point="say.sh", source_dir=SCRIPTS, role=sagemaker.get_execution_role(session),
            instance_type="ml.m5.large",
            framework_version="1.2-1", sagemaker_session=session, hyperparameters={"word": "two words"}).fit()
    assert "said two words: --word two words" in capsys.readouterr().out
