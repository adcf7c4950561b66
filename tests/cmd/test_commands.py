import json
import shutil
import subprocess

import pytest
from conftest import ROOT, SAGEBRUSH


def shell(place, exports, script, program='sh'):
    return subprocess.run([program, '-c', exports + '\n' + script], capture_output=True, text=True, check=True,
                          env={'PATH': '/usr/bin:/bin', 'AWS_PROFILE': 'theirs', 'AWS_SESSION_TOKEN': 'old'}).stdout


def test_env_is_taken_by_a_shell(place):
    place.up()
    text = place.run('env').stdout
    assert shell(place, text, 'echo $AWS_ENDPOINT_URL').strip() == f'http://127.0.0.1:{place.port}'
    assert shell(place, text, 'echo "[$AWS_PROFILE$AWS_SESSION_TOKEN]"').strip() == '[]'
    key = json.loads((place.data / 'secrets/root-key.json').read_text())
    assert shell(place, text, 'printf %s "$AWS_SECRET_ACCESS_KEY"') == key['secret_access_key']
    assert shell(place, text, 'printf %s "$SAGEBRUSH_DATA"') == str(place.data)
    as_json = json.loads(place.run('env', '--format', 'json').stdout)
    assert as_json['AWS_ACCESS_KEY_ID'] == key['access_key_id'] and as_json['AWS_REGION'] == 'us-east-1'
    assert f"set -gx AWS_REGION 'us-east-1'\n" in place.run('env', '--format=fish').stdout
    assert place.run('env', '--format', 'tcsh', check=False).returncode == 2


PROBE = '''
import boto3
seen = []
def stop(request, **_):
    seen.append(request.url)
    raise SystemError
session = boto3.session.Session()
for service, operation, region, more in [
        ('sagemaker', 'list_models', None, {}), ('sagemaker', 'list_models', 'eu-west-3', {}),
        ('sagemaker-runtime', 'invoke_endpoint', None, {'EndpointName': 'e', 'Body': b'x'}),
        ('sts', 'get_caller_identity', None, {}), ('iam', 'list_users', 'eu-central-1', {}),
        ('logs', 'describe_log_groups', None, {}), ('cloudwatch', 'list_metrics', None, {}),
        ('s3', 'list_buckets', None, {}), ('s3', 'get_object', None, {'Bucket': 'my-bucket', 'Key': 'a/b'}),
        ('s3', 'get_object', 'eu-central-1', {'Bucket': 'my.dotted.bucket', 'Key': 'k'})]:
    client = session.client(service, **({'region_name': region} if region else {}))
    client.meta.events.register_first('before-send.*.*', stop)
    try:
        getattr(client, operation)(**more)
    except SystemError:
        pass
seen.append(session.client('s3').generate_presigned_url('get_object', Params={'Bucket': 'b-b', 'Key': 'k'}))
# What the SageMaker SDK does to find STS.
import botocore.loaders, botocore.regions
resolver = botocore.regions.EndpointResolver(botocore.loaders.create_loader().load_data('endpoints'))
seen.append('https://' + resolver.construct_endpoint('sts', 'us-east-1')['hostname'])
print('\\n'.join(seen))
assert resolver.construct_endpoint('ecr', 'eu-west-1')['hostname'] == 'ecr.eu-west-1.amazonaws.com'  # in image URIs
'''


@pytest.mark.parametrize('python', [str(ROOT / '.venv/bin/python3'), '/usr/bin/python3'])
def test_every_url_of_boto3_is_ours(place, python):
    place.up()
    environment = json.loads(place.run('env', '--format', 'json').stdout)
    done = subprocess.run([python, '-c', PROBE], capture_output=True, text=True,
                          env={'PATH': '/usr/bin:/bin', 'HOME': str(place.folder), **environment})
    assert done.returncode == 0, done.stderr
    urls = done.stdout.split()
    assert len(urls) == 12
    for url in urls:
        assert url.split('://')[1].split('/')[0].split('?')[0] == f'127.0.0.1:{place.port}', url


USAGE_PROBE = '''
import types
from sagemaker.telemetry import telemetry_logging
from sagemaker.telemetry.constants import Feature
sent = []
telemetry_logging._send_telemetry_request = lambda *words: sent.append(words)

class Trainer:
    sagemaker_session = types.SimpleNamespace()  # as ModelTrainer's: without a configuration

    @telemetry_logging._telemetry_emitter(feature=Feature.MODEL_TRAINER_V2, func_name="train")
    def train(self):
        return "trained"

print(Trainer().train(), len(sent))
'''


def test_no_client_sends_usage_data(place):
    place.up()
    environment = json.loads(place.run('env', '--format', 'json').stdout)
    done = subprocess.run([str(ROOT / '.venv/bin/python3'), '-c', USAGE_PROBE], capture_output=True, text=True,
                          env={'PATH': '/usr/bin:/bin', 'HOME': str(place.folder), **environment})
    assert done.stdout.split('\n')[-2] == 'trained 0', done.stdout + done.stderr


def test_pythonpath_is_kept_and_the_machines_sitecustomize_runs(place):
    place.up()
    text = place.run('env').stdout
    ours = f'{place.data}/client/python'
    assert shell(place, text, 'echo $PYTHONPATH').strip() == ours
    assert shell(place, 'export PYTHONPATH=/a:/b\n' + text + text, 'echo $PYTHONPATH').strip() == f'{ours}:/a:/b'
    other = place.folder / 'other'
    other.mkdir()
    (other / 'sitecustomize.py').write_text('print("the other one")\n')
    said = shell(place, f'export PYTHONPATH={other}\n' + text, '/usr/bin/python3 -c "print(1)"')
    assert said == 'the other one\n1\n'
    # A shell that has had the environment of two servers.
    second = place.folder / 'second'
    shutil.copytree(ours, second)
    said = shell(place, f'export PYTHONPATH={second}:{other}\n' + text, '/usr/bin/python3 -c "print(1)" 2>&1')
    assert said == 'the other one\n1\n'


def test_every_url_of_the_aws_cli_is_ours(place):
    place.up()
    environment = json.loads(place.run('env', '--format', 'json').stdout)
    place.run('down')
    for words in ('sagemaker list-models', 's3 ls s3://my-bucket/a', 'sts get-caller-identity', 'iam list-users'):
        done = subprocess.run(['/usr/bin/aws', *words.split()], capture_output=True, text=True,
                              env={'PATH': '/usr/bin:/bin', 'HOME': str(place.folder), 'AWS_MAX_ATTEMPTS': '1',
                                   **environment})
        assert f'https://127.0.0.1:{place.port}/' in done.stderr, done.stderr


def test_operations_are_counted():
    done = subprocess.run([SAGEBRUSH, 'operations'], capture_output=True, text=True, check=True).stdout.split('\n')
    rows = [line.split() for line in done if line]
    assert rows[-1][0] == 'all' and int(rows[-1][1]) == sum(int(r[1]) for r in rows[:-1])
    runtime = next(r for r in rows if r[0] == 'sagemaker-runtime')
    listed = subprocess.run([SAGEBRUSH, 'operations', '--list', 'sagemaker-runtime'], capture_output=True,
                            text=True).stdout
    assert 'sagemaker-runtime InvokeEndpoint\n' in listed and len(listed.split('\n')) - 1 == int(runtime[1])


@pytest.mark.parametrize('command',
                         ['up', 'down', 'restart', 'status', 'env', 'keys', 'images', 'operations',
                          'reset', 'backup', 'restore'])
def test_every_command_has_a_page(command):
    done = subprocess.run([SAGEBRUSH, command, '--help'], capture_output=True, text=True)
    assert done.returncode == 0 and 'DESCRIPTION' in done.stdout and max(map(len, done.stdout.split('\n'))) <= 120


def test_wrong_words_are_told(place):
    for words, text in [(['up', '--port', 'http'], 'port = http: the value has to be a number from 1 to 65535'),
                        (['up', '--nope'], 'up has no option --nope;'),
                        (['up', '--account'], '--account needs a value'),
                        (['up', '--dameon'], 'up has no option --dameon (did you mean --daemon?);'),
                        (['keys', 'forget'], 'usage: sagebrush keys'), (['up', 'now'], 'usage: sagebrush up')]:
        done = subprocess.run([SAGEBRUSH, *words], capture_output=True, text=True)
        assert done.returncode == 2 and text in done.stderr, (words, done.stderr)
    assert 'is no data directory' in (said := place.run('env', check=False).stderr) and 'SAGEBRUSH_DATA' in said


def test_configuration_file(place):
    file = place.folder / 'sagebrush.conf'
    file.write_text('# ours\nregion = eu-central-1\n\n  disk-reserve = 2M\nnames = box.example, 10.1.2.3\n')
    place.up('--config', str(file))
    config = json.loads((place.data / 'config').read_text())
    assert (config['region'], config['disk_reserve_bytes']) == ('eu-central-1', 2 << 20)
    certificate = subprocess.run(['openssl', 'x509', '-noout', '-ext', 'subjectAltName', '-in',
                                  place.data / 'secrets/server.pem'], capture_output=True, text=True).stdout
    assert 'DNS:box.example' in certificate and 'IP Address:10.1.2.3' in certificate
    place.run('down')
    file.write_text('region = eu-central-1\nport\n')
    assert 'line 2' in place.up('--config', str(file), check=False).stderr
    file.write_text('prot = 8443\n')
    assert 'there is no setting prot (did you mean port?);' in place.up('--config', str(file), check=False).stderr
    gone = place.up('--config', '/no/such.conf', check=False).stderr
    assert 'the configuration file cannot be read: open /no/such.conf: No such file or directory' in gone
    assert 'belongs to account 111122223333' in place.up('--account', '999999999999', check=False).stderr


def test_reset_keeps_keys_and_asks(place):
    place.up()
    key = (place.data / 'secrets/root-key.json').read_text()
    (place.data / 'blobs/x').write_text('body')
    assert 'in use by process' in place.run('reset', '--yes', check=False).stderr
    place.run('down')
    assert 'say --yes' in place.run('reset', check=False).stderr and (place.data / 'blobs/x').exists()
    place.run('reset', '--yes')
    assert not (place.data / 'blobs').exists() and (place.data / 'secrets/root-key.json').read_text() == key
    place.up()
    assert place.status()['healthy']


def test_images_are_listed_and_typos_told(place):
    place.up()
    (place.data / 'images/archives').mkdir(parents=True, exist_ok=True)
    (place.data / 'images/archives/mine.tar').write_text('')
    text = place.run('images').stdout
    assert 'sagemaker-xgboost:* ' in text and 'oci-archive:mine.tar ' in text
    assert {'name': 'xgboost', 'kind': 'built-in',
            'about': 'the built-in XGBoost'} in json.loads(place.run('images', '--json').stdout)['images']
    assert 'did you mean images?' in place.run('image', check=False).stderr
