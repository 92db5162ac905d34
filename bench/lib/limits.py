"""Runs a command under a limit of its memory that the operating system enforces."""

import os
import resource
import subprocess
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory")


class Unlimited:
    name = "no limit"
    command = []

    def enter(self):
        """In the child, before the command starts."""

    def close(self):
        """When the command has ended."""


class Cgroup(Unlimited):
    """A memory control group, version 1: counts pages of files as well, and kills beyond the limit."""

    name = "memory control group"

    def __init__(self, limit):
        self.group = CGROUP / f"kvshare-bench-{os.getpid()}"
        self.group.mkdir()
        (self.group / "memory.limit_in_bytes").write_text(str(limit))
        swap = self.group / "memory.memsw.limit_in_bytes"
        if swap.exists():
            swap.write_text(str(limit))

    def enter(self):
        (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        self.group.rmdir()


class Scope(Unlimited):
    """A scope of systemd: a memory control group for users without rights of their own."""

    name = "scope of systemd"

    def __init__(self, limit):
        user = [] if os.geteuid() == 0 else ["--user"]
        self.command = ["systemd-run", "--quiet", "--scope", *user, "-p", f"MemoryMax={limit}", "-p", "MemorySwapMax=0"]
        subprocess.run([*self.command, "true"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class DataLimit(Unlimited):
    """RLIMIT_DATA: private writable memory, pages of mapped files excluded; allocations beyond it fail."""

    name = "RLIMIT_DATA"

    def __init__(self, limit):
        self.limit = limit

    def enter(self):
        resource.setrlimit(resource.RLIMIT_DATA, (self.limit, self.limit))


def of(limit):
    """The strictest limit that may be set here."""
    for kind in (Cgroup, Scope):
        try:
            return kind(limit)
        except (OSError, subprocess.CalledProcessError):
            continue
    return DataLimit(limit)


def run(command, limit):
    """Runs a command to its end: seconds of processor time, and the most bytes resident at once (VmHWM)."""
    process = subprocess.Popen(
        [*limit.command, *map(str, command)], preexec_fn=limit.enter, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    limit.close()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with exit code {process.returncode} under {limit.name}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
