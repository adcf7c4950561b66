"""Processing jobs in real containers."""
import json
import time

import pytest

from conftest import needs_containers

pytestmark = needs_containers

CONFIG = {'ProcessingJobName': 'job', 'ProcessingJobArn': 'arn:aws:sagemaker:us-west-2:123456789012:processing-job/job'}


def place(name, uri, folder, **more):
    return {'name': name, 's3_uri': uri, 'local_path': f'/opt/ml/processing/{folder}', **more}


@pytest.fixture
def process(world):
    def make(script=None, **order):
        order = {'work': 'process', 'log_group': '/aws/sagemaker/ProcessingJobs', 'output_s3_uri': '',
                 'job_config': CONFIG,
                 'outputs': [place('out', 's3://out/job', 'output', upload_mode='EndOfJob')], **order}
        return world.train(script, **order)
    return make


def outputs(world):
    return {k: v for k, v in world.server.objects.items() if k.startswith('out/')}


def test_a_job_processes(world, process):
    world.server.objects.update({'in/data/a.csv': b'1,2\n', 'in/data/sub/b.csv': b'3,4\n',
                                 'in/code/run.py': b'print(1)',
                                 'in/m/manifest': b'[{"prefix": "s3://in/data/"}, "sub/b.csv"]'})
    job = process('''
import json, os, sys
print(sorted(os.listdir("/opt/ml")), sorted(os.listdir("/opt/ml/processing/data")), sys.argv[1:], os.environ["MINE"])
print(open("/opt/ml/processing/data/sub/b.csv").read().strip(), os.listdir("/opt/ml/processing/code"),
      os.listdir("/opt/ml/processing/listed/deep"), os.environ.get("TRAINING_JOB_NAME"))
print(json.load(open("/opt/ml/config/processingjobconfig.json"))["ProcessingJobName"],
      json.load(open("/opt/ml/config/resourceconfig.json"))["hosts"])
os.makedirs("/opt/ml/processing/output/x/y")
open("/opt/ml/processing/output/x/y/z.txt", "w").write("made")
open("/opt/ml/processing/output/empty", "w")
os.symlink("/etc/passwd", "/opt/ml/processing/output/passwd")
open("/opt/ml/output/message", "w").write("all is well")
''', environment={'MINE': 'yes'}, channels=[
        place('data', 's3://in/data', 'data', s3_data_type='S3Prefix'),
        place('code', 's3://in/code/run.py', 'code', s3_data_type='S3Prefix'),
        place('listed', 's3://in/m/manifest', 'listed/deep/', s3_data_type='ManifestFile')]).start()
    r = job.ended()
    assert r['outcome'] == 'Completed', job.log()
    assert [p['phase'] for p in r['phases']] == ['Starting', 'Downloading', 'Processing', 'Uploading', 'Ended']
    assert r['exit_message'] == 'all is well' and 'model_artifacts' not in r
    assert world.server.lines(job.name) == [
        "['config', 'output', 'processing'] ['a.csv', 'sub'] [] yes", "3,4 ['run.py'] ['sub'] None", "job ['algo-1']"]
    assert outputs(world) == {'out/job/x/y/z.txt': b'made', 'out/job/empty': b''}
    usage = [d for d in world.server.metrics.values() if d['namespace'] == '/aws/sagemaker/ProcessingJobs']
    assert usage and usage[0]['data'][0]['dimensions'] == {'Host': 'job/algo-1'}
    assert job.leftovers() == []


def test_the_command_is_run_as_it_is(world, process):
    """Neither 'train' nor anything else is put behind the entry point."""
    job = process(entrypoint=['/bin/sh', '-c', 'echo "$0 $# $*"', 'me'], arguments=['a b', '', 'c']).start()
    assert job.ended()['outcome'] == 'Completed'
    assert world.server.lines(job.name) == ['me 3 a b  c']


def test_sharding_takes_this_hosts_part(world, process):
    world.server.objects.update({f'in/d/{i}': b'x' for i in range(5)})
    job = process('import os; print(sorted(os.listdir("/opt/ml/processing/d")))', hosts=['algo-1', 'algo-2'],
                  host_name='algo-2', channels=[place('d', 's3://in/d/', 'd', distribution='ShardedByS3Key')]).start()
    assert job.ended()['outcome'] == 'Completed'
    assert world.server.lines(job.name) == ["['1', '3']"]


@pytest.mark.parametrize('script, reason, message', [
    ('raise ValueError("no such thing")', 'AlgorithmError: ValueError: no such thing, exit code: 1', ''),
    ('open("/opt/ml/output/message","w").write("bad data"); raise SystemExit(3)',
     'AlgorithmError: bad data, exit code: 3',
     'bad data'),
    ('raise SystemExit(2)', 'AlgorithmError: the command gave no reason, neither in its log nor in '
     '/opt/ml/output/message, exit code: 2', ''),
    ('open("/opt/ml/output/message","wb").write(b"\\xff\\xfe")',
     'ClientError: what the job wrote to /opt/ml/output/message is no UTF-8 text', ''),
])
def test_failures_are_told_and_leave_their_outputs(world, process, script, reason, message):
    job = process('open("/opt/ml/processing/output/part", "w").write("half"); ' + script).start()
    r = job.ended()
    assert (r['outcome'], r['failure_reason'], r.get('exit_message', '')) == ('Failed', reason, message)
    assert outputs(world) == {'out/job/part': b'half'}
    assert job.leftovers() == []


def test_a_message_is_cut_where_a_character_ends(world, process):
    job = process('open("/opt/ml/output/message", "w").write("x" + "é" * 2000)').start()
    assert job.ended()['exit_message'] == 'x' + 'é' * 511


def test_inputs_that_are_not_there(world, process):
    r = process('pass', channels=[place('d', 's3://in/none/', 'd')]).start().ended()
    assert r['outcome'] == 'Failed' and r['failure_reason'].startswith(
        'ClientError: Data download failed: No S3 objects found under S3 URL "s3://in/none/"')


def test_a_bucket_that_may_not_be_written_is_told_before(world, process):
    world.server.denied.add('out')
    job = process('print("ran")').start()
    assert 'may not write below s3://out/job' in job.ended()['failure_reason']
    assert world.server.lines(job.name) == []


@pytest.mark.parametrize('how', ['stop', 'overrun'])
def test_what_is_stopped_keeps_its_outputs(world, process, how):
    job = process('''
import signal, sys, time
def end(*a):
    open("/opt/ml/processing/output/late", "w").write("x"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
''', max_runtime_s=2 if how == 'overrun' else 600).start()
    job.until(lambda r: 'ready' in world.server.lines(job.name))
    if how == 'stop':
        job.stop(30)
    assert job.ended()['outcome'] == {'stop': 'Stopped', 'overrun': 'MaxRuntimeExceeded'}[how]
    assert outputs(world) == {'out/job/late': b'x'}


def test_links_lead_nowhere(world, process):
    """The folder of an output, or one above it, that the job turns into a link of this machine's own files."""
    job = process('''
import os, shutil
shutil.rmtree("/opt/ml/processing/a"); os.symlink("/etc", "/opt/ml/processing/a")
shutil.rmtree("/opt/ml/processing/c"); os.symlink("/etc", "/opt/ml/processing/c")
shutil.rmtree("/opt/ml/output"); os.symlink("/proc", "/opt/ml/output")
''', outputs=[place('a', 's3://out/a', 'a/apt', upload_mode='EndOfJob'),
             place('b', 's3://out/b', 'b', upload_mode='EndOfJob'),
              place('c', 's3://out/c', 'c', upload_mode='EndOfJob'),
              place('d', 's3://out/d', 'a/ssl', upload_mode='Continuous')]).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert outputs(world) == {}


def test_continuous_outputs_come_while_the_job_runs(world, process):
    job = process('''
import os, time
root = "/opt/ml/processing/live"
os.makedirs(root + "/deep")
open(root + "/deep/first", "w").write("one")
open(root + "/gone", "w").write("kept")
open("/opt/ml/processing/output/later", "w").write("at the end")
print("written", flush=True)
while not os.path.exists("/opt/ml/processing/go"): time.sleep(0.02)
assert sorted(os.listdir(root)) == ["deep", "gone"], os.listdir(root)
os.unlink(root + "/gone")
open(root + "/deep/first", "w").write("two")
f = open(root + "/open.log", "w"); f.write("never closed"); f.flush()
os._exit(0)
''', outputs=[place('live', 's3://out/live/', 'live', upload_mode='Continuous'),
              place('out', 's3://out/job', 'output', upload_mode='EndOfJob')]).start()
    job.until(lambda r: outputs(world) == {'out/live/deep/first': b'one', 'out/live/gone': b'kept'})
    assert job.report()['phase'] == 'Processing'
    open(f'{job.folder}/ml/processing/go', 'w').close()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert outputs(world) == {'out/live/deep/first': b'two', 'out/live/gone': b'kept',
                              'out/live/open.log': b'never closed',
                              'out/job/later': b'at the end'}


def test_an_agent_that_is_killed_loses_nothing(world, process):
    job = process('''
import os, time
open("/opt/ml/processing/live/a", "w").write("a")
open("/opt/ml/processing/output/b", "w").write("b")
print("written", flush=True)
while not os.path.exists("/opt/ml/processing/go"): time.sleep(0.02)
open("/opt/ml/processing/live/c", "w").write("c")
''', outputs=[place('live', 's3://out/live/', 'live', upload_mode='Continuous'),
              place('out', 's3://out/job', 'output', upload_mode='EndOfJob')]).start()
    job.until(lambda r: 'written' in world.server.lines(job.name))
    job.kill()
    open(f'{job.folder}/ml/processing/go', 'w').close()
    job.start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert outputs(world) == {'out/live/a': b'a', 'out/live/c': b'c', 'out/job/b': b'b'}
    assert job.leftovers() == []


def test_isolation_has_no_network(world, process):
    job = process('''
import os, socket
print(os.environ.get("AWS_ENDPOINT_URL"), [n for _, n in socket.if_nameindex()])
''', isolated=True).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == ["None ['lo']"]


def test_an_order_that_climbs_is_refused(world, process):
    for path in ('/etc', '/opt/ml/processing/', '/opt/ml/processing/../x', '/opt/ml/processing/a//b'):
        r = process('pass', outputs=[{'name': 'o', 's3_uri': 's3://out/o', 'local_path': path}]).start().ended()
        assert 'the order has an output in' in r['failure_reason']
