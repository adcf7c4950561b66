"""Training jobs in real containers."""
import hashlib
import io
import json
import os
import resource
import tarfile
import time

import pytest

from conftest import needs_containers

pytestmark = needs_containers


def names(data):
    return sorted(tarfile.open(fileobj=io.BytesIO(data)).getnames())


def test_a_job_completes(world):
    world.server.objects.update({'in/data/train/a.csv': b'1,2\n', 'in/data/train/sub/b.csv': b'3,4\n',
                                 'in/data/train/e': b'',
                                 'in/data/train/c d+e.csv': b'x', 'in/data/train/z': b'z'})
    job = world.train('''
import os, json
print("hello\\tworld")
print(sorted(os.listdir("/opt/ml/input/data/train")), open("/opt/ml/input/data/train/sub/b.csv").read())
print(open("/opt/ml/input/config/hyperparameters.json").read())
config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
print(config["current_host"], os.uname().nodename, os.environ["TRAINING_JOB_NAME"])
open("/opt/ml/model/m.txt", "w").write("model")
os.makedirs("/opt/ml/output/data", exist_ok=True)
open("/opt/ml/output/data/o.txt", "w").write("out")
for i in range(3): print(f"epoch {i} loss={1/(i+1):.4f};")
''', channels=[{'name': 'train', 's3_uri': 's3://in/data/train', 's3_data_type': 'S3Prefix'}],
        hyper_parameters={'a': '1'}, metric_definitions=[{'name': 'loss', 'regex': 'loss=(.*?);'}]).start()
    r = job.ended()
    assert r['outcome'] == 'Completed', job.log()
    assert [p['phase'] for p in r['phases']] == ['Starting', 'Downloading', 'Training', 'Uploading', 'Ended']
    assert r['model_artifacts'] == 's3://out/job/output/model.tar.gz'
    assert names(world.server.objects['out/job/output/model.tar.gz']) == ['m.txt']
    assert names(world.server.objects['out/job/output/output.tar.gz']) == ['o.txt']
    lines = world.server.lines(job.name)
    assert lines[0] == 'hello#011world'
    assert lines[1] == "['a.csv', 'c d+e.csv', 'e', 'sub', 'z'] 3,4"
    assert json.loads(lines[3]) == {'a': '1'}
    assert lines[4] == 'algo-1 algo-1 job'
    assert lines[-1] == 'epoch 2 loss=0.3333;'
    assert r['final_metrics'][0]['name'] == 'loss' and r['final_metrics'][0]['value'] == 0.3333
    values = [m['value'] for d in world.server.metrics.values() for m in d['data'] if m['name'] == 'loss']
    assert sorted(values) == [0.3333, 0.5, 1.0]
    assert job.name in world.server.pokes
    assert job.leftovers() == []


@pytest.mark.parametrize('script, code, reason', [
    ('import sys; sys.exit(3)', 3,
     'AlgorithmError: the command gave no reason, neither in its log nor in /opt/ml/output/failure, exit code: 3'),
    ('raise ValueError("no such thing")', 1, 'AlgorithmError: ValueError: no such thing, exit code: 1'),
    ('open("/opt/ml/output/failure","w").write("bad data"); raise SystemExit(1)', 1,
     'AlgorithmError: bad data, exit code: 1'),
    ('open("/opt/ml/output/failure","w").write("é"*2000); raise SystemExit(1)', 1,
     'AlgorithmError: ' + 'é' * 1024 + ', exit code: 1'),
    ('import os; os.kill(os.getpid(), 11)', 139,
     'AlgorithmError: the command was ended by signal 11 (SIGSEGV, Segmentation fault), exit code: 139'),
])
def test_failures_are_told(world, script, code, reason):
    job = world.train(script).start()
    r = job.ended()
    assert (r['outcome'], r['exit_code'], r['failure_reason']) == ('Failed', code, reason)
    assert 'out/job/output/model.tar.gz' not in world.server.objects
    assert job.leftovers() == []


@pytest.mark.parametrize('command, told', [
    ('/no/such/thing', '/no/such/thing'), ('no "such\\thing\n', 'no ?such?thing?'), ('ü' * 200, '?' * 149),
])
def test_a_command_that_is_not_there(world, command, told):
    r = world.train(entrypoint=[command]).start().ended()
    assert r['failure_reason'].startswith(f'AlgorithmError: cannot start the command {told}: ')
    assert r['exit_code'] == 127


def test_out_of_memory_names_the_limit(world):
    job = world.train('x = bytearray(200 << 20)', limits={'memory_bytes': 64 << 20}).start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and r['oom_killed'] and r['exit_code'] == 137
    assert 'out of memory' in r['failure_reason'] and '0.1 GiB (ml.m5.large)' in r['failure_reason']


def test_stop_saves_the_model(world):
    job = world.train('''
import signal, sys, time
def end(*a):
    open("/opt/ml/model/saved", "w").write("x"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
''').start()
    job.until(lambda r: 'ready' in world.server.lines(job.name))
    job.stop(30)
    r = job.ended()
    assert r['outcome'] == 'Stopped' and r['failure_reason'] == ''
    assert names(world.server.objects['out/job/output/model.tar.gz']) == ['saved']
    assert job.leftovers() == []


def test_stop_kills_what_ignores_sigterm(world):
    job = world.train('''
import signal, time, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "1000"])
print("ready", flush=True)
time.sleep(60)
''').start()
    job.until(lambda r: 'ready' in world.server.lines(job.name))
    started = time.monotonic()
    job.stop(1)
    r = job.ended()
    assert r['outcome'] == 'Stopped' and time.monotonic() - started > 0.9
    assert job.leftovers() == []


def test_max_runtime(world):
    job = world.train('import time; print("x", flush=True); time.sleep(60)', max_runtime_s=1).start()
    r = job.ended()
    assert r['outcome'] == 'MaxRuntimeExceeded'
    assert job.leftovers() == []


def test_stop_before_it_starts(world):
    world.server.objects['in/d/x'] = b'1'
    world.server.down()
    job = world.train('print(1)', channels=[{'name': 'train', 's3_uri': 's3://in/d/'}]).start()
    job.until(lambda r: r.get('phase') == 'Downloading')
    job.stop()
    job.until(lambda r: r.get('_outcome'))
    world.server.up()
    r = job.ended()
    assert r['outcome'] == 'Stopped' and 'started_ms' not in r


@pytest.mark.parametrize('uri, words', [
    ('s3://in/none/', 'No S3 objects found under S3 URL "s3://in/none/"'),
    ('s3://secret/x', 'AccessDenied'),
])
def test_downloads_that_fail(world, uri, words):
    world.server.denied.add('secret')
    r = world.train('print(1)', channels=[{'name': 'train', 's3_uri': uri}]).start().ended()
    assert r['outcome'] == 'Failed' and r['failure_reason'].startswith('ClientError: Data download failed:')
    assert words in r['failure_reason']


def test_manifests_and_shards(world):
    for i in range(5):
        world.server.objects[f'in/m/f{i}'] = str(i).encode()
    world.server.objects['in/manifest'] = json.dumps([{'prefix': 's3://in/m/'}, 'f1', 'f3']).encode()
    job = world.train('import os; print(sorted(os.listdir("/opt/ml/input/data/a")), '
                      'sorted(os.listdir("/opt/ml/input/data/b")))', hosts=['algo-1', 'algo-2'], channels=[
                          {'name': 'a', 's3_uri': 's3://in/manifest', 's3_data_type': 'ManifestFile'},
                          {'name': 'b', 's3_uri': 's3://in/m/', 'distribution': 'ShardedByS3Key'}]).start()
    assert job.ended()['outcome'] == 'Completed'
    assert world.server.lines(job.name) == ["['f1', 'f3'] ['f0', 'f2', 'f4']"]


MANIFEST = [{'name': 'a', 's3_uri': 's3://in/manifest', 's3_data_type': 'ManifestFile'}]
HASHES = """
import hashlib, os
for name in sorted(os.listdir("/opt/ml/input/data/a")):
    print(name, hashlib.sha256(open("/opt/ml/input/data/a/" + name, "rb").read()).hexdigest())
"""


@pytest.mark.parametrize('unlisted', [set(), {'in'}])
def test_what_a_manifest_names_comes_in_ranges(world, unlisted):
    world.server.unlisted = unlisted
    big = os.urandom(33 << 20)
    world.server.objects.update({'in/m/big': big, 'in/m/empty': b'', 'in/manifest': json.dumps(
        [{'prefix': 's3://in/m/'}, 'big', 'empty', 'big']).encode()})
    job = world.train(HASHES, channels=MANIFEST).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == [f'{name} {hashlib.sha256(data).hexdigest()}'
                                            for name, data in (('big', big), ('empty', b''))]
    # What was not listed is asked for its first byte, which tells how big it is.
    assert world.server.fetched['in/m/big'] == len(big) + len(unlisted)


def test_what_a_manifest_names_has_to_fit(world):
    world.server.objects.update({f'in/m/{i}': bytes(5 << 20) for i in range(2)})
    world.server.objects['in/manifest'] = json.dumps([{'prefix': 's3://in/m/'}, '0', '1', '1']).encode()
    job = world.train('print(1)', channels=MANIFEST, limits={'memory_bytes': 512 << 20, 'disk_bytes': 9 << 20}).start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'the input data has 0.01 GiB' in r['failure_reason'], r
    assert world.server.fetched == {} and ('GET', '/in/m/0') not in world.server.requests  # nothing was begun


def test_an_image_that_is_not_known(world):
    r = world.train('print(1)', image='1.dkr.ecr.us-west-2.amazonaws.com/mine:1').start().ended()
    assert r['outcome'] == 'Failed' and 'mine:1' in r['failure_reason'] and 'skopeo' in r['failure_reason']


def test_big_results_go_in_parts(world):
    job = world.train('import os; open("/opt/ml/model/big", "wb").write(os.urandom(70 << 20))').start()
    assert job.ended()['outcome'] == 'Completed'
    data = world.server.objects['out/job/output/model.tar.gz']
    assert len(data) > 64 << 20 and names(data) == ['big']


def test_checkpoints_come_and_go(world):
    world.server.objects['ck/p/old.txt'] = b'old'
    job = world.train('''
import os, time
print(os.listdir("/opt/ml/checkpoints"), flush=True)
open("/opt/ml/checkpoints/new.txt", "w").write("new")
while not os.path.exists("/opt/ml/checkpoints/../go"): time.sleep(0.05)
open("/opt/ml/checkpoints/last.txt", "w").write("last")
''', checkpoint={'s3_uri': 's3://ck/p', 'local_path': '/opt/ml/checkpoints'}).start()
    job.until(lambda r: 'ck/p/new.txt' in world.server.objects)
    open(f'{job.folder}/ml/go', 'w').close()
    assert job.ended()['outcome'] == 'Completed'
    assert world.server.objects['ck/p/last.txt'] == b'last'
    assert world.server.lines(job.name)[0] == "['old.txt']"
    assert not any(m == 'PUT' and 'old.txt' in p for m, p in world.server.requests)


def test_the_api_is_inside(world):
    job = world.train('''
import os, urllib.request, json
c = json.load(urllib.request.urlopen("http://169.254.170.2" + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]))
print(c["AccessKeyId"], c["Token"], c["Expiration"][-1])
try: urllib.request.urlopen("http://169.254.170.2/other")
except urllib.error.HTTPError as e: print(e.code)
print(urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_sagebrush/agent/v1/poke?name=inside").status)
''').start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == ['AKID TOKEN Z', '404', '200']


def test_the_instance_says_what_it_is_and_when_it_goes(world):
    job = world.train('''
import json, signal, urllib.request
def ask(path, token=None, method="GET", **headers):
    if token: headers["X-aws-ec2-metadata-token"] = token
    request = urllib.request.Request("http://169.254.169.254/latest/" + path, method=method, headers=headers)
    try: return urllib.request.urlopen(request).read().decode()
    except urllib.error.HTTPError as e: return e.code
token = ask("api/token", method="PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
print(len(token), ask("api/token", method="PUT"), ask("meta-data/instance-id", "another"))
print(ask("meta-data/instance-id", token) == ask("meta-data/instance-id"), ask("meta-data/instance-id")[:2])
print(ask("meta-data/spot/instance-action", token), ask("meta-data/nothing", token), ask("meta-data/", method="POST"))
print(ask("meta-data/instance-life-cycle"), json.loads(ask("dynamic/instance-identity/document"))["region"],
      json.loads(ask("meta-data/events/maintenance/scheduled")))
def on_notice(*_):
    action = json.loads(ask("meta-data/spot/instance-action", token))
    rebalance = ask("meta-data/events/recommendations/rebalance", token)
    print(action["action"], action["time"][-1], rebalance[:15], flush=True)
    raise SystemExit
signal.signal(signal.SIGTERM, on_notice)
print("ready", flush=True)
while True: signal.pause()
''', spot=True).start()
    job.until(lambda _: 'ready' in world.server.lines(job.name))
    job.stop(reason='SpotInterruption')
    assert job.ended()['outcome'] == 'Interrupted', job.log()
    assert world.server.lines(job.name) == [
        '56 400 401', 'True i-', '404 404 405', 'spot us-west-2 []', 'ready', 'terminate Z {"noticeTime":"']


def test_the_role_is_found_without_an_environment(world):
    """What boto3 and other SDKs fall back to: with a token only."""
    job = world.train('''
import os, urllib.request
for name in list(os.environ):
    if name.startswith("AWS_"): del os.environ[name]
import botocore.session
from botocore.utils import IMDSRegionProvider
session = botocore.session.get_session()
found = session.get_credentials()
print(found.method, found.access_key, found.secret_key, found.token)
print(IMDSRegionProvider(session).provide())
def ask(path, **headers):
    request = urllib.request.Request("http://169.254.169.254/latest/" + path, headers=headers)
    try: return urllib.request.urlopen(request).read().decode().split("\\n")
    except urllib.error.HTTPError as e: return e.code
for path in ("iam/security-credentials/r", "iam/security-credentials/", "iam", "iam/", "placement/", "spot", "no/"):
    print(path, ask("meta-data/" + path))
print(ask("meta-data") == ask("meta-data/"), *ask("meta-data"))
''').start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == [
        'iam-role AKID SECRET TOKEN', 'us-west-2',
        'iam/security-credentials/r 401', 'iam/security-credentials/ 401', "iam ['security-credentials/']", 'iam/ 401',
        "placement/ ['availability-zone', 'region']", "spot ['instance-action', 'termination-time']", 'no/ 404',
        'True events/ hostname iam/ instance-id instance-life-cycle instance-type local-hostname local-ipv4 placement/ '
        'spot/']


def test_isolation(world):
    job = world.train('''
import socket, os
print([n for n in os.environ if n.startswith("AWS_C")])
for to in (("169.254.170.2", 80), ("169.254.169.254", 80), ("127.0.0.1", 8090), ("10.213.0.1", 22), ("1.1.1.1", 53)):
    try: socket.create_connection(to, 2); print("reached", to)
    except OSError: pass
''', isolated=True).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == ['[]']


def test_what_a_container_cannot_do(world):
    job = world.train('''
import os, subprocess
print(os.path.exists("/etc/shadow"), os.listdir("/home"), os.listdir("/root"), os.path.exists("/run/sagebrush/net"))
for path in ("/proc/1/fd/3", "/proc/1/fd/4"):
    try: print("open", os.listdir(path))
    except OSError as e: print(e.errno)
for command in ("mount -t tmpfs x /mnt", "unshare -U true", "unshare -n true", "touch /usr/x", "mknod /tmp/x b 8 0",
                "chroot / dmesg", "nsenter -t 1 -n true"):
    print(command, subprocess.run(command, shell=True, capture_output=True).returncode != 0)
print(open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0])
''').start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    lines = world.server.lines(job.name)
    assert lines[0] == 'False [] [] False'
    assert lines[1:3] == ['13', '13']
    assert all(l.endswith(' True') for l in lines[3:-1]), lines
    assert lines[-1] == '1'


def test_system_calls(world):
    """What has to answer as on a kernel without it, what is refused, and what programs need."""
    job = world.train('''
import ctypes, errno, multiprocessing, os, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno(), 0)
print("io_uring_setup", call(425, 1, 0), "clone3", call(435, 0, 0), "of tomorrow", call(499))
print("mount", call(165, 0, 0, 0, 0, 0), "bpf", call(321, 0, 0, 0), "keyctl", call(250, 0, 0), "unshare", call(272, 0))
print("new user namespace", call(56, 0x10000000 | 17, 0, 0, 0, 0))
for family in (socket.AF_ALG, socket.AF_VSOCK, 9):
    try: socket.socket(family, socket.SOCK_SEQPACKET)
    except OSError as e: print(family, errno.errorcode[e.errno])
    else: print(family, "open")
for family in (socket.AF_UNIX, socket.AF_INET): socket.socket(family).close()
if os.path.exists("/proc/net/if_inet6"): socket.socket(socket.AF_INET6).close()
socket.if_nameindex()
with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, range(10))))
threads = [threading.Thread(target=print, args=("thread",)) for _ in range(2)]
[(t.start(), t.join()) for t in threads]
''').start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == [
        'io_uring_setup ENOSYS clone3 ENOSYS of tomorrow ENOSYS', 'mount EPERM bpf EPERM keyctl EPERM unshare EPERM',
        'new user namespace ENOSYS', '38 EAFNOSUPPORT', '40 EAFNOSUPPORT', '9 ENOSYS', '45', 'thread', 'thread']


def test_pytorch_finds_the_calls_it_needs(world):
    job = world.train('''
import os, torch, torch.distributed as dist, torch.multiprocessing as mp
from torch.utils.data import DataLoader, TensorDataset
def work(rank):
    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:29500", rank=rank, world_size=2)
    t = torch.ones(4) * (rank + 1)
    dist.all_reduce(t)
    if rank == 0: print("reduced", t.tolist())
    dist.destroy_process_group()
if __name__ == "__main__":
    torch.set_num_threads(4)
    data = DataLoader(TensorDataset(torch.arange(64.0)), batch_size=8, num_workers=2)
    print("loaded", sum(float(b[0].sum()) for b in data), float((torch.ones(256, 256) @ torch.ones(256, 256)).sum()))
    processes = [mp.get_context("fork").Process(target=work, args=(r,)) for r in range(2)]
    [p.start() for p in processes]; [p.join() for p in processes]
    print("codes", [p.exitcode for p in processes])
''').start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == ['loaded 2016.0 16777216.0', 'reduced [3.0, 3.0, 3.0, 3.0]',
                                            'codes [0, 0]'], job.log()


def test_one_job_does_not_take_all_processes(world):
    job = world.train('''
import threading
threading.stack_size(65536)
end = threading.Event()
count = 0
try:
    while True:
        threading.Thread(target=end.wait).start()
        count += 1
except RuntimeError: end.set()
print(count)
''', limits={'cpu_weight': 100, 'cpus': 0, 'memory_bytes': 4 << 30}).start()  # a thread takes 32 KiB at least
    assert job.ended(300)['outcome'] == 'Completed', job.log()  # a thread that starts waits for a core
    limit = json.load(open(f'{job.folder}/config.json'))['linux']['resources']['pids']['limit']
    assert 4096 <= limit <= max(4096, int(open('/proc/sys/kernel/pid_max').read()) // 8)
    assert limit - 100 < int(world.server.lines(job.name)[0]) < limit


def test_logs_wait_for_the_server(world):
    world.server.down()
    job = world.train('print("one"); print("two", end="")', output_s3_uri='').start()
    time.sleep(1)
    assert job.report()['phase'] != 'Ended'
    world.server.up()
    report = job.ended()
    assert world.server.lines(job.name) == ['one', 'two']
    # What was paid for ends with the container, and no line is later than that.
    assert all(e['at_ms'] <= report['ended_ms'] for e in world.server.streams[job.name].values())


def test_a_job_does_not_use_up_its_agents_descriptors(world):
    job = world.train('''
import resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = []
for address in [("169.254.169.254", 80), ("169.254.170.2", 80), ("127.0.0.1", 8090)] * 600:
    held.append(socket.socket())
    held[-1].setblocking(False)
    held[-1].connect_ex(address)
    if len(held) % 30 == 0: time.sleep(0.01)
open("/opt/ml/output/held", "w")
time.sleep(600)
''').start()
    agent = job.agents[-1].pid
    resource.prlimit(agent, resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    job.until(lambda r: os.path.exists(f'{job.folder}/ml/output/held'), 60)
    job.until(lambda r: len(os.listdir(f'/proc/{agent}/fd')) > 500)  # it has taken as many as it takes
    job.stop(1)
    assert job.ended()['outcome'] == 'Stopped', job.log()


def test_what_nobody_wrote_is_not_in_the_log(world):
    """A job can make its output terabytes long, which takes no room and would be sent for days."""
    job = world.train('''
import os, time
for i in range(3):
    print("line", i, flush=True)
    time.sleep(0.2)
    os.ftruncate(1, (i + 1) << 40)
''').start()
    assert job.ended(60)['outcome'] == 'Completed', job.log()
    lines = world.server.lines(job.name)
    assert [line for line in lines if line.strip('#0')] == ['line 0', 'line 1', 'line 2']
    assert sum(map(len, lines)) < 1 << 17
