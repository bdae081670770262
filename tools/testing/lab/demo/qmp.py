# SPDX-License-Identifier: GPL-2.0-only
"""A small QMP client for unix sockets and for character devices such as virtio ports."""

import itertools
import json
import os
import select
import socket
import stat
import time

# Nobody waits this long for an answer on any machine; it only ends a wait for a dead peer.
WATCHDOG = 600


class QMPError(Exception):
    """The peer refused a command, or is gone."""


class QMP:
    """One connection. Answers are matched by id: a port keeps what an earlier user left unread."""

    def __init__(self, path):
        self.path = path
        self.events = []
        self._buffer = b""
        self._ids = (f"{os.getpid()}-{time.monotonic_ns()}-{n}" for n in itertools.count())
        if stat.S_ISSOCK(os.stat(path).st_mode):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(path)
            self._fd = self._socket.fileno()
        else:
            self._socket = None
            self._fd = os.open(path, os.O_RDWR)
        try:
            self.cmd("qmp_capabilities")
        except QMPError as error:
            # A port has one session for all its users: an earlier one has been here.
            if error.args[0] != "CommandNotFound":
                raise

    def close(self):
        if self._socket:
            self._socket.close()
        else:
            os.close(self._fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _write(self, data):
        while data:
            data = data[os.write(self._fd, data):]

    def _messages(self, timeout):
        """Yields what arrives within timeout; ends when it is over."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            line, separator, rest = self._buffer.partition(b"\n")
            if separator:
                self._buffer = rest
                try:
                    yield json.loads(line)
                except ValueError:
                    pass  # the second half of something an earlier user began to read
                continue
            left = deadline - time.monotonic()
            if not poll.poll(max(0, left) * 1000):
                return
            data = os.read(self._fd, 65536)
            if not data:
                raise QMPError("Closed", f"{self.path}: the other side is gone")
            self._buffer += data

    def cmd(self, name, **arguments):
        """Runs a command and returns its result. A '_' in an argument's name stands for '-'."""
        ident = next(self._ids)
        message = {"execute": name, "id": ident}
        if arguments:
            message["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._write(json.dumps(message).encode() + b"\n")
        for answer in self._messages(WATCHDOG):
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == ident:
                if "error" in answer:
                    raise QMPError(answer["error"]["class"], f"{name}: {answer['error']['desc']}")
                return answer["return"]
        raise QMPError("Timeout", f"{self.path}: no answer to {name}")

    def poll(self):
        """Collects the events that have arrived."""
        for answer in self._messages(0):
            if "event" in answer:
                self.events.append(answer)
        return self.events
