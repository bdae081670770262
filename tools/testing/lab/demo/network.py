# SPDX-License-Identifier: GPL-2.0-only
"""The other end of the guest's conversation: sends back each word that it hears."""

import socket
import threading

from vm import wait


class Echo:
    """Listens from the beginning on; end() tells the number of words."""

    address = "10.77.0.1 7007"

    def __init__(self):
        address, port = self.address.split()
        self.listener = socket.create_server((address, int(port)))
        self.words = self.connections = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer):
        with peer, peer.makefile("rw") as stream:
            for word in stream:
                self.words += 1
                stream.write(word)
                stream.flush()

    def more(self, what, alive):
        """Waits for some words from now on."""
        goal = self.words + 5
        wait(what, lambda: self.words >= goal, alive)

    def end(self):
        self.listener.close()
        return self.words
