"""`acechat doctor` reads the public status page."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from acechat.cli.calls.status_page import service_status, status_url


@contextmanager
def page(body, status=200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/data/status_1.json"
        server.shutdown()
        thread.join()


def buckets(*statuses):
    rows = [
        {"started_at": f"2026-01-01T0{n}:00:00Z", "status": status, "uptime": 99.5}
        for n, status in enumerate(statuses)
    ]
    other = {"alias": "suno", "buckets": [{"status": "down"}]}
    return json.dumps({"schema": 1, "services": [other, {"alias": "claude", "buckets": rows}]})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (buckets("operational"), (True, "operational, uptime 99.5 %")),
        (buckets("down", "operational", "unknown"), (True, "operational, uptime 99.5 %")),
        (buckets("operational", "down"),
         (False, "down since 2026-01-01T01:00:00Z, uptime 99.5 %")),
        (buckets("unknown"), (True, "operational")),
        (buckets(), (True, "operational")),
        (json.dumps({"services": []}), None),
        (json.dumps({"services": None}), None),
        (json.dumps([1]), None),
        ("<html>", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_last_bucket_with_data_counts(body, expected):
    with page(body) as url:
        assert service_status(url) == expected


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "file:///etc/passwd", "nothing"])
def test_a_page_that_cannot_be_read_is_no_fault(url):
    assert service_status(url) is None


@pytest.mark.parametrize(
    ("base_url", "read"),
    [
        ("https://api.acedata.cloud", True),
        ("https://acedata.cloud/v1", True),
        ("https://notacedata.cloud", False),
        ("http://127.0.0.1:8000", False),
    ],
)
def test_only_the_page_of_acedata_is_read(base_url, read):
    assert (status_url(base_url) is not None) == read


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [("operational", 0, "ok     status page"), ("down", 1, "WRONG  status page")],
)
def test_the_doctor_reports_an_outage(run, environment, status, code, line):
    with page(buckets(status)) as url:
        done = run("doctor", env={"ACECHAT_STATUS_URL": url})

    assert done.returncode == code
    assert line in done.stdout
    assert ("the service reports a fault" in done.stdout) == bool(code)
