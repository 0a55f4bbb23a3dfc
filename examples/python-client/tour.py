"""Creates a profile, two tables and a pipeline, waits until it runs, and removes them, with a generated client.

Generate the client first (tried with openapi-python-client 0.29):
    pip install openapi-python-client python-dateutil
    openapi-python-client generate --path openapi/openapi.json --output-path penstock-client
    PYTHONPATH=penstock-client python examples/python-client/tour.py mqtt://localhost:1883 http://127.0.0.1:5115
"""

import os
import sys
import time

from penstock_client import AuthenticatedClient
from penstock_client.api.connection_profiles import (
    create_connection_profile,
    delete_connection_profile,
    get_connection_profile,
)
from penstock_client.api.connection_tables import create_connection_table, delete_connection_table
from penstock_client.api.jobs import list_pipeline_jobs
from penstock_client.api.pipelines import create_pipeline, delete_pipeline, patch_pipeline
from penstock_client.models import (
    ConnectionProfilePost,
    ConnectionTablePost,
    JobState,
    PipelinePatch,
    PipelinePost,
    Problem,
)

broker = sys.argv[1] if len(sys.argv) > 1 else "mqtt://localhost:1883"
server = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:5115"
client = AuthenticatedClient(base_url=server, token=os.environ.get("PENSTOCK_KEY", "none"))
name = f"py_{os.getpid()}"


def done(response):
    """Returns the answer of a call; raises what it was refused for."""
    if isinstance(response.parsed, Problem):
        raise SystemExit(f"{response.parsed.code.value}: {response.parsed.detail}")
    if response.status_code >= 300:
        raise SystemExit(f"HTTP {response.status_code}")
    return response.parsed


def wait_for(pipeline_id, wanted):
    for _ in range(600):
        state = done(list_pipeline_jobs.sync_detailed(pipeline_id, client=client)).data[0].state
        if state == wanted:
            return
        time.sleep(0.1)
    raise SystemExit(f"The job is {state.value}, not {wanted.value}")


body = {"name": name, "connector": "mqtt", "config": {"url": broker}}
profile = done(
    create_connection_profile.sync_detailed(client=client, body=ConnectionProfilePost.from_dict(body))
)
known = get_connection_profile.sync_detailed(profile.id, client=client)
print("Profile", done(known).id)
again = get_connection_profile.sync_detailed(
    profile.id, client=client, if_none_match=known.headers["etag"]
)
print("Unchanged:", again.status_code == 304)


def table(suffix, topic, kind):
    schema = {
        "format": {"type": "json"},
        "bad_data": {"behavior": "drop"},
        "fields": [
            {"name": "device", "type": "string", "required": True},
            {"name": "celsius", "type": "float64", "required": True},
        ],
    }
    config = {"topic": topic, "qos": "AtLeastOnce", "type": kind}
    body = {
        "name": f"{name}_{suffix}",
        "connector": "mqtt",
        "connection_profile_id": profile.id,
        "config": config,
        "schema": schema,
    }
    return done(create_connection_table.sync_detailed(client=client, body=ConnectionTablePost.from_dict(body)))


tables = [table("readings", f"{name}/+/readings", {}), table("alerts", f"{name}/alerts", {"retain": False})]
query = f"INSERT INTO {name}_alerts SELECT device, celsius FROM {name}_readings WHERE celsius > 90"
body = {"name": name, "query": query, "parallelism": 1}
pipeline = done(create_pipeline.sync_detailed(client=client, body=PipelinePost.from_dict(body)))
wait_for(pipeline.id, JobState.RUNNING)
print("Running")
stop = PipelinePatch.from_dict({"stop": "graceful"})
done(patch_pipeline.sync_detailed(pipeline.id, client=client, body=stop))
wait_for(pipeline.id, JobState.STOPPED)
done(delete_pipeline.sync_detailed(pipeline.id, client=client))
for each in tables:
    done(delete_connection_table.sync_detailed(each.id, client=client))
done(delete_connection_profile.sync_detailed(profile.id, client=client))
print("Removed")
