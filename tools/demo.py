"""demo.py - the main job, as a program written for SageMaker does it: nothing in here knows of Sagebrush. It is run in
a shell after `eval "$(sagebrush env)"`."""
import csv
import logging
import os
import pathlib
import statistics
import sys
import time

sagebrush = sys.argv[1]  # to tell how to go on
logging.getLogger('sagemaker.config').setLevel(logging.WARNING)
logging.getLogger('sagemaker').setLevel(logging.WARNING)

import boto3  # noqa: E402
import numpy  # noqa: E402
import sagemaker  # noqa: E402
from sagemaker.deserializers import CSVDeserializer  # noqa: E402
from sagemaker.serializers import CSVSerializer  # noqa: E402
from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.metrics import accuracy_score, roc_auc_score  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

INSTANCE = 'ml.m5.large'
ROOT = pathlib.Path(__file__).resolve().parents[1]


def say(text=''):
    print(text, flush=True)


def price_hour():
    rows = (line for line in open(ROOT / 'model/catalog/types.csv') if not line.startswith('#'))
    return next(float(row['ml_usd_hour']) for row in csv.DictReader(rows) if 'ml.' + row['type'] == INSTANCE)


def watch(describe, statuses, done):
    """Prints each status when it is seen, with the seconds since the first look; returns the last description."""
    started, seen = time.monotonic(), []
    while True:
        answer = describe()
        for status, message in statuses(answer):
            if (status, message) not in seen:
                say(f'  {time.monotonic() - started:6.2f} s  {status:<12} {message}')
                seen.append((status, message))
        if done(answer):
            return answer
        time.sleep(0.02)


def main():
    session = sagemaker.Session()
    client = boto3.client('sagemaker')
    role = sagemaker.get_execution_role()
    bucket = session.default_bucket()
    say(f'\nSageMaker SDK {sagemaker.__version__}, boto3 {boto3.__version__}, against {os.environ["AWS_ENDPOINT_URL"]}')
    say(f'role {role}, bucket {bucket}')

    everything = load_breast_cancer()
    train_x, test_x, train_y, test_y = train_test_split(everything.data, everything.target, test_size=0.25,
                                                        random_state=7, stratify=everything.target)
    train_x, check_x, train_y, check_y = train_test_split(train_x, train_y, test_size=0.2, random_state=7)
    say(f'\nWisconsin breast cancer: {len(train_x)} rows to train, {len(check_x)} to validate, {len(test_x)} held out')

    def upload(name, x, y):
        text = '\n'.join(','.join(map(str, row)) for row in numpy.column_stack([y, x])) + '\n'
        return session.upload_string_as_file_body(text, bucket, f'demo/{name}/data.csv')

    channels = {name: sagemaker.inputs.TrainingInput(upload(name, x, y), content_type='text/csv')
                for name, x, y in (('train', train_x, train_y), ('validation', check_x, check_y))}

    image = sagemaker.image_uris.retrieve('xgboost', session.boto_region_name, '1.7-1')
    estimator = sagemaker.estimator.Estimator(
        image, role, instance_count=1, instance_type=INSTANCE, output_path=f's3://{bucket}/demo/output',
        sagemaker_session=session,
        hyperparameters={
            'objective': 'binary:logistic', 'eval_metric': 'auc', 'num_round': 60, 'max_depth': 4, 'eta': 0.2})
    say(f'\nTraining on one {INSTANCE}: {image}')
    estimator.fit(channels, wait=False)
    job = estimator.latest_training_job.name
    trained = watch(lambda: client.describe_training_job(TrainingJobName=job),
                    lambda d: [(t['Status'], t.get('StatusMessage', '')) for t in d['SecondaryStatusTransitions']],
                    lambda d: d['TrainingJobStatus'] in ('Completed', 'Failed', 'Stopped'))
    if trained['TrainingJobStatus'] != 'Completed':
        sys.exit(f'demo: the training job {job} ended as {trained["TrainingJobStatus"]}: '
                 f'{trained.get("FailureReason", "no reason was given")}')
    for metric in trained.get('FinalMetricDataList', []):
        say(f'           {metric["MetricName"]} = {metric["Value"]:.4f}')
    starts = {t['Status']: t['StartTime'] for t in trained['SecondaryStatusTransitions']}
    begun = starts.get('Training', trained['TrainingStartTime'])
    say(f'  the container was training {(begun - trained["CreationTime"]).total_seconds() * 1000:.0f} ms after '
        f'CreateTrainingJob; model: {trained["ModelArtifacts"]["S3ModelArtifacts"]}')

    say(f'\nDeploying to one {INSTANCE}')
    begun = time.monotonic()
    predictor = estimator.deploy(1, INSTANCE, wait=False, serializer=CSVSerializer(), deserializer=CSVDeserializer())
    name = predictor.endpoint_name
    deployed = watch(lambda: client.describe_endpoint(EndpointName=name), lambda d: [(d['EndpointStatus'], '')],
                     lambda d: d['EndpointStatus'] not in ('Creating', 'Updating'))
    if deployed['EndpointStatus'] != 'InService':
        sys.exit(f'demo: the endpoint {name} is {deployed["EndpointStatus"]}: '
                 f'{deployed.get("FailureReason", "no reason was given")}')
    took = (deployed['LastModifiedTime'] - deployed['CreationTime']).total_seconds()
    say(f'  in service {took * 1000:.0f} ms after CreateEndpoint')

    scores = [float(row[0]) for row in (predictor.predict(x) for x in test_x) for row in row]
    latencies = []
    for x in test_x:
        at = time.monotonic()
        predictor.predict(x)
        latencies.append((time.monotonic() - at) * 1000)
    accuracy = accuracy_score(test_y, [s > 0.5 for s in scores])
    say(f'\nHeld-out rows through the endpoint: accuracy {accuracy:.3f}, AUC {roc_auc_score(test_y, scores):.4f}, '
        f'{statistics.median(latencies):.1f} ms a call (median of {len(latencies)}, client and all)')

    seconds = time.monotonic() - begun
    training = trained['BillableTimeInSeconds'] * price_hour() / 3600
    serving = seconds * price_hour() / 3600
    say(f'On SageMaker this would have cost ${training:.5f} to train ({trained["BillableTimeInSeconds"]} s) and '
        f'${serving:.5f} to serve ({seconds:.1f} s), at ${price_hour()} an hour of {INSTANCE}.')

    model = client.describe_endpoint_config(EndpointConfigName=deployed['EndpointConfigName'])
    predictor.delete_endpoint()
    client.delete_model(ModelName=model['ProductionVariants'][0]['ModelName'])
    watch(lambda: client.list_endpoints(NameContains=name)['Endpoints'], lambda d: [], lambda d: not d)
    say('The endpoint is deleted.\n')
    say('The server goes on running. To use it, as root:')
    data = os.environ['SAGEBRUSH_DATA']
    more = '' if data == '/var/lib/sagebrush' else f' --data {data}'
    say(f'  eval "$({sagebrush} env{more})"     # this shell\'s aws, boto3 and SageMaker SDK talk to it')
    say('  aws sagemaker list-training-jobs')
    say(f'  {sagebrush} down{more}              # ends it')


if __name__ == '__main__':
    main()
