"""A Debian of its own, in a folder: to build packages in, or booted with systemd, without leaving a trace outside."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

SUITE = "bookworm"
INCLUDE = "systemd,systemd-sysv,dbus,procps,openssl,logrotate"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "TERM": "dumb"}
CGROUPS = pathlib.Path("/sys/fs/cgroup")
BOOT_SECONDS = 90


class Failed(Exception):
    """A command that ended with another status than it should."""


def debootstrap(folder, log):
    """A fresh minimal system."""
    half = folder.with_name(folder.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    subprocess.run(["debootstrap", "--variant=minbase", "--include=" + INCLUDE, SUITE, half], stdout=log, stderr=log, check=True)
    half.rename(folder)


def own_cgroup(name):
    """Into a group of our own in every hierarchy that we may write: a systemd that boots takes the one it finds itself in for all there is."""
    for procs in [*CGROUPS.glob("*/cgroup.procs"), CGROUPS / "cgroup.procs"]:
        if not procs.exists():
            continue
        group = procs.parent / name
        with contextlib.suppress(OSError):  # a controller that cannot be had
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))


class Machine:
    """A folder with a system in it."""

    def __init__(self, folder, log):
        self.folder, self.log = pathlib.Path(folder), log
        self.boot = self.leader = None
        self.started = []

    def nspawn(self, *options):
        name = "wsbus-" + self.folder.name
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--machine=" + name, "--directory=%s" % self.folder, *options]
        return command, lambda: own_cgroup(name)

    def build(self, command, cwd="/", timeout=1800):
        """Run a command in it as it lies there, with the network of the host."""
        start, enter = self.nspawn("--as-pid2", "--resolv-conf=copy-host", "--chdir=%s" % cwd, *("--setenv=%s=%s" % pair for pair in ENVIRONMENT.items()))
        done = subprocess.run([*start, "bash", "-c", command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=enter, timeout=timeout)
        if done.returncode:
            raise Failed("%s: status %d" % (command, done.returncode))

    # --- booted

    def start(self):
        """Boot it, without a network but its own loopback."""
        start, enter = self.nspawn("--boot", "--private-network", "--console=pipe")
        self.boot = subprocess.Popen(start, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=enter)
        end = time.monotonic() + BOOT_SECONDS
        while self.leader is None or self.run("systemctl is-system-running", check=False).strip() not in ("running", "degraded"):
            if self.boot.poll() is not None or time.monotonic() > end:
                raise Failed("the machine does not boot; see the log")
            children = pathlib.Path("/proc/%d/task/%d/children" % (self.boot.pid, self.boot.pid)).read_text().split()
            self.leader = int(children[0]) if children else None
            time.sleep(0.1)

    def enter(self, command):
        environment = ["%s=%s" % pair for pair in ENVIRONMENT.items()]
        return ["nsenter", "--all", "--target=%d" % self.leader, "env", "-i", *environment, "bash", "-c", command]

    def run(self, command, check=True, status=0, timeout=120):
        """What a command in it says."""
        done = subprocess.run(self.enter(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        self.log.write("# %s\n%s%s" % (command, done.stdout, done.stderr))
        self.log.flush()
        if check and done.returncode != status:
            raise Failed("%s: status %d\n%s%s" % (command, done.returncode, done.stdout, done.stderr))
        return done.stdout if check else done.stdout + done.stderr

    def popen(self, command, **kwargs):
        self.started.append(subprocess.Popen(self.enter(command), text=True, **kwargs))
        return self.started[-1]

    def eventually(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Failed("not within %d s: %s" % (seconds, what))
            time.sleep(0.1)

    def stop(self):
        for process in self.started:
            process.kill()
            process.wait()
        if self.boot is None:
            return
        self.boot.send_signal(signal.SIGTERM)
        try:
            self.boot.wait(30)
        except subprocess.TimeoutExpired:
            self.boot.kill()
            self.boot.wait()
        if self.leader and os.path.exists("/proc/%d" % self.leader):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
        self.boot = self.leader = None
