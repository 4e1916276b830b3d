"""Starts emulators that are programs of their own, each on a free port of the loopback interface, and ends them by their process."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

READY_SECONDS = 30
TRIES = 3
ACCOUNT = "123456789012"


class Server:
    """A running server: `url` is its plain HTTP address."""

    def __init__(self, name, ports, command, folder, environment):
        """`environment` makes the variables of as many ports as asked; the first is that of `url`."""
        for left in reversed(range(TRIES)):
            # It tells no port that it chose itself, so it gets free ones; another program may take one first, hence the tries.
            chosen = free_ports(ports)
            self.url = f"http://127.0.0.1:{chosen[0]}"
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | environment(*chosen),
                stdin=subprocess.DEVNULL,
                # Standard output is the gateway's one line.
                stdout=sys.stderr,
            )
            if self._answers():
                return
            self.stop()
            if not left:
                raise RuntimeError(f"{name} did not answer on {self.url}")

    def _answers(self):
        end = time.monotonic() + READY_SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url, timeout=1)
                return True
            except urllib.error.HTTPError:
                return True  # an unsigned GET is refused, but by a server
            except OSError:
                time.sleep(0.05)
        return False

    def stop(self):
        """Ends the server."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class KinesisLocal(Server):
    """A Kinesis whose streams are UPDATING for a while, with AWS's rules on how far a scaling may go."""

    def __init__(self, package_folder, update_seconds, shard_limit):
        def environment(plain, tls):
            return {
                "KINESIS_MOCK_PLAIN_PORT": str(plain),
                "KINESIS_MOCK_TLS_PORT": str(tls),
                "UPDATE_SHARD_COUNT_DURATION": f"{update_seconds}s",
                "SHARD_LIMIT": str(shard_limit),
                "AWS_ACCOUNT_ID": ACCOUNT,
                "LOG_LEVEL": "ERROR",
            }

        # It looks for its certificate (server.json) in the working directory.
        super().__init__("kinesis-local", 2, ["node", "main.js"], package_folder, environment)


class MiniStack(Server):
    """STS, SNS and SQS."""

    def __init__(self, python):
        # It writes the number of its process into the folder for temporary files.
        self._folder = tempfile.mkdtemp()

        def environment(port):
            return {
                "GATEWAY_PORT": str(port),
                "BIND_HOST": "127.0.0.1",
                "SERVICES": "sts,sns,sqs",
                "MINISTACK_ACCOUNT_ID": ACCOUNT,
                "LOG_LEVEL": "ERROR",
                "TMPDIR": self._folder,
            }

        super().__init__("MiniStack", 1, [python, "-m", "ministack"], self._folder, environment)

    def stop(self):
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def free_ports(count):
    """Port numbers that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
