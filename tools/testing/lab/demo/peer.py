#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The demo's hand on the second server: does there what the first one asks for over the network."""

from host import KEY, PORT, Manager

Manager(("", PORT), KEY).get_server().serve_forever()
