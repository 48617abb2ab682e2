"""Run a program as a systemd unit would, as far as that is possible without systemd.

    under_unit.py UNIT UID COMMAND…

Applied: the user (when root runs this), capabilities, umask, limits, and all that systemd turns into system call filters. What
needs namespaces or systemd itself is in NEEDS_SYSTEMD: `./dev package` starts the unit under systemd. A setting in neither table
is an error, so that whoever adds one decides where it belongs. A system call outside the allow-list ends the program, whatever
the unit's SystemCallErrorNumber says: a test wants to hear of it.
"""

import collections
import ctypes
import errno
import os
import re
import resource
import subprocess
import sys

from seccomp import ALLOW, EQ, ERRNO, KILL_PROCESS, MASKED_EQ, NE, Arg, SyscallFilter

NEEDS_SYSTEMD = set("""
    DevicePolicy DynamicUser ExecReload ExecStart FileDescriptorStoreMax Group KeyringMode LogsDirectory LogsDirectoryMode NotifyAccess OOMPolicy
    PrivateDevices PrivateIPC PrivateNetwork PrivateTmp ProcSubset ProtectClock ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs
    ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem ReadWritePaths RemoveIPC Restart RestartPreventExitStatus
    RestartSec SupplementaryGroups SystemCallArchitectures SystemCallErrorNumber TimeoutStartSec TimeoutStopSec Type User WatchdogSec
""".split())

CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10}
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 24, 38, 47, 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_SETPCAP = 8
CLONE_NEW = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
SCHED_OTHER, SCHED_BATCH, SCHED_IDLE = 0, 3, 5
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
SUID, SGID = 0o4000, 0o2000
# What the runtimes of sanitizers do when they begin and end; no part of what is shipped.
SANITIZERS = {"ptrace", "personality", "process_vm_readv", "sched_setaffinity", "setpriority"}
LIBC = ctypes.CDLL(None, use_errno=True)


def settings(path):
    """Of [Service]: each key with its values in order."""
    found, section = collections.defaultdict(list), None
    with open(path, encoding="utf-8") as file:
        for line in file.read().replace("\\\n", " ").splitlines():
            line = line.strip()
            if not line or line[0] in "#;":
                continue
            if line[0] == "[":
                section = line
            elif section == "[Service]":
                key, _, value = line.partition("=")
                found[key.strip()].append(value.strip())
    return found


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s%r: %s" % (name, arguments, os.strerror(number)))


# --- who it is


def set_capabilities(numbers):
    """Permitted, effective and inheritable: these, and no other."""
    masks = [sum(1 << (n % 32) for n in numbers if n // 32 == word) for word in (0, 1)]
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)(*[mask for mask in masks for _ in range(3)]))


def become(uid, bounding, ambient):
    for number in range(64):
        if number not in bounding:
            LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # fails for those that this kernel does not have
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    set_capabilities(ambient)
    for number in ambient:
        call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0)


# --- what it may call


def members(group, seen=None):
    """The system calls of a group like @system-service, as systemd knows it."""
    seen = seen if seen is not None else {}
    if group not in seen:
        seen[group] = set()
        text = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
        for word in re.findall(r"^    ([@\w-]+)$", text, re.MULTILINE):
            seen[group] |= members(word, seen) if word[0] == "@" else {word}
    return seen[group]


def allowed(values):
    """What is left of an allow-list when each line has added to it, or taken from it."""
    left = set()
    for value in values:
        takes = value.startswith("~")
        words = value.lstrip("~").split()
        if not left and takes:
            raise ValueError("SystemCallFilter begins with what it forbids: not an allow-list")
        for word in words:
            calls = members(word) if word[0] == "@" else {word}
            left = left - calls if takes else left | calls
    return left | members("@default")


def add(filter_, action, name, *arguments):
    try:
        filter_.add_rule(action, name, *arguments)
    except (RuntimeError, OSError):  # of another architecture, or newer than libseccomp
        pass


def restrictions(unit):
    """One filter for each setting, as systemd makes them: a call has to get past all of them."""
    eperm = ERRNO(errno.EPERM)
    if "RestrictAddressFamilies" in unit:
        filter_ = SyscallFilter(ALLOW)
        known = {FAMILIES[word] for word in " ".join(unit["RestrictAddressFamilies"]).split()}
        for family in set(range(64)) - known:
            add(filter_, ERRNO(errno.EAFNOSUPPORT), "socket", Arg(0, EQ, family))
        yield filter_
    if unit["RestrictNamespaces"] == ["yes"]:
        filter_ = SyscallFilter(ALLOW)
        add(filter_, ERRNO(errno.ENOSYS), "clone3")  # its flags are out of a filter's sight
        add(filter_, eperm, "setns")
        for flag in CLONE_NEW:
            add(filter_, eperm, "clone", Arg(0, MASKED_EQ, flag, flag))
            add(filter_, eperm, "unshare", Arg(0, MASKED_EQ, flag, flag))
        yield filter_
    if unit["RestrictRealtime"] == ["yes"]:
        filter_ = SyscallFilter(ALLOW)
        for policy in (1, 2, 6):
            add(filter_, eperm, "sched_setscheduler", Arg(1, EQ, policy))
        yield filter_
    if unit["RestrictSUIDSGID"] == ["yes"]:
        filter_ = SyscallFilter(ALLOW)
        for bit in (SUID, SGID):
            for name, at in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1), ("mknodat", 2)):
                add(filter_, eperm, name, Arg(at, MASKED_EQ, bit, bit))
        add(filter_, ERRNO(errno.ENOSYS), "openat2")  # its mode is out of a filter's sight
        yield filter_
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        filter_ = SyscallFilter(ALLOW)
        both = PROT_WRITE | PROT_EXEC
        add(filter_, eperm, "mmap", Arg(2, MASKED_EQ, both, both))
        add(filter_, eperm, "mprotect", Arg(2, MASKED_EQ, PROT_EXEC, PROT_EXEC))
        add(filter_, eperm, "pkey_mprotect", Arg(2, MASKED_EQ, PROT_EXEC, PROT_EXEC))
        add(filter_, eperm, "shmat", Arg(2, MASKED_EQ, SHM_EXEC, SHM_EXEC))
        yield filter_
    if unit["LockPersonality"] == ["yes"]:
        filter_ = SyscallFilter(ALLOW)
        add(filter_, eperm, "personality", Arg(0, NE, 0xffffffff))
        yield filter_


APPLIED = {
    "AmbientCapabilities", "CapabilityBoundingSet", "LimitCORE", "LimitMEMLOCK", "LimitNOFILE", "LockPersonality", "MemoryDenyWriteExecute",
    "NoNewPrivileges", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "SystemCallFilter", "UMask",
}


def allow_list(values, is_sanitized):
    filter_ = SyscallFilter(KILL_PROCESS)
    for name in sorted(allowed(values) | (SANITIZERS if is_sanitized else set())):
        add(filter_, ALLOW, name)
    return filter_


def is_sanitized(program):
    with open(program, "rb") as file:
        data = file.read()
    return b"__asan_init" in data or b"__tsan_init" in data


def set_limits(unit):
    for key, number in (("LimitCORE", resource.RLIMIT_CORE), ("LimitMEMLOCK", resource.RLIMIT_MEMLOCK), ("LimitNOFILE", resource.RLIMIT_NOFILE)):
        for value in unit[key][-1:]:
            hard = resource.getrlimit(number)[1]
            want = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)  # as systemd does without CAP_SYS_RESOURCE
            resource.setrlimit(number, (want, want))


def main(path, uid, *command):
    unit = settings(path)
    unknown = set(unit) - APPLIED - NEEDS_SYSTEMD
    if unknown:
        sys.exit("under_unit.py: nobody decided what to do about %s" % ", ".join(sorted(unknown)))
    sanitized = is_sanitized(command[0])
    filters = list(restrictions(unit)) if not sanitized else []  # shadow memory, and helpers of the leak check
    last = allow_list(unit["SystemCallFilter"], sanitized)  # asks systemd-analyze: before it may call nothing
    os.umask(int(unit["UMask"][-1], 8))
    set_limits(unit)
    bounding = [CAPABILITIES[word] for word in " ".join(unit["CapabilityBoundingSet"]).split()]
    ambient = [CAPABILITIES[word] for word in " ".join(unit["AmbientCapabilities"]).split()]
    if os.geteuid() == 0:
        become(int(uid), bounding, ambient)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for filter_ in [*filters, last]:
        filter_.load()
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
