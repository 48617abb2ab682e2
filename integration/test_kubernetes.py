"""The example for Kubernetes, as far as it can be tried without a cluster: its parts fit each other, and its gate runs as it says."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

import pytest
import yaml

from conftest import BUILD, DEADLINE, ROOT, Gate, eventually
from raw import Raw

FILE = ROOT / "packaging" / "kubernetes" / "wsgate.yaml"
USER = 65532  # of packaging/Containerfile
# Fields that the API has, as far as the file uses it. One that is misspelt would be dropped without a word.
STRING, NUMBER, FLAG = str, int, bool
NAMES = {"*": STRING}
META = {"name": STRING, "labels": NAMES, "annotations": NAMES}
SELECTOR = {"matchLabels": NAMES}
SECURITY = {"runAsNonRoot": FLAG, "runAsUser": NUMBER, "runAsGroup": NUMBER, "seccompProfile": {"type": STRING}}
PROBE = {"httpGet": {"path": STRING, "port": STRING}, "periodSeconds": NUMBER, "failureThreshold": NUMBER}
CONTAINER = {
    "name": STRING, "image": STRING, "restartPolicy": STRING, "args": [STRING], "ports": [{"name": STRING, "containerPort": NUMBER}],
    "readinessProbe": PROBE, "livenessProbe": PROBE, "resources": {"requests": NAMES, "limits": NAMES},
    "securityContext": {"allowPrivilegeEscalation": FLAG, "readOnlyRootFilesystem": FLAG, "capabilities": {"drop": [STRING]}},
    "volumeMounts": [{"name": STRING, "mountPath": STRING, "readOnly": FLAG}],
}
POD = {"terminationGracePeriodSeconds": NUMBER, "securityContext": SECURITY, "initContainers": [CONTAINER], "containers": [CONTAINER],
       "volumes": [{"name": STRING, "emptyDir": {}, "configMap": {"name": STRING}}]}
BACKEND = {"service": {"name": STRING, "port": {"name": STRING}}}
KINDS = {
    ("v1", "ConfigMap"): {"data": NAMES},
    ("apps/v1", "Deployment"): {"spec": {
        "replicas": NUMBER, "selector": SELECTOR, "strategy": {"rollingUpdate": {"maxSurge": NUMBER, "maxUnavailable": NUMBER}},
        "template": {"metadata": {"labels": NAMES}, "spec": POD}}},
    ("v1", "Service"): {"spec": {"selector": NAMES, "ports": [{"name": STRING, "port": NUMBER, "targetPort": STRING}]}},
    ("policy/v1", "PodDisruptionBudget"): {"spec": {"minAvailable": NUMBER, "selector": SELECTOR}},
    ("networking.k8s.io/v1", "Ingress"): {"spec": {"ingressClassName": STRING, "rules": [{"host": STRING, "http": {
        "paths": [{"path": STRING, "pathType": STRING, "backend": BACKEND}]}}]}},
}


def check(value, shape, where):
    if isinstance(shape, type):
        assert type(value) is shape, "%s: %r is no %s" % (where, value, shape.__name__)
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            check(item, shape[0], "%s[%d]" % (where, i))
    else:
        assert isinstance(value, dict), where
        for name, item in value.items():
            assert name in shape or "*" in shape, "%s: there is no field %s" % (where, name)
            check(item, shape.get(name, shape.get("*")), "%s.%s" % (where, name))


@pytest.fixture(scope="module")
def parts():
    documents = list(yaml.safe_load_all(FILE.read_text()))
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(parts):
    return parts["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def conf(parts):
    return parts["ConfigMap"]["data"]["wsgate.conf"]


def seconds(conf, name):
    return int(re.search(r"\b%s = (\d+)s" % name, conf).group(1))


def test_every_field_is_one_of_the_api(parts):
    for document in yaml.safe_load_all(FILE.read_text()):
        shape = KINDS[document["apiVersion"], document["kind"]]
        check(document, {"apiVersion": STRING, "kind": STRING, "metadata": META, **shape}, document["kind"])
    assert {kind for _, kind in KINDS} == set(parts)
    with pytest.raises(AssertionError, match="no field readynessProbe"):
        check({"containers": [{"readynessProbe": {}}]}, POD, "pod")


def test_the_parts_name_each_other(parts, pod):
    labels = parts["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (parts["Deployment"]["spec"]["selector"]["matchLabels"], parts["Service"]["spec"]["selector"],
                     parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    gate, = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in gate["ports"]}
    assert parts["Service"]["spec"]["ports"][0]["targetPort"] in ports
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"] + pod["initContainers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert pod["volumes"][1]["configMap"]["name"] == parts["ConfigMap"]["metadata"]["name"]
    backend = parts["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert (backend["name"], backend["port"]["name"]) == (parts["Service"]["metadata"]["name"], parts["Service"]["spec"]["ports"][0]["name"])
    for probe in (gate["readinessProbe"], gate["livenessProbe"]):
        assert probe["httpGet"]["port"] in ports


def test_the_times_fit(parts, pod, conf):
    delay, drain = seconds(conf, "drain_delay"), seconds(conf, "drain")
    assert pod["terminationGracePeriodSeconds"] > delay + drain
    probe = pod["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < delay
    for name in ("read", "send"):
        assert int(parts["Ingress"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-%s-timeout" % name]) > 45 + 20


def test_who_runs_it(pod):
    assert pod["securityContext"]["runAsUser"] == USER
    assert "USER %d:%d" % (USER, USER) in (ROOT / "packaging" / "Containerfile").read_text()
    sidecar, = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"  # else the pod would wait for its end
    for container in (sidecar, *pod["containers"]):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def test_the_configuration_is_good(conf, tmp_path):
    (tmp_path / "wsgate.conf").write_text(conf.replace("/run/wsbus", str(tmp_path)))
    run = subprocess.run([BUILD / "wsgate" / "wsgate", "-t", "-c", tmp_path / "wsgate.conf"], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stderr


def status(port, path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=DEADLINE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def node():
    """A directory that other users reach; pytest's own it keeps for itself."""
    with tempfile.TemporaryDirectory(prefix="wsbus-node-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def test_a_pod_from_start_to_end(pod, conf, node, processes):
    """As the kubelet does it: the sidecar first, then the gate; probes; and at the end the gate first."""
    volume = node / "run"
    volume.mkdir()
    volume.chmod(0o777)  # an emptyDir: root's, and open to all of the pod
    user = ["setpriv", "--reuid=%d" % USER, "--regid=%d" % USER, "--clear-groups"] if os.geteuid() == 0 else []
    gate_args, probes = pod["containers"][0]["args"], pod["containers"][0]
    sidecar = [word.replace("/run/wsbus", str(volume)) for word in pod["initContainers"][0]["args"]]
    text = conf.replace("/run/wsbus", str(volume)).replace("*:8080", "127.0.0.1:0").replace("*:9464", "127.0.0.1:0")
    (node / "wsgate.conf").write_text(text)
    handler = processes([*user, BUILD / "examples" / "wsbus-echo", *sidecar])
    assert gate_args == ["-c", "/etc/wsbus/wsgate.conf"]
    gate = Gate(volume / "gate", args=["-c", node / "wsgate.conf"], routes=[], listen=[], under=user)
    processes.started.append(gate)
    metrics = int(gate.wait_line(r"msg=metrics at=\S*:(\d+)").group(1))
    ready, alive = probes["readinessProbe"]["httpGet"]["path"], probes["livenessProbe"]["httpGet"]["path"]
    assert status(metrics, alive) == 200
    eventually(lambda: status(metrics, ready) == 200, "the handler, which was there first, has found the gate")
    client = Raw(gate).upgrade()
    gate.signal(signal.SIGTERM)
    eventually(lambda: status(metrics, ready) == 503, "not ready any more")
    assert status(metrics, alive) == 200
    assert client.ask("still served") == "still served"
    with Raw(gate).upgrade() as late:
        assert late.ask("so is who comes late") == "so is who comes late"
    gate.signal(signal.SIGTERM)  # instead of waiting for drain_delay
    assert client.read_close()[0] == 1001
    client.close()
    assert gate.process.wait(DEADLINE) == 0
    assert handler.process.poll() is None
    handler.stop()
