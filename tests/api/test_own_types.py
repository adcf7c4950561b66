"""A fleet file without nodes: the machine is what it is without a file, with types, prices and quotas of one's own."""
import json

import pytest

from conftest import server_of_fleet
from jobs import Jobs

FLEET = """
[[types]]
name = "box.one"
vcpus = 1
memory = "256MiB"
usd_hour = 7.2

[[types]]
name = "ml.m5.large"
usd_hour = 3.6

[[quotas]]
type = "box.*"
limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from server_of_fleet(tmp_path_factory.mktemp("fleet"), FLEET)


@pytest.fixture
def jobs(aws, role, bucket):
    made = Jobs(aws, role, bucket)
    yield made
    made.close()


def test_types_prices_and_quotas_hold_without_nodes(server, jobs, unique):
    types = {"box.one": 7.2, "ml.m5.large": 3.6}
    for type in types:
        jobs.create(f"{unique}-{type[:2]}", command="sleep 1", ResourceConfig={"InstanceType": type})
    for type in types:
        jobs.completed(f"{unique}-{type[:2]}")
    lines = server.cost()
    for type, usd_hour in types.items():
        line = lines[f"{unique}-{type[:2]}"]
        assert line["usd"] == pytest.approx(line["used_ms"] / 3.6e6 * usd_hour, rel=1e-6), lines
    with pytest.raises(jobs.sm.exceptions.ResourceLimitExceeded, match="'box.one for training job usage' is 1 Inst"):
        jobs.create(unique, command="true", ResourceConfig={"InstanceType": "box.one", "InstanceCount": 2})
    # All other types are what they were, and no node is shown.
    jobs.create(unique, command="true", ResourceConfig={"InstanceType": "ml.p4d.24xlarge"})
    jobs.completed(unique)
    assert "nodes" not in json.loads(server.command("status", "--json", check=True).stdout)["server"]
