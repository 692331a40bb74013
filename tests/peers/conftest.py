"""Peers: servers that nobody here wrote, behind the gateway."""

import sys
from pathlib import Path

# The gateway as a process is started the same way for clients and for peers.
sys.path.append(str(Path(__file__).parent.parent / "clients"))
