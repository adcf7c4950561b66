"""Real PyTorch by the SageMaker Python SDK on a Slurm cluster: what test_torch.py asks of spot and of several
instances."""
import test_torch
from conftest import needs_tun
from test_slurm import cluster, server  # noqa: F401  the fixtures

pytestmark = test_torch.pytestmark


def test_spot_interrupted_three_times_at_random(server, aws, unique, tmp_path):  # noqa: F811
    test_torch.test_spot_interrupted_three_times_at_random(server, aws, unique, tmp_path)


@needs_tun
def test_gradients_are_averaged(server, aws, unique, tmp_path):  # noqa: F811
    test_torch.test_gradients_are_averaged(aws, unique, tmp_path, "pytorchddp")
