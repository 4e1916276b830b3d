"""Stands before an emulated service, notes each call in the order in which the service carried them out, and may make calls slow.

Calls are carried out one at a time: AWS's conditional writes are atomic, and moto's are only so while nothing else goes on. A call whose
caller is gone when its turn comes is carried out all the same, as AWS would. `GET /calls?from=N` gives the notes from the Nth on, as JSON:

    {"operation", "key": the caller's key id, "received", "carried_out": seconds since 1970, "status", …what a write meant}
"""

import http.client
import http.server
import json
import logging
import re
import sys
import threading
import time
import urllib.parse

import cbor2

SCOPE = re.compile(r"Credential=([^/,\s]+)/")
OPERATION = re.compile(r"/operation/(\w+)$")
# The test's own calls are noted, and never slow.
UNDELAYED = "test"
HOP_BY_HOP = ("connection", "content-length", "date", "server", "transfer-encoding")


class Ledger:
    """The notes of all recorders of one emulator."""

    def __init__(self):
        self.turn = threading.Lock()
        self.calls = []


class Recorder(http.server.ThreadingHTTPServer):
    """A proxy of the service at `upstream`."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A caller that was killed between two calls is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def __init__(self, upstream, ledger, latency_ms):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.ledger = ledger
        self.half_of_latency = latency_ms / 2000

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        start = int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["from"][0])
        self._reply(200, {"content-type": "application/json"}, json.dumps(self.server.ledger.calls[start:]).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call = {
            "operation": self._operation(body),
            "key": SCOPE.search(self.headers.get("authorization", "Credential=none/"))[1],
            "received": time.time(),
        }
        pause = 0 if call["key"] == UNDELAYED else self.server.half_of_latency
        time.sleep(pause)
        ledger = self.server.ledger
        with ledger.turn:
            status, headers, reply = self._forward(body)
            call |= {"carried_out": time.time(), "status": status}
            try:
                call |= meaning(call["operation"], body, reply) if status == 200 else {}
            except Exception:
                logging.exception("a call that is not understood: %s", call)
            ledger.calls.append(call)
        time.sleep(pause)
        self._reply(status, headers, reply)

    def _operation(self, body):
        if path := OPERATION.search(self.path):
            return path[1]
        if target := self.headers.get("x-amz-target"):
            return target.rpartition(".")[2]
        return form(body).get("Action", "")

    def _forward(self, body):
        upstream = http.client.HTTPConnection(self.server.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in (*HOP_BY_HOP, "host")}
        upstream.request("POST", self.path, body, headers)
        response = upstream.getresponse()
        reply = response.read()
        upstream.close()
        return response.status, {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}, reply

    def _reply(self, status, headers, body):
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            # The caller was killed.
            self.close_connection = True

    def log_message(self, format, *args):
        logging.debug(format, *args)


def form(body):
    """The parameters of a call in the query protocol, as STS and SNS speak it."""
    return dict(urllib.parse.parse_qsl(body.decode()))


def meaning(operation, body, reply):
    """What a write that was carried out has done."""
    match operation:
        case "UpdateShardCount":
            asked, answer = json.loads(body), json.loads(reply)
            stream = asked.get("StreamName") or asked["StreamARN"].rpartition("/")[2]
            return {"stream": stream, "from": answer["CurrentShardCount"], "to": answer["TargetShardCount"]}
        case "PutMetricAlarm":
            alarm = cbor2.loads(body)
            count = next(query["Expression"] for query in alarm["Metrics"] if query["Id"] == "shardCount")
            return {"alarm": alarm["AlarmName"], "shards": count}
        case "SetAlarmState":
            alarm = cbor2.loads(body)
            return {"alarm": alarm["AlarmName"], "state": alarm["StateValue"]}
        case "TransactWriteItems":
            writes = [write["Put"]["Item"] for write in json.loads(body)["TransactItems"] if "Put" in write]
            return {
                "lease": next((item["holder"]["S"] for item in writes if item["stream_name"]["S"] == "#lease"), None),
                "rows": [
                    {"outcome": item["outcome"]["S"], "intent": item["intent_id"]["S"]}
                    for item in writes
                    if not item["stream_name"]["S"].startswith("#")
                ],
            }
        case "AssumeRole":
            return {"role": form(body)["RoleArn"], "assumed": re.search(rb"<AccessKeyId>(\w+)<", reply)[1].decode()}
        case _:
            return {}
