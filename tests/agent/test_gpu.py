"""GPUs of a fake driver (tests/fake/nvml.c): what a container sees of them, and what becomes of it when one goes
bad."""
import json
import os
import pathlib
import shutil
import stat

import pytest

from conftest import BUILD, needs_containers

pytestmark = needs_containers

LOOK = '''
import glob, os
print("devices", *sorted(glob.glob("/dev/nvidia*")))
print("libraries", *sorted(os.listdir("/usr/local/nvidia/lib64")) if os.path.exists("/usr/local/nvidia") else [])
for name in ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"):
    print(name, os.environ.get(name))
'''


class Driver:
    def __init__(self, world):
        self.libraries = pathlib.Path(world.folder, 'driver')
        self.devices = pathlib.Path(world.folder, 'devices')
        self.machine = pathlib.Path(world.folder, 'machine')
        self.libraries.mkdir()
        self.devices.mkdir()
        shutil.copy(f'{BUILD}/tests/fake/libnvidia-ml.so.1', self.libraries)
        for name in ('libcuda.so.1', 'libcuda.so.550.54.15', 'libnvidia-ptxjitcompiler.so.1', 'libother.so.1'):
            (self.libraries / name).write_text(name)
        for name in ('nvidia0', 'nvidia1', 'nvidia2', 'nvidia3', 'nvidiactl', 'nvidia-uvm'):
            (self.devices / name).write_text(name)
        world.environment.update(LD_LIBRARY_PATH=str(self.libraries), FAKE_NVML=str(self.machine),
                                 SAGEBRUSH_GPU_DEVICES=str(self.devices))
        self.lines = []
        self.say('gpus 4')

    def say(self, *lines):
        """Appended: the fake reads it at every call."""
        self.lines += lines
        new = self.machine.with_suffix('.new')
        new.write_text('\n'.join(self.lines) + '\n')
        new.rename(self.machine)


@pytest.fixture
def driver(world):
    return Driver(world)


def limits(*gpus, **more):
    return {'limits': {'cpu_weight': 100, 'cpus': 0, 'memory_bytes': 512 << 20, 'gpus': list(gpus), **more}}


def test_a_container_sees_its_own(world, driver):
    driver.say('minor 2 3', 'minor 3 2')
    job = world.train(LOOK + 'print(open("/dev/nvidia3").read())', **limits(1, 2)).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    lines = world.server.lines(job.name)
    assert lines[0] == 'devices /dev/nvidia-uvm /dev/nvidia1 /dev/nvidia3 /dev/nvidiactl'
    assert lines[1] == ('libraries libcuda.so.1 libcuda.so.550.54.15 libnvidia-ml.so.1 libnvidia-ptxjitcompiler.so.1')
    assert lines[2:] == ['NVIDIA_VISIBLE_DEVICES 1,2', 'CUDA_VISIBLE_DEVICES 0,1',
                         'LD_LIBRARY_PATH /usr/local/nvidia/lib64', 'nvidia3']
    assert job.leftovers() == []


def test_one_without_sees_none(world, driver):
    job = world.train(LOOK).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == ['devices', 'libraries', 'NVIDIA_VISIBLE_DEVICES None',
                                            'CUDA_VISIBLE_DEVICES None',
                                            'LD_LIBRARY_PATH None']


def test_a_device_may_be_opened(world, driver):
    """A node that nothing but its own rule allows: the kernel's fuse, under a GPU's name."""
    if not os.path.exists('/dev/fuse'):
        pytest.skip('no /dev/fuse')
    for name in ('nvidia0', 'nvidia1'):
        (driver.devices / name).unlink()
        os.mknod(driver.devices / name, stat.S_IFCHR | 0o600, os.stat('/dev/fuse').st_rdev)
    job = world.train('import os; os.open("/dev/nvidia0", os.O_RDWR); print(oct(os.stat("/dev/nvidia0").st_mode)); '
                      'print(os.path.exists("/dev/nvidia1"))', **limits(0)).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name) == ['0o20666', 'False']


def test_the_user_s_library_path_stays(world, driver):
    job = world.train(LOOK, environment={'LD_LIBRARY_PATH': '/opt/ml/lib'}, **limits(0)).start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert world.server.lines(job.name)[4] == 'LD_LIBRARY_PATH /opt/ml/lib:/usr/local/nvidia/lib64'


def test_a_gpu_that_the_driver_does_not_have(world, driver):
    job = world.train('print(1)', **limits(7)).start()
    r = job.ended()
    assert r['outcome'] == 'Failed'
    assert r['failure_reason'].startswith('InternalServerError: 1 GPUs were granted, and the driver tells of 0')


def test_a_machine_without_gpus_says_so(world):
    job = world.train('print("hello")', **limits(gpus_absent=1)).start()
    r = job.ended()
    assert r['outcome'] == 'Completed', job.log()
    assert r['phases'][0]['message'].endswith('This machine has no GPU: the job runs on the CPU')
    assert world.server.lines(job.name) == [
        'sagebrush: ml.m5.large has 1 GPU, and this machine has none: it runs on the CPU', 'hello']


HOLD = 'import time; print("runs", flush=True); time.sleep(600)'


def test_a_gpu_that_breaks_ends_the_job(world, driver):
    job = world.train(HOLD, **limits(1, 2)).start()
    job.until(lambda r: 'runs' in world.server.lines(job.name))
    samples = lambda: [m for d in world.server.metrics.values() for m in d['data'] if m['name'].startswith('GPU')]
    job.until(lambda r: samples())
    assert {m['name']: m['value'] for m in samples()} == {'GPUUtilization': 100, 'GPUMemoryUtilization': 20}
    assert samples()[0]['dimensions'] == {'Host': 'job/algo-1'}
    driver.say('xid 0 79', 'xid 1 13', 'xid 2 63')  # another's, the program's own, one that was dealt with
    job.until(lambda r: any('XID 63' in line for line in world.server.lines(job.name)))
    assert job.report()['phase'] == 'Training' and 'gpu_fault' not in job.report()
    driver.say('xid 2 79')
    r = job.ended()
    assert r['outcome'] == 'Failed'
    assert r['failure_reason'] == ('InternalServerError: instance unhealthy: GPU 2 reported XID 79 (the GPU has fallen '
                                   'off the bus). Start the job again.')
    assert r['gpu_fault'] == {'index': 2, 'xid': 79, 'uuid': 'GPU-00000000-0000-0000-0000-000000000002', 'broken': True,
                              'why': 'GPU 2 reported XID 79 (the GPU has fallen off the bus)'}
    assert job.leftovers() == []


def test_a_gpu_that_is_lost_without_a_word(world, driver):
    job = world.train(HOLD, **limits(0)).start()
    job.until(lambda r: 'runs' in world.server.lines(job.name))
    driver.say('fail nvmlDeviceGetUtilizationRates 15 0', 'fail nvmlEventSetWait_v2 15')
    r = job.ended()
    assert r['failure_reason'].startswith('InternalServerError: instance unhealthy: GPU 0 is lost')
    assert r['gpu_fault']['broken'] is True


def test_an_instance_of_an_endpoint_with_a_broken_gpu_ends(world, driver):
    i = world.train('import http.server; http.server.HTTPServer(("0.0.0.0", 8080), '
                    'http.server.SimpleHTTPRequestHandler)'
                    '.serve_forever()', work='serve', startup_timeout_s=60, port=8080, models=[],
                    log_group='/aws/sagemaker/Endpoints/e', **limits(3)).start()
    i.until(lambda r: r.get('phase') == 'Serving')
    driver.say('xid 3 95')
    r = i.ended()
    assert r['outcome'] == 'Failed' and 'GPU 3 reported XID 95' in r['failure_reason']


SPIN = 'import time\nwhile True: print("runs", flush=True); time.sleep(0.2)'


def without_its_agent(world, driver, *lines):
    """A job that runs, whose agent is killed after a look at the GPUs and before the lines, and then started again."""
    driver.say('set 1 ecc_uncorrected 3')  # from before, which is nothing new
    job = world.train(SPIN, silent_after_s=1, **limits(1, 2)).start()  # so it looks five times a second
    job.until(lambda r: len(baseline(job)) == 2)
    job.kill()
    driver.say(*lines)
    return job.start()


def baseline(job):
    try:
        return json.loads(pathlib.Path(job.folder, 'baseline.json').read_text())['gpus']
    except FileNotFoundError:
        return {}


def test_errors_while_there_was_no_agent_are_new(world, driver):
    job = without_its_agent(world, driver, 'set 2 ecc_uncorrected 1')
    r = job.ended()
    assert r['outcome'] == 'Failed'
    assert r['failure_reason'] == ('InternalServerError: instance unhealthy: GPU 2: uncorrected ECC errors since the '
                                   'container started. Start the job again.')
    assert r['gpu_fault']['uuid'] == 'GPU-00000000-0000-0000-0000-000000000002'
    assert job.leftovers() == []


def test_a_gpu_that_went_while_there_was_no_agent(world, driver):
    job = without_its_agent(world, driver, 'fail nvmlDeviceGetHandleByIndex_v2 15 2')
    r = job.ended()
    assert r['failure_reason'].startswith('InternalServerError: instance unhealthy: GPU 2: the driver does not tell of '
                                          'it any more')
    assert r['gpu_fault'] == {'index': 2, 'xid': 0, 'uuid': 'GPU-00000000-0000-0000-0000-000000000002', 'broken': True,
                              'why': 'GPU 2: the driver does not tell of it any more'}
    assert job.leftovers() == []
