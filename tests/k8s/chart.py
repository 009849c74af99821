"""The chart as Helm's own engine renders it, and the manifests as plain mappings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "mma-pipeline"
#: A release as short as its name: Helm puts the chart's name behind others.
RELEASE, NAMESPACE = "mma-pipeline", "alerts"

#: What every test needs beside the defaults: there is no PostgreSQL by default.
BASE: dict[str, Any] = {"postgresql": {"host": "db.example"}}
OIDC: dict[str, Any] = {
    "webserver": {
        "oidc": {
            "enabled": True,
            "image": "registry.example/oauth2-proxy:v7.15.3",
            "issuerUrl": "https://login.example",
            "redirectUrl": "https://alerts.example/oauth2/callback",
            "allowedGroups": ["observers"],
        },
        "ingress": {"enabled": True, "host": "alerts.example", "className": "nginx", "tlsSecret": "alerts-tls"},
    }
}

PORTAL: dict[str, Any] = {
    "portal": {"enabled": True, "url": "https://portal.example", "ingress": {"enabled": True, "className": "nginx"}}
}


def values_of(name: str) -> dict[str, Any]:
    """A values file of the chart."""
    found: dict[str, Any] = yaml.safe_load((CHART / name).read_text())
    return found


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Values laid over each other as `helm -f one -f two` does."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def render(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Every manifest of the release; HelmValuesError where the schema refuses a value."""
    values = merged(*parts)
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name=RELEASE, namespace=NAMESPACE)
    return [manifest for text in texts.values() for manifest in yaml.safe_load_all(text) if manifest]


def only(manifests: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The manifest of a kind whose name is the release's and `name`."""
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == f"{RELEASE}{name}"]
    return found


def pod_specs(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and pod template of everything that starts pods."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


def environment(manifests: list[dict[str, Any]]) -> dict[str, str]:
    """The plain environment variables of the release's pods."""
    found: dict[str, str] = only(manifests, "ConfigMap", "-env")["data"]
    return found


def secret_keys(container: dict[str, Any]) -> dict[str, str]:
    """Environment name to secret key, for what a container takes from secrets."""
    return {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]["key"] for entry in container["env"] if "valueFrom" in entry
    }


def dagster_settings(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The rendered dagster.yaml."""
    found: dict[str, Any] = yaml.safe_load(only(manifests, "ConfigMap", "-instance")["data"]["dagster.yaml"])
    return found
