"""Serves moto to the AWS SDK for Rust, and kinesis-local and MiniStack if asked.

The Rust SDK speaks Smithy RPC v2 CBOR with CloudWatch, which moto answers with 404. So a small gateway decodes each call, makes the
same call on moto through boto3 (which speaks JSON), and encodes the answer. Kinesis and DynamoDB go to moto directly.

Usage: gateway.py [--kinesis-local PACKAGE_FOLDER [--update-seconds N] [--shard-limit N]] [--ministack PYTHON]
                  [--record [--moto-latency-ms N] [--cloudwatch-latency-ms N]]

When everything answers, one line of JSON on standard output tells where: {"moto": URL, "cloudwatch": URL, "pid": N, "kinesis_local": URL
or null, "ministack": URL or null, "calls": URL or null}. With --record moto and MiniStack are behind a recorder (recorder.py), and
"calls" gives its notes. Ends, with all that it started, when standard input ends: no server outlives its test.
"""

import argparse
import datetime
import functools
import gzip
import http.server
import json
import logging
import os
import re
import sys
import threading

import boto3
import botocore
import botocore.config
import botocore.exceptions
import cbor2
from moto.server import ThreadedMotoServer

import moto_repairs
import recorder
import servers

PATH = re.compile(r"^/service/GraniteServiceVersion20100801/operation/(\w+)$")
# The scope of a SigV4 signature: key id, date, region.
SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/")


class Gateway(http.server.ThreadingHTTPServer):
    """The HTTP server; knows moto's address."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, moto):
        super().__init__(("127.0.0.1", 0), Handler)
        self.moto = moto
        self._session = boto3.Session()
        self._lock = threading.Lock()

    @functools.cache
    def _client(self, key_id, region):
        return self._session.client(
            "cloudwatch",
            region_name=region,
            endpoint_url=self.moto,
            aws_access_key_id=key_id,
            aws_secret_access_key="unchecked",
            # The caller retries; a retry in here would hide that from a test.
            config=botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=64, proxies={}),
        )

    def client(self, key_id, region):
        """A boto3 client for the caller's region; a session may not make two at once."""
        with self._lock:
            return self._client(key_id, region)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of the SDK."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":  # the SDKs compress large PutMetricData calls
            body = gzip.decompress(body)
        try:
            answer = self._call(body)
        except Refused as refused:
            self._reply(refused.status, {"__type": refused.shape, "message": str(refused)}, refused.code)
        except Exception as error:  # a fault of the gateway itself: 500, as a service would
            logging.exception("%s", self.path)
            self._reply(500, {"__type": "InternalServiceFault", "message": repr(error)}, "InternalServiceError")
        else:
            self._reply(200, answer)

    def _call(self, body):
        path, scope = PATH.match(self.path), SCOPE.search(self.headers.get("authorization", ""))
        if not path or self.headers.get("smithy-protocol") != "rpc-v2-cbor":
            raise Refused(404, "UnknownOperationException", f"not an RPC v2 CBOR call of CloudWatch: {self.path}")
        if not scope:
            raise Refused(403, "MissingAuthenticationToken", "the request is not signed with SigV4")
        client = self.server.client(*scope.groups())
        service = client.meta.service_model
        if path[1] not in service.operation_names:
            raise Refused(404, "UnknownOperationException", f"CloudWatch has no operation {path[1]}")
        if path[1] == "ListAlarmMuteRules":  # moto does not have mute rules: there are none
            return {}
        operation = service.operation_model(path[1])
        # CBOR's tag 1 arrives as a datetime, which boto3 takes; the other types are the same on both sides.
        arguments = cbor2.loads(body) if body else {}
        try:
            answer = getattr(client, botocore.xform_name(path[1]))(**arguments)
        except botocore.exceptions.ParamValidationError as error:
            raise Refused(400, "ValidationError", str(error)) from error
        except botocore.exceptions.ClientError as error:
            raise Refused.by_moto(operation.error_shapes + service.error_shapes, error) from error
        return to_cbor(operation.output_shape, answer)

    def _reply(self, status, value, query_error=None):
        body = cbor2.dumps(value)
        self.send_response(status)
        self.send_header("content-type", "application/cbor")
        self.send_header("content-length", str(len(body)))
        self.send_header("smithy-protocol", "rpc-v2-cbor")
        if query_error:
            # CloudWatch's errors have an older name too, and the SDK goes by that.
            fault = "Sender" if status < 500 else "Receiver"
            self.send_header("x-amzn-query-error", f"{query_error};{fault}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        logging.debug(format, *args)


class Refused(Exception):
    """An error answer."""

    def __init__(self, status, code, message, shape=None):
        super().__init__(message)
        self.status, self.code, self.shape = status, code, shape or code

    @classmethod
    def by_moto(cls, shapes, error):
        """The error that moto gave, under the name of its shape (the first that fits) and under its older name."""
        details = error.response["Error"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        shape = next((s for s in shapes if details["Code"] in (s.name, s.error_code)), None)
        if shape is None:
            return cls(status, details["Code"], details.get("Message", ""))
        return cls(status, shape.error_code, details.get("Message", ""), shape.name)


def to_cbor(shape, value):
    """Turns boto3's answer into what cbor2 writes as the protocol wants it, by the API model's types."""
    if shape is None or value is None:
        return {}
    match shape.type_name:
        case "structure":
            members = {name: value.get(name) for name in shape.members}
            return {name: to_cbor(shape.members[name], member) for name, member in members.items() if member is not None}
        case "list":
            return [to_cbor(shape.member, element) for element in value]
        case "map":
            return {key: to_cbor(shape.value, element) for key, element in value.items()}
        case "timestamp":
            return cbor2.CBORTag(1, value.astimezone(datetime.UTC).timestamp())
        case "double" | "float":
            # As a float64, be it whole or not.
            return float(value)
        case _:
            return value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinesis-local", metavar="PACKAGE_FOLDER")
    parser.add_argument("--update-seconds", type=int, default=3)
    parser.add_argument("--shard-limit", type=int, default=500)
    parser.add_argument("--ministack", metavar="PYTHON")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--moto-latency-ms", type=int, default=0)
    parser.add_argument("--cloudwatch-latency-ms", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    moto_repairs.apply()
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    moto_url = f"http://{host}:{port}"
    gateway = Gateway(moto_url)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()

    cloudwatch_url, ministack_url, calls = f"http://127.0.0.1:{gateway.server_port}", None, None
    started = []
    try:
        if options.kinesis_local:
            started.append(servers.KinesisLocal(options.kinesis_local, options.update_seconds, options.shard_limit))
        if options.ministack:
            started.append(servers.MiniStack(options.ministack))
            ministack_url = started[-1].url
        if options.record:
            ledger = recorder.Ledger()
            moto_url = recorder.Recorder(moto_url, ledger, options.moto_latency_ms).start()
            cloudwatch_url = recorder.Recorder(cloudwatch_url, ledger, options.cloudwatch_latency_ms).start()
            ministack_url = ministack_url and recorder.Recorder(ministack_url, ledger, 0).start()
            calls = f"{moto_url}/calls"
        urls = {
            "moto": moto_url,
            "cloudwatch": cloudwatch_url,
            "pid": os.getpid(),
            "kinesis_local": started[0].url if options.kinesis_local else None,
            "ministack": ministack_url,
            "calls": calls,
        }
        print(json.dumps(urls), flush=True)
        sys.stdin.buffer.read()
    finally:
        for server in started:
            server.stop()
    # Threads of moto may still serve; there is nothing to save.
    os._exit(0)


if __name__ == "__main__":
    main()
