"""A store on an object store, followed into a local directory: SeaweedFS, as scripts/object-server.sh starts it."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from pathlib import Path

import cutover
import pytest
from conftest import skip
from test_flips import wait_for

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/object-server.sh"


def free_ports(count: int) -> int:
    for first in range(11_300, 12_500, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if subprocess.run([SCRIPT, "fetch"], stdin=subprocess.DEVNULL).returncode:
        skip("SeaweedFS cannot be had; run: scripts/setup.sh --objects")
    port = free_ports(8)
    directory = tmp_path_factory.mktemp("objects")
    process = subprocess.Popen([SCRIPT, "try", directory, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("ready")
    yield port
    process.stdin.close()
    process.wait(60)


@pytest.fixture
def url(server, tmp_path, monkeypatch):
    bucket = f"bucket-{abs(hash(str(tmp_path)))}"
    request = urllib.request.Request(f"http://127.0.0.1:{server + 1}/buckets/{bucket}/", method="POST")
    assert urllib.request.urlopen(request).status == 201
    for name, value in {
        "AWS_ACCESS_KEY_ID": "admin",
        "AWS_SECRET_ACCESS_KEY": "admin-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server}",
        "CUTOVER_ALLOW_HTTP": "true",
        "CUTOVER_WORK_DIR": str(tmp_path / "work"),
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://{bucket}/numbers"


def test_a_remote_store_is_followed(workspace, url, tmp_path):
    workspace.job("SELECT * FROM rows", store=url)
    workspace.generation(1)
    with cutover.Reader(url, cache=tmp_path / "cache", refresh_every=0.05) as reader:
        before = reader.snapshot()
        assert before.get("k00001") == {"generation": 1}
        with pytest.raises(cutover.ConflictError):
            cutover.Reader(url, cache=tmp_path / "cache")
        with cutover.Reader(tmp_path / "cache") as second:
            assert second.get("k00001") == {"generation": 1}
        workspace.generation(2)
        wait_for(lambda: reader.version == 2)
        assert (before.get("k00001"), reader.get("k00001")) == ({"generation": 1}, {"generation": 2})
        assert reader.last_error is None
    with cutover.Reader(url, cache=tmp_path / "cache") as again:
        assert again.version == 2, "the directory is free once the reader is closed"


def test_a_store_that_does_not_answer(workspace, url, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(cutover.UnavailableError):
        cutover.Reader(url, cache=tmp_path / "cache")
