"""The life of an installed gate, step by step. Each step is a promise; they build on each other."""

import json
import pathlib
import re
import subprocess
import sys

from machine import Failed

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tests/install"))

import hardening  # noqa: E402 -- found by the line above

CONF = "/etc/wsbus/wsgate.conf"
# What they depend on lies in the cache: no network is needed.
INSTALL = "apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold "
CLIENT = "PYTHONPATH=/usr/local/lib python3 /usr/local/lib/client.py"
ECHO = "/usr/share/doc/python3-wsbus/examples/echo.py"
_steps = []


def step(function):
    _steps.append((function.__name__.replace("_", " "), function))
    return function


def steps():
    return _steps


def need(condition, what):
    if not condition:
        raise Failed(what)


def show(m, prop, unit="wsgate"):
    return m.run("systemctl show --property=%s --value %s" % (prop, unit)).strip()


def pid(m):
    return int(show(m, "MainPID"))


def handlers(m):
    """None when no gate answers."""
    return json.loads(m.run("wsctl --json handlers 2>/dev/null", check=False)).get("handlers")


def wait_handlers(m, count):
    m.eventually(lambda: len(handlers(m) or ()) == count, "%d handlers" % count)


def talk(m, port, *words):
    got = m.run("%s %d %s" % (CLIENT, port, " ".join(words))).split()
    need(got == list(words), "%r came back for %r" % (got, words))


def serve(m, name, command, *properties):
    """A handler as a service of its own, as a user in the group of the gate."""
    options = " ".join("--property=" + one for one in (*properties, "SupplementaryGroups=wsbus"))
    m.run("systemd-run --quiet --unit=%s --uid=%s %s %s" % (name, name, options, command))


def configure(m, *changes):
    """Replace, or add at the end, and check."""
    path = m.folder / CONF.lstrip("/")
    text = path.read_text()
    for old, new in changes:
        need(old in text, "%r is not in the configuration" % old)
        text = text.replace(old, new)
    path.write_text(text)
    m.run("wsgate -t -c " + CONF)


class Held:
    """A client that stays connected while things happen."""

    def __init__(self, m, port):
        self.process = m.popen("%s %d --hold" % (CLIENT, port), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        need(self.process.stdout.readline() == "open\n", "the client is not let in")

    def talk(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        got = self.process.stdout.readline()
        need(got == word + "\n", "%r came back for %r" % (got, word))

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


# --- it is installed, and runs


@step
def the_packages_install_and_the_gate_runs(m):
    m.run(INSTALL + "/packages/*_0.1.0_*.deb", timeout=600)
    need(show(m, "ActiveState") == "active", "the unit is %s" % show(m, "ActiveState"))
    need(show(m, "StatusText").startswith("Serving 1 routes on 1 addresses"), "its status: %s" % show(m, "StatusText"))
    need(m.run("systemctl is-enabled wsgate").strip() == "enabled", "it starts with the machine")


@step
def the_programs_are_hardened(m):
    """The installed files: dpkg-buildpackage brings flags of its own, and strips what it has built."""
    listed = m.run("dpkg-query --listfiles wsbus libwsbus0 libwsbus-dev python3-wsbus").split()
    places = sorted({m.folder / line.lstrip("/") for line in listed})
    files = [path for path in places if path.is_file() and not path.is_symlink()]
    elves = [(path, elf) for path in files for elf in hardening.read_elf(path)]
    complaints = ["/%s %s" % (path.relative_to(m.folder), wrong) for path, elf in elves for wrong in hardening.judge_shipped(elf, is_optimised=True)]
    need(not complaints, "; ".join(complaints))
    names = {path.name for path, _ in elves}
    need(names >= {"wsgate", "wsctl", "wsbench"}, "programs: %s" % sorted(names))
    need(any(name.startswith("libwsbus.so.") for name in names), "the library: %s" % sorted(names))


@step
def it_is_its_own_user_with_nothing_to_spare(m):
    status = m.run("cat /proc/%d/status" % pid(m))
    for pattern in (r"Seccomp:\t2", r"NoNewPrivs:\t1", r"CapEff:\t0000000000000400", r"CapBnd:\t0000000000000400"):
        need(re.search(pattern, status), "%s in\n%s" % (pattern, status))
    need(m.run("ps -o user= -p %d" % pid(m)).strip() == "wsbus", "the user")
    need("Max core file size        0 " in m.run("cat /proc/%d/limits" % pid(m)), "no core files")
    need(m.run("stat -c '%U %G %a' /run/wsbus").strip() == "wsbus wsbus 750", "the runtime directory")


@step
def a_handler_in_python_serves_a_client(m):
    for user in ("pyecho", "cecho", "other"):
        m.run("useradd --system --groups wsbus %s" % user)
    serve(m, "pyecho", "python3 " + ECHO)
    wait_handlers(m, 1)
    talk(m, 8080, "hello", "again")


@step
def whoever_is_not_in_the_group_is_kept_out(m):
    m.run("useradd --system stranger")
    m.run("setpriv --reuid=stranger --regid=stranger --clear-groups wsctl status", status=3)


@step
def the_example_of_a_handlers_unit_serves_over_shared_memory(m):
    m.run("systemctl stop pyecho")
    m.run("cp /usr/share/doc/wsbus/examples/handler.service /etc/systemd/system/echo.service && systemctl daemon-reload && systemctl start echo")
    wait_handlers(m, 1)
    need(handlers(m)[0]["link"] == "shm", "its link: %s" % handlers(m)[0]["link"])
    talk(m, 8080, "hello")


@step
def the_example_of_a_handlers_unit_serves_over_zeromq(m):
    m.run("mkdir -p /etc/systemd/system/echo.service.d && printf '[Service]\\nEnvironment=WSBUS_LINK=zmq\\n' >/etc/systemd/system/echo.service.d/link.conf && "
          "systemctl daemon-reload && systemctl restart echo")
    m.eventually(lambda: [one["link"] for one in handlers(m) or ()] == ["zmq"], "the handler, over ZeroMQ")
    talk(m, 8080, "hello")


@step
def a_stopped_handler_of_another_user_loses_its_client_to_a_live_one(m):
    """One that sends no heartbeats: the gate has to look into /proc, and ProtectProc= must let it."""
    m.run("systemctl stop echo && rm -r /etc/systemd/system/echo.service*")
    serve(m, "other", "python3 %s /run/wsbus" % ECHO.replace("echo.py", "echo_raw.py"))
    wait_handlers(m, 1)
    client = Held(m, 8080)
    client.talk("one")
    serve(m, "pyecho", "python3 " + ECHO)
    wait_handlers(m, 2)
    m.run("systemctl kill --signal=STOP other")
    wait_handlers(m, 1)
    client.talk("two")
    client.end()
    m.run("systemctl kill --signal=CONT other && systemctl stop other")


# --- it is operated


@step
def it_may_listen_below_1024_and_on_the_bus_by_tcp(m):
    configure(m, ('listen "127.0.0.1:8080" {}', 'listen "127.0.0.1:8080" {}\nlisten "127.0.0.1:80" {}\nbus {\n    handlers = "tcp://127.0.0.1:5570"\n}'))
    m.run("systemctl restart wsgate")
    wait_handlers(m, 1)  # it has found the new gate
    talk(m, 80, "hello")
    serve(m, "other", "python3 %s --bus tcp://127.0.0.1:5570" % ECHO)
    wait_handlers(m, 2)
    m.run("systemctl stop other")
    wait_handlers(m, 1)


@step
def a_reload_takes_new_certificates(m):
    m.run("cd /etc/wsbus && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=first "
          "-keyout tls.key -out tls.pem && chown root:wsbus tls.key && chmod 0640 tls.key")
    configure(m, ('listen "127.0.0.1:80" {}', 'listen "127.0.0.1:443" {\n    certificates = "/etc/wsbus/tls.pem"\n    keys = "/etc/wsbus/tls.key"\n}'))
    m.run("systemctl restart wsgate")
    subject = "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -subject"
    need("first" in m.run(subject), "the first certificate")
    before = pid(m)
    m.run("cd /etc/wsbus && openssl req -x509 -key tls.key -days 30 -subj /CN=second -out tls.pem && systemctl reload wsgate")
    need("second" in m.run(subject), "the second certificate")
    need(pid(m) == before, "the same process")


@step
def a_reload_of_a_wrong_file_fails_and_changes_nothing(m):
    m.run("cp /etc/wsbus/tls.pem /tmp/good && echo nonsense >/etc/wsbus/tls.pem")
    m.run("systemctl reload wsgate", status=1)
    need("the last reload failed" in show(m, "StatusText"), "its status: %s" % show(m, "StatusText"))
    need(show(m, "ActiveState") == "active", "it is still there")
    m.run("cp /tmp/good /etc/wsbus/tls.pem && systemctl reload wsgate")
    need("failed" not in show(m, "StatusText"), "its status: %s" % show(m, "StatusText"))


@step
def what_is_wrong_is_found_in_the_journal_by_priority(m):
    need("files not taken" in m.run("journalctl --unit=wsgate --priority=err --no-pager"), "the error")
    need("ready" not in m.run("journalctl --unit=wsgate --priority=warning --no-pager"), "no more than that")


@step
def the_access_log_is_rotated(m):
    configure(m, ('# log {\n#     access_log = "/var/log/wsbus/access.log"\n# }', 'log {\n    access_log = "/var/log/wsbus/access.log"\n}'))
    m.run("systemctl restart wsgate")
    wait_handlers(m, 1)
    talk(m, 8080, "hello")
    m.run("logrotate --force /etc/logrotate.d/wsbus")
    talk(m, 8080, "hello")
    m.eventually(lambda: m.run("cat /var/log/wsbus/access.log", check=False).count("/echo") == 1, "a line in the new log")
    need(m.run("stat -c '%U %a' /var/log/wsbus").strip() == "wsbus 750", "the folder's owner and mode")


@step
def a_gate_that_hangs_is_started_anew(m):
    m.run("mkdir -p /etc/systemd/system/wsgate.service.d && printf '[Service]\\nWatchdogSec=2\\n' >/etc/systemd/system/wsgate.service.d/test.conf && "
          "systemctl daemon-reload && systemctl restart wsgate")
    before = pid(m)
    m.run("kill -STOP %d" % before)
    m.eventually(lambda: pid(m) not in (0, before), "another process")
    need("watchdog" in m.run("journalctl --unit=wsgate --no-pager").lower(), "the journal says why")
    wait_handlers(m, 1)
    talk(m, 8080, "hello")
    m.run("rm -r /etc/systemd/system/wsgate.service.d && systemctl daemon-reload && systemctl restart wsgate")
    wait_handlers(m, 1)


@step
def a_gate_that_is_killed_is_started_anew(m):
    before = pid(m)
    m.run("kill -KILL %d" % before)
    m.eventually(lambda: pid(m) not in (0, before), "another process")
    wait_handlers(m, 1)
    talk(m, 8080, "hello")


@step
def a_wrong_configuration_is_tried_once(m):
    m.run("cp %s /tmp/conf && echo 'nonsense = 1' >>%s" % (CONF, CONF))
    m.run("systemctl restart wsgate", status=1)
    need(show(m, "ActiveState") == "failed" and show(m, "NRestarts") == "0", "%s after %s restarts" % (show(m, "ActiveState"), show(m, "NRestarts")))
    need("nonsense" in m.run("journalctl --unit=wsgate --priority=err --no-pager"), "the journal says what is wrong")
    m.run("cp /tmp/conf %s && systemctl start wsgate" % CONF)
    wait_handlers(m, 1)


@step
def a_stop_drains(m):
    client = Held(m, 8080)
    client.talk("hello")
    m.run("systemctl stop wsgate")
    need(show(m, "Result") == "success", "its end: %s" % show(m, "Result"))
    need("drained" in m.run("journalctl --unit=wsgate --lines=20 --no-pager"), "the journal says how")
    client.end()
    m.run("systemctl start wsgate")
    wait_handlers(m, 1)


@step
def with_socket_activation_a_client_waits_for_the_restart(m):
    m.run("cp %s /tmp/conf && cp /usr/share/doc/wsbus/examples/wsgate.socket /etc/systemd/system/ && systemctl daemon-reload" % CONF)
    configure(m, ('listen "127.0.0.1:8080" {}', 'listen "fd:web" {}'), ('path = "/echo"', 'path = "/echo"\n    no_handler = wait'))
    m.run("systemctl stop wsgate && systemctl enable --now wsgate.socket")
    need(show(m, "ActiveState") == "inactive", "it does not run yet")
    talk(m, 8080, "hello")  # the first client starts it
    need(show(m, "ActiveState") == "active", "it runs")
    wait_handlers(m, 1)
    restart = m.popen("systemctl restart wsgate")
    for word in ("a", "b", "c"):
        talk(m, 8080, word)  # none is refused
    need(restart.wait(60) == 0, "the restart")
    m.run("systemctl disable --now wsgate.socket; rm /etc/systemd/system/wsgate.socket; systemctl daemon-reload")
    m.run("cp /tmp/conf %s && systemctl restart wsgate" % CONF)
    wait_handlers(m, 1)


@step
def system_calls_were_neither_refused_nor_missing(m):
    log = m.run("journalctl --unit=wsgate --no-pager")
    for word in ("SIGSYS", "Assertion", "Operation not permitted", "core-dump"):
        need(word not in log, "%s in the journal" % word)


# --- it is upgraded, and goes


@step
def a_hold_keeps_an_upgrade_from_restarting_it(m):
    before = pid(m)
    m.run("systemctl mask --runtime wsgate")
    m.run(INSTALL + "--reinstall /packages/wsbus_0.1.0_*.deb", timeout=600)
    need(int(m.run("pgrep --exact wsgate")) == before, "the same process")
    m.run("systemctl unmask --runtime wsgate && systemctl restart wsgate")
    wait_handlers(m, 1)


@step
def an_upgrade_restarts_it_and_keeps_the_configuration(m):
    before, text = pid(m), (m.folder / CONF.lstrip("/")).read_text()
    m.run(INSTALL + "/packages/*+next_*.deb", timeout=600)
    need("+next" in m.run("dpkg-query -W wsbus"), "the later version")
    need(pid(m) not in (0, before), "another process")
    need((m.folder / CONF.lstrip("/")).read_text() == text, "the configuration")
    wait_handlers(m, 1)
    talk(m, 8080, "hello")


@step
def it_is_removed_and_keeps_what_is_the_administrators(m):
    m.run("systemctl stop pyecho")
    m.run("apt-get remove --yes wsbus")
    need(m.run("pgrep wsgate", check=False) == "", "no gate")
    m.run("test -e %s && test -e /var/log/wsbus/access.log && test ! -e /usr/bin/wsgate" % CONF)


@step
def it_is_purged(m):
    m.run("apt-get purge --yes wsbus libwsbus0 libwsbus-dev python3-wsbus")
    m.run("test ! -e %s && test ! -e /var/log/wsbus && test ! -e /run/wsbus && test -e /etc/wsbus/tls.key" % CONF)
    need("wsbus" not in m.run("dpkg-query -W"), "nothing is left in dpkg")
    m.run("systemctl daemon-reload && ! systemctl cat wsgate 2>/dev/null")
