"""Does a user's own key reach a job through Galaxy's credentials, and nothing else?

A server on the loopback that answers as OpenAI does takes one key only. A job of embed-genes asks
it with the user's credentials, then one without.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "genes"))

from fake_openai import embeddings_server  # noqa: E402
from loopback import Loopback, Reply, Request, serving  # noqa: E402

TOOL, SERVICE, VERSION = "screader_embed_genes", "openai", "1.0"
PATIENCE = 180  # seconds for a job
REFUSED = "Check the key in the environment."


def differs(server: Any) -> list[str]:
    """What is not as it should be; empty where all is."""
    key = secrets.token_hex(20)

    def answer(request: Request) -> Reply:
        good = request.headers["Authorization"] == f"Bearer {key}"
        return embeddings_server(request) if good else Reply(b"{}", status=401)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate)
    with serving(answer, context) as asked:
        credentials = [keep(server, key)]
        history = server.call("histories", {"name": "A user's key"})["id"]
        genes = upload(server, history)
        given = embed(server, history, genes, asked, credentials)
        found = of_the_job_with_key(server, given, key, asked)
        without = embed(server, history, genes, asked, [])
        if without["state"] != "error" or REFUSED not in without["stderr"]:
            found.append(f"without credentials: {without['state']}, {without['stderr']}")
        return found


def keep(server: Any, key: str) -> dict[str, Any]:
    """Put the key into the user's vault; what a job is to be started with."""
    user = server.call("users/current")["id"]
    version = server.call(f"tools/{TOOL}")["version"]
    group = {"name": "mine", "variables": [], "secrets": [{"name": "api_key", "value": key}]}
    service = {"name": SERVICE, "version": VERSION, "group": group}
    source = {"source_type": "tool", "source_id": TOOL, "source_version": version}
    body = source | {"service_credential": service}
    made = server.call(f"users/{user}/credentials", body)
    whole = next(
        one
        for one in server.call(f"users/{user}/credentials")
        if any(each["id"] == made["id"] for each in one["groups"])
    )
    return {
        "user_credentials_id": whole["id"],
        "name": SERVICE,
        "version": VERSION,
        "selected_group": {"id": made["id"], "name": made["name"]},
    }


def upload(server: Any, history: str) -> str:
    """The descriptions of the test data, in a history; the dataset's id."""
    content = (HERE / "test-data" / "descriptions.h5ad").read_bytes()
    url = "base64://" + base64.b64encode(content).decode()
    element = {"src": "url", "url": url, "name": "descriptions", "ext": "h5ad"}
    target = {"destination": {"type": "hdas"}, "elements": [element]}
    answer = server.call("tools/fetch", {"history_id": history, "targets": [target]})
    finished(server, answer["jobs"][0]["id"])
    return str(answer["outputs"][0]["id"])


def embed(
    server: Any, history: str, genes: str, asked: Loopback, credentials: list[dict[str, Any]]
) -> dict[str, Any]:
    """The finished job."""
    body = {
        "history_id": history,
        "tool_id": TOOL,
        "inputs": {
            "by|provider": "openai",
            "by|descriptions": {"src": "hda", "id": genes},
            "by|base_url": f"{asked.url}/v1",
            "by|model": "small",
        },
        "credentials_context": credentials,
    }
    return finished(server, server.call("tools", body)["jobs"][0]["id"])


def finished(server: Any, job: str) -> dict[str, Any]:
    """A job with all that Galaxy keeps of it, once it has ended."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found: dict[str, Any] = server.call(f"jobs/{job}?full=true")
        if found["state"] in ("ok", "error", "deleted", "paused"):
            return found
        time.sleep(0.5)
    raise LookupError(f"job {job} has not ended")


def of_the_job_with_key(server: Any, job: dict[str, Any], key: str, asked: Loopback) -> list[str]:
    """It has asked the server, has embeddings, and tells the key nowhere."""
    found = []
    if job["state"] != "ok" or not asked.requests:
        found.append(f"with credentials: {job['state']}, {job['stderr']}")
    told = json.dumps(job)
    for output in job["outputs"].values():
        dataset = server.call(f"datasets/{output['id']}")
        told += json.dumps(dataset) + server.content(output["id"]).hex()
    if any(text in told for text in (key, key.encode().hex())):
        found.append("the key is told")
    return found
