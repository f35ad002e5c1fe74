"""What a process has used: memory and processor time, from Linux's /proc."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Process:
    """A running process.

    Parameters
    ----------
    number
        Its id.
    """

    number: int

    @property
    def known(self) -> bool:
        """Whether this system says what a process uses."""
        return Path(f"/proc/{self.number}/status").is_file()

    def peak(self) -> float:
        """Return the most memory it ever held, in MiB."""
        return self._status("VmHWM")

    def memory(self) -> float:
        """Return the memory it holds now, in MiB."""
        return self._status("VmRSS")

    def busy(self) -> float:
        """Return the seconds it has computed on all cores, in steps of the system's clock tick."""
        fields = Path(f"/proc/{self.number}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.number}/status").read_text("utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / MIB
        return float("nan")


def machine() -> str:
    """Say in a line what computes, and how busy it was over the last five minutes."""
    listing = Path("/proc/cpuinfo")
    name = platform.processor() or platform.machine()
    if listing.is_file():
        for line in listing.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    load = f", load {os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{name}, {os.cpu_count()} cores{load}; Python {platform.python_version()}"
