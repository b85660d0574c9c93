#!/usr/bin/env python3
"""Renders the chart as it is, as a canary, at its least and with everything, and checks what comes out.

Takes no cluster: helm renders, kubernetes-validate has the schemas of Kubernetes, and the promises that deploy.md makes are
assertions here. With DTU set to a binary, the rendered configuration goes through `dtu config check`, too.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

CHART = Path(__file__).parents[1] / "helm" / "dtu"
KUBERNETES = ["1.30", "1.32", "1.34"]
# Objects of the Prometheus operator: their schemas are not among those of Kubernetes. `operator_objects` looks at them.
OPERATOR = {"ServiceMonitor", "PrometheusRule"}
VALUES = {
    "default": None,
    "canary": CHART / "values-canary.yaml",
    "minimal": CHART / "ci" / "minimal-values.yaml",
    "full": CHART / "ci" / "full-values.yaml",
}
# What the schema of the values has to refuse, and a word of what it says.
REFUSED = {
    "replicas=0": "replicas",
    "replica=6": "replica",
    "listeners.native.port=80": "port",
    "secret.token=short": "token",
    "image.digest=latest": "digest",
    "config.sink[0].kind=printer": "kind",
    "config.listener[0].kind=native": "config",
    "drain.endpointsSeconds=0": "endpointsSeconds",
    "canary.enabled=true,canary.replicas=6": "canary.replicas",
}


def helm(*arguments):
    command = ["helm", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HELM_NO_PLUGINS": "1"})


def render(values, *more):
    chosen = ["--values", values] if values else []
    done = helm("template", "dtu", CHART, "--namespace", "fleet", *chosen, *more)
    if done.returncode:
        sys.exit(f"{values or 'default values'} do not render: {done.stderr}")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def workloads(documents):
    return of_kind(documents, "Deployment", "StatefulSet")


def validate(name, documents):
    for document in documents:
        if document["kind"] in OPERATOR:
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(set(names)) == len(names), f"{name}: an object twice: {names}"


def selects(selector, labels):
    return selector.items() <= labels.items()


def every_pod(name, documents):
    """What holds for every set of gateways, whatever the values."""
    services = of_kind(documents, "Service")
    seen = []
    for workload in workloads(documents):
        spec = workload["spec"]
        pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
        (container,) = pod["containers"]
        assert selects(spec["selector"]["matchLabels"], labels), f"{name}: does not select its own pods"
        for other in seen:
            assert not selects(other, labels) and not selects(spec["selector"]["matchLabels"], other), "sets overlap"
        seen.append(labels)

        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True and own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]} and own["privileged"] is False
        assert pod["automountServiceAccountToken"] is False
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert key not in pod

        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "2Gi"},
            "limits": {"cpu": "1", "memory": "4Gi"},
        }, f"{name}: {container['resources']}"
        assert container["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
        assert container["startupProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}

        # The kubelet counts the sleep in; a gateway that is still draining must not be killed.
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = int(configuration(documents).split('drain = "')[1].split('s"')[0])
        assert pod["terminationGracePeriodSeconds"] >= sleep + drain + 15, f"{name}: killed while it drains"

        ports = {port["name"] for port in container["ports"]}
        for service in services:
            assert selects(service["spec"]["selector"], labels), f"{name}: {service['metadata']['name']} misses the pods"
            for port in service["spec"]["ports"]:
                assert port["targetPort"] in ports, f"{name}: no port {port['targetPort']}"
            # Devices go to gateways that are ready; people and metrics to those, too, that are not.
            is_for_devices = service["metadata"]["name"].endswith("dtu")
            assert service["spec"].get("publishNotReadyAddresses", False) != is_for_devices, f"{name}: {service['metadata']['name']}"
        for budget in of_kind(documents, "PodDisruptionBudget"):
            assert selects(budget["spec"]["selector"]["matchLabels"], labels), f"{name}: the budget misses the pods"

        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes, f"{name}: no volume {mount['name']}"
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440, f"{name}: secrets that others may read"


def configuration(documents):
    (chosen,) = [d["data"]["gateway.toml"] for d in of_kind(documents, "ConfigMap") if "gateway.toml" in d["data"]]
    return chosen


def config_check(name, documents):
    """The rendered configuration, read by the gateway itself, with the paths of a gateway that runs here."""
    dtu = os.environ.get("DTU")
    if not dtu:
        return False
    with tempfile.TemporaryDirectory() as folder:
        secret, data = Path(folder) / "secret", Path(folder) / "data"
        secret.mkdir(), data.mkdir()
        text = configuration(documents).replace("/etc/dtu/secret", str(secret)).replace("/var/lib/dtu", str(data))
        (secret / "token").write_text("0123456789abcdef0123456789abcdef\n")
        (secret / "keys").write_text("00112233445566778899aabbccddeeff meter-7\n")
        if "server.pem" in text:
            issue = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gateway"]
            subprocess.run(
                [*issue, "-keyout", secret / "server.key", "-out", secret / "server.pem"], check=True, capture_output=True
            )
            (secret / "ca.pem").write_bytes((secret / "server.pem").read_bytes())
        for file in secret.iterdir():
            file.chmod(0o600)
        path = Path(folder) / "gateway.toml"
        path.write_text(text)
        done = subprocess.run([dtu, "config", "check", path], capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: the gateway does not take its configuration:\n{text}\n{done.stderr}"
    return True


def six(name, documents):
    assert sum(w["spec"]["replicas"] for w in workloads(documents)) == 6, f"{name}: not six gateways"
    (budget,) = of_kind(documents, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def default(documents):
    six("default", documents)
    (only,) = workloads(documents)
    assert only["kind"] == "Deployment"
    assert only["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    ports = {(p["port"], p["protocol"]) for s in of_kind(documents, "Service") for p in s["spec"]["ports"]}
    assert ports == {(55125, "TCP"), (55125, "UDP"), (55180, "TCP")}, ports
    assert "id" not in configuration(documents).split("[[")[0].split("[gateway]")[1], "one id for all pods"


def canary(documents):
    six("canary", documents)
    tracks = {w["metadata"]["labels"]["dtu/track"]: w["spec"]["replicas"] for w in workloads(documents)}
    assert tracks == {"stable": 5, "canary": 1}, tracks
    tagged = render(VALUES["canary"], "--set", "canary.image.tag=9.9.9")
    images = {w["metadata"]["labels"]["dtu/track"]: w["spec"]["template"]["spec"]["containers"][0]["image"] for w in workloads(tagged)}
    assert images == {"stable": "dtu:0.1.0", "canary": "dtu:9.9.9"}, images


def minimal(documents):
    (only,) = workloads(documents)
    assert only["spec"]["replicas"] == 1 and not of_kind(documents, "PodDisruptionBudget", "ServiceAccount")


def full(documents):
    six("full", documents)
    assert {w["kind"] for w in workloads(documents)} == {"StatefulSet"}
    assert "max_connections = 16000\n" in configuration(documents), "a number that TOML has not as a whole one"
    (policy,) = of_kind(documents, "NetworkPolicy")
    assert policy["spec"]["ingress"][1]["from"][0]["namespaceSelector"]
    operator_objects(documents)
    # The API stays inside when the devices' ports are open to the world.
    for service in of_kind(documents, "Service"):
        if service["spec"].get("type") == "LoadBalancer":
            assert all(port["name"] != "http" for port in service["spec"]["ports"])


def operator_objects(documents):
    (monitor,) = of_kind(documents, "ServiceMonitor")
    matching = [
        s for s in of_kind(documents, "Service") if selects(monitor["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])
    ]
    assert len(matching) == 1, "scraped twice, or not at all"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in matching[0]["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"]["key"] == "token"
    (rules,) = of_kind(documents, "PrometheusRule")
    shipped = yaml.safe_load((CHART / "files" / "dtu.rules.yml").read_text())
    rendered = rules["spec"]["groups"]
    assert [g["name"] for g in rendered] == [g["name"] for g in shipped["groups"]]
    for group, source in zip(rendered, shipped["groups"]):
        for rule, plain in zip(group["rules"], source["rules"]):
            assert rule["expr"] == plain["expr"]
            if "alert" in rule:
                url = rule["annotations"]["runbook_url"]
                assert url.startswith("https://runbooks.example/dtu/docs/runbook.md#"), url


def refused():
    for value, word in REFUSED.items():
        done = helm("template", "dtu", CHART, "--set", value)
        assert done.returncode != 0, f"--set {value}: taken"
        assert word in done.stderr, f"--set {value}: {done.stderr}"


def main():
    checked = {"default": default, "canary": canary, "minimal": minimal, "full": full}
    for name, values in VALUES.items():
        done = helm("lint", "--strict", CHART, *(["--values", values] if values else []))
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        documents = render(values)
        validate(name, documents)
        every_pod(name, documents)
        checked[name](documents)
        read = config_check(name, documents)
        note = "configuration read by the gateway" if read else "without DTU, so the gateway did not read its configuration"
        print(f"chart, {name}: {len(documents)} objects valid for Kubernetes {', '.join(KUBERNETES)}; {note}")
    refused()
    print(f"chart: {len(REFUSED)} wrong values refused")


if __name__ == "__main__":
    main()
