"""A Ray cluster of several nodes on 127.0.0.1, whose nodes come and are killed on demand.

The nodes are Ray's own processes, each node with its raylet, its store of objects and its workers;
a process of this module's starts them, so that ending it ends them.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCALHOST = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
}  # fmt: skip
"""With these every node listens on 127.0.0.1 alone, to those with the token: Ray makes one for
its own clusters only, so that these tests would need what another has left in the home folder."""

HOLD = """
import json, sys
from ray.cluster_utils import Cluster

node = {"num_cpus": 1, "object_store_memory": 90_000_000, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=node)
nodes = [cluster.head_node]

def say(**what):
    print("said", json.dumps(what), flush=True)

def raylet(node):
    return node.all_processes["raylet"][0].process.pid

say(address=cluster.gcs_address, raylet=raylet(nodes[0]))
for line in sys.stdin:
    what, number = line.split()
    if what == "add":
        nodes.append(cluster.add_node(**node))
        say(raylet=raylet(nodes[-1]))
    elif what == "kill":
        cluster.remove_node(nodes[int(number)], allow_graceful=False)
        say()
cluster.shutdown()
"""


class RayNodes:
    """A head with one core, to which nodes with one core each are added."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, **LOCALHOST},
            start_new_session=True,
        )  # fmt: skip
        said = self._said()
        self.address: str = said["address"]
        self.raylets: list[int] = [said["raylet"]]

    def add(self) -> int:
        """Start a node; gives its number, of which 0 is the head."""
        self.raylets.append(self._ask("add 0")["raylet"])
        return len(self.raylets) - 1

    def kill(self, number: int) -> None:
        """Send SIGKILL to every process of a node, as if its machine had lost power."""
        raylet = self.raylets[number]
        for pid in (*self._below(raylet), raylet):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._ask(f"kill {number}")

    def workers(self, number: int, title: str = "ray::RayWorker") -> list[int]:
        """Find our workers' processes on a node; busy ones are named `ray::RayWorker.work`."""
        return [
            pid for pid, (_, words) in self._below(self.raylets[number]).items()
            if words.startswith(title)
        ]  # fmt: skip

    def end(self) -> None:
        """Stop what is left of it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._holder.communicate("", timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._holder.pid, signal.SIGKILL)  # the group that it was started as
        self._holder.wait()

    def _below(self, top: int) -> dict[int, tuple[int, str]]:
        """Find the processes that a process began, and those that these began: parent and title."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat, words = (folder / "stat").read_text(), (folder / "cmdline").read_text()
                found[int(folder.name)] = (int(stat.rpartition(")")[2].split()[1]), words)
        parents = {pid: parent for pid, (parent, _) in found.items()}

        def below(pid):
            while pid in parents and pid != top:
                pid = parents[pid]
            return pid == top

        return {pid: what for pid, what in found.items() if pid != top and below(pid)}

    def _ask(self, words: str) -> dict[str, Any]:
        self._holder.stdin.write(words + "\n")
        self._holder.stdin.flush()
        return self._said()

    def _said(self) -> dict[str, Any]:
        for line in self._holder.stdout:
            if line.startswith("said "):
                return json.loads(line.removeprefix("said "))
        raise AssertionError("the cluster has ended")
