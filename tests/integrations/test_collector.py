"""OpenTelemetry through a real collector: SDK -> OTLP -> Rotel -> OTLP -> a server of the test.

Rotel is a collector whose binary is on PyPI; the OpenTelemetry Collector itself is published on
GitHub only, which not all machines of CI reach.
"""

from __future__ import annotations

import gzip
import http.server
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rotel", reason="needs the collector rotel (Linux, x86-64)")
pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="needs opentelemetry-exporter-otlp-proto-http"
)

import rotel
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from acechat import AuthenticationError, Client
from acechat.emulator import fail, ok
from acechat.integrations.opentelemetry import OpenTelemetry

SECRET = "the-secret-of-the-user"
MODEL = "claude-sonnet-4-20250514"


def free_ports(count):
    """Return ports that were free a moment ago; the collector takes no port 0."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Backend(http.server.ThreadingHTTPServer):
    """Receives OTLP from the collector."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies = {"/v1/traces": [], "/v1/metrics": []}

    def spans(self):
        requests = map(ExportTraceServiceRequest.FromString, self.bodies["/v1/traces"])
        return [
            (group.resource, scope.scope, span)
            for request in requests
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def metrics(self):
        requests = map(ExportMetricsServiceRequest.FromString, self.bodies["/v1/metrics"])
        return {
            metric.name: metric
            for request in requests
            for group in request.resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self.server.bodies[self.path].append(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Log nothing."""


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing arrived"
        time.sleep(0.05)


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def backend():
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def collector(backend, tmp_path):
    """Start the collector; yield the URL at which it receives OTLP."""
    http_port, grpc_port = free_ports(2)
    command = [
        Path(rotel.__file__).with_name("rotel-agent"), "start",
        "--otlp-http-endpoint", f"127.0.0.1:{http_port}",
        "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}",
        "--batch-timeout", "100ms", "--exporter", "otlp", "--otlp-exporter-protocol", "http",
        "--otlp-exporter-endpoint", f"http://127.0.0.1:{backend.server_port}",
    ]  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            until(lambda: accepts(http_port) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{http_port}"
        finally:
            process.terminate()


def text(attributes):
    return {each.key: each.value.string_value for each in attributes}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporters
def test_spans_and_metrics_arrive_through_a_collector(backend, collector, acechat_service):
    resource = Resource({"service.name": "weather"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{collector}/v1/traces")))
    exporter = OTLPMetricExporter(f"{collector}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(exporter)], resource)
    telemetry = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    acechat_service.script(ok(["one ", "two "]), fail(401))
    token, url = acechat_service.token, acechat_service.url

    with Client(token, base_url=url, observers=[telemetry], retries=1) as client:
        reply = client.stream(SECRET).collect()
        with pytest.raises(AuthenticationError):
            client.chat(SECRET)
    tracers.shutdown()
    meters.shutdown()

    until(lambda: len(backend.spans()) == 2 and len(backend.metrics()) == 4)
    (resource, scope, done), (_, _, failed) = sorted(
        backend.spans(), key=lambda each: each[2].start_time_unix_nano
    )
    assert text(resource.attributes)["service.name"] == "weather"
    assert scope.name == "acechat"
    assert done.name == failed.name == f"chat {MODEL}"
    assert done.kind == failed.kind == Span.SPAN_KIND_CLIENT
    assert text(done.attributes)["gen_ai.response.id"] == reply.id
    assert text(done.attributes)["acedatacloud.trace_id"] == reply.trace_id
    assert done.status.code == Status.STATUS_CODE_UNSET
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert text(failed.attributes)["error.type"] == "AuthenticationError"
    counts = {
        name: sum(point.count for point in metric.histogram.data_points)
        for name, metric in backend.metrics().items()
    }
    assert counts == {
        "gen_ai.client.operation.duration": 2,
        "gen_ai.client.operation.time_to_first_chunk": 1,
        "gen_ai.client.operation.time_per_output_chunk": 5,
        "gen_ai.client.token.usage": 2,
    }
    assert not any(SECRET.encode() in body for each in backend.bodies.values() for body in each)
