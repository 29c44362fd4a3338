"""k8s/: valid against the Kubernetes API, wired together, and as restricted as a cluster may demand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]
OLDEST, NEWEST = "1.30", "1.37"


def _containers(pod: Manifest) -> Iterator[Manifest]:
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]


def _selected(pods: dict[str, Manifest], labels: dict[str, str]) -> list[Manifest]:
    return [pod for pod in pods.values() if labels.items() <= pod["metadata"]["labels"].items()]


def test_the_api_accepts_every_manifest(manifests: list[Manifest], tool: Callable[..., str], tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump_all(manifests))
    for version in (OLDEST, NEWEST):
        verdicts = tool("kubernetes-validate", "--strict", "--kubernetes-version", version, rendered).splitlines()
        assert sum(" passed for resource " in verdict for verdict in verdicts) == len(manifests)


def test_all_parts_are_there_once(manifests: list[Manifest], pods: dict[str, Manifest]) -> None:
    assert pods.keys() == {"gateway", "worker", "model-server", "redis"}
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))
    assert not any("namespace" in manifest["metadata"] for manifest in manifests)


def test_selectors_select_and_ports_are_open(manifests: list[Manifest], pods: dict[str, Manifest]) -> None:
    for manifest in manifests:
        spec = manifest.get("spec", {})
        match manifest["kind"]:
            case "Deployment" | "StatefulSet":
                assert len(_selected(pods, spec["selector"]["matchLabels"])) == 1
            case "PodDisruptionBudget":
                assert len(_selected(pods, spec["selector"]["matchLabels"])) == 1
            case "Service":
                (pod,) = _selected(pods, spec["selector"])
                names = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
                assert {port["targetPort"] for port in spec["ports"]} <= names
            case "NetworkPolicy":
                (pod,) = _selected(pods, spec["podSelector"]["matchLabels"])
                numbers = {port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
                for rule in spec["ingress"]:
                    assert {port["port"] for port in rule["ports"]} <= numbers
                    for source in rule["from"]:
                        (expression,) = source["podSelector"]["matchExpressions"]
                        assert expression["key"] == "app.kubernetes.io/name"
                        assert set(expression["values"]) == {"gateway", "worker"}


def test_what_knows_no_password_is_closed_to_strangers(manifests: list[Manifest]) -> None:
    guarded = {manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"}
    assert guarded == {"redis", "model-server"}


def test_every_pod_keeps_the_restricted_pod_security_standard(pods: dict[str, Manifest]) -> None:
    for pod in pods.values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in _containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_volumes_are_declared_and_survive_only_for_the_queue_and_the_jobs(
    manifests: list[Manifest], pods: dict[str, Manifest]
) -> None:
    (redis,) = (manifest for manifest in manifests if manifest["kind"] == "StatefulSet")
    claims = {claim["metadata"]["name"] for claim in redis["spec"]["volumeClaimTemplates"]}
    (shared,) = (manifest for manifest in manifests if manifest["kind"] == "PersistentVolumeClaim")
    claim = {"name": "jobs", "persistentVolumeClaim": {"claimName": shared["metadata"]["name"]}}
    for name, pod in pods.items():
        declared = {volume["name"] for volume in pod["spec"].get("volumes", ())}
        declared |= claims if name == "redis" else set()
        mounted = {mount["name"] for container in _containers(pod) for mount in container.get("volumeMounts", ())}
        assert mounted == declared
        assert (claim in pod["spec"].get("volumes", ())) is (name in ("gateway", "worker"))


def test_probes_ask_ports_that_are_open(pods: dict[str, Manifest]) -> None:
    for name, pod in pods.items():
        (container,) = pod["spec"]["containers"]
        open_ports = {port["name"] for port in container.get("ports", ())}
        probes = {kind: container[kind] for kind in container if kind.endswith("Probe")}
        assert "livenessProbe" in probes
        for kind, probe in probes.items():
            assert ("httpGet" in probe and probe["httpGet"]["port"] in open_ports) or probe["exec"]["command"], kind
        # The whole start-up must be shorter than the patience of the probe that restarts.
        if name != "worker":
            assert "readinessProbe" in probes
            assert "startupProbe" in probes


def test_only_the_base_wants_a_gpu(request: pytest.FixtureRequest, pods: dict[str, Manifest]) -> None:
    spec = pods["model-server"]["spec"]
    (container,) = spec["containers"]
    wants_gpu = (
        container["resources"]["limits"].get("nvidia.com/gpu") == 1,
        any(toleration["key"] == "nvidia.com/gpu" for toleration in spec.get("tolerations", ())),
        container["image"].endswith("-gpu"),
    )
    assert wants_gpu == ((True,) * 3 if request.node.callspec.params["manifests"] == "base" else (False,) * 3)


def test_a_pod_is_told_to_stop_before_it_is_killed(pods: dict[str, Manifest]) -> None:
    for pod in pods.values():
        (container,) = pod["spec"]["containers"]
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["spec"]["terminationGracePeriodSeconds"] >= pause + 20
