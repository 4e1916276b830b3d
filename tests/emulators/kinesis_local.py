"""Starts kinesis-local: a Kinesis whose streams are UPDATING for a while, with AWS's rules on how far a scaling may go."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

READY_SECONDS = 30
TRIES = 3


class KinesisLocal:
    """The running server: `url` is its plain HTTP address."""

    def __init__(self, package_folder, update_seconds, shard_limit):
        for left in reversed(range(TRIES)):
            # It tells no port that it chose itself, so it gets free ones; another program may take one first, hence the tries.
            plain, tls = free_ports(2)
            self.url = f"http://127.0.0.1:{plain}"
            self._process = subprocess.Popen(
                ["node", "main.js"],
                # It looks for its certificate (server.json) in the working directory.
                cwd=package_folder,
                env=os.environ
                | {
                    "KINESIS_MOCK_PLAIN_PORT": str(plain),
                    "KINESIS_MOCK_TLS_PORT": str(tls),
                    "UPDATE_SHARD_COUNT_DURATION": f"{update_seconds}s",
                    "SHARD_LIMIT": str(shard_limit),
                    "AWS_ACCOUNT_ID": "123456789012",
                    "LOG_LEVEL": "ERROR",
                },
                stdin=subprocess.DEVNULL,
                # Standard output is the gateway's one line.
                stdout=sys.stderr,
            )
            if self._answers():
                return
            self.stop()
            if not left:
                raise RuntimeError(f"kinesis-local did not answer on {self.url}")

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
