"""The chart: what it renders, what it refuses, what its pods may do."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import helm_python
import pytest
import redis
import yaml

from mma_pipeline import __version__
from mma_pipeline.settings import Settings
from tests.k8s.chart import (
    BASE,
    CHART,
    OIDC,
    PORTAL,
    RELEASE,
    dagster_settings,
    environment,
    merged,
    only,
    pod_specs,
    render,
    secret_keys,
    values_of,
)
from tests.services.fixtures import needs
from tests.services.installed import program
from tests.services.process import Child, free_ports, port_open

FILES = sorted(path.name for path in CHART.glob("values*.yaml"))
#: The defaults name no PostgreSQL, so they get one.
SETUPS = {name: values_of(name) for name in FILES} | {
    "values.yaml": merged(values_of("values.yaml"), BASE),
    "oidc": merged(BASE, OIDC),
    "portal": merged(BASE, OIDC, PORTAL),
    "survey": merged(
        BASE, {"survey": {"enabled": True, "topics": "ztf_alerts", "broker": "b:9092", "authenticate": True}}
    ),
}


@pytest.mark.parametrize("name", SETUPS)
def test_every_values_file_renders_and_lints(name: str) -> None:
    """Each values file gives manifests, and Helm's lint finds neither error nor warning."""
    manifests = render(SETUPS[name])
    assert {"Deployment", "ConfigMap", "NetworkPolicy", "Role"} <= {m["kind"] for m in manifests}
    names = [(m["kind"], m["metadata"]["name"]) for m in manifests]
    assert len(names) == len(set(names))
    report = helm_python.lint(CHART, SETUPS[name], strict=True)
    assert not report["errors"], report
    assert all(message["severity"] < 2 for message in report["messages"]), report


def test_readers_of_a_survey_are_a_deployment_of_their_own() -> None:
    """Only where they are switched on; with their credential from the Secret, the way out, and the settings in every pod."""
    assert "MMA_SURVEY_TOPICS" not in environment(render(BASE))
    manifests = render(SETUPS["survey"], {"survey": {"replicas": 3}})
    spec = only(manifests, "Deployment", "-survey")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], container["command"]) == (3, ["mma", "survey", "read"])
    assert {"survey-username", "survey-password"} <= set(secret_keys(container).values())
    assert environment(manifests)["MMA_SURVEY_BROKER"] == "b:9092"
    (world,) = (m for m in manifests if m["metadata"]["name"].endswith("-world"))
    assert "survey" in world["spec"]["podSelector"]["matchExpressions"][0]["values"]


@pytest.mark.parametrize("value", [True, False])
def test_booleans_keep_their_value(value: bool) -> None:
    """A boolean arrives as it was said; the old chart turned false into true."""
    said = {"dryRun": value, "writeToStorage": value}
    found = environment(render(BASE, {"listeners": said}))
    names = ("DRY_RUN", "WRITE_TO_STORAGE")
    assert {name: found[name] for name in names} == dict.fromkeys(names, str(value).lower())


@pytest.mark.parametrize(("verbose", "level"), [(True, "DEBUG"), (False, "WARNING")])
def test_what_is_logged_follows_the_listeners_values(verbose: bool, level: str) -> None:
    """`verbose` means debug messages, else `logging.level` counts; `logging.format` is the form of every server's log."""
    manifests = render(BASE, {"listeners": {"verbose": verbose, "logging": {"format": "colored", "level": "WARNING"}}})
    settings = yaml.safe_load(only(manifests, "ConfigMap", "-instance")["data"]["dagster.yaml"])
    assert settings["python_logs"]["python_log_level"] == level
    for part in ("-code", "-daemon", "-webserver"):
        assert "colored" in str(only(manifests, "Deployment", part))


@pytest.mark.parametrize("name", SETUPS)
def test_the_chart_sets_nothing_that_nobody_reads(name: str) -> None:
    """Every variable of the pods is a setting of ours, or one that PostgreSQL's client, the system or another variable reads."""
    ours = {alias for row in Settings({}).in_force() for alias in (row.name, *row.aliases)}
    others = {
        "DAGSTER_HOME",
        "HOME",
        "PGSSLMODE",
        "PGUSER",
        "PGPASSWORD",
        "PGSSLROOTCERT",
        "PGPASSFILE",
        "MMA_QUEUE_PASSWORD",
    }
    others |= {"POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD", "PGDATA"}  # the server of values-small.yaml
    manifests = render(SETUPS[name])
    found = set(environment(manifests))
    for _, template in pod_specs(manifests):
        for container in template["spec"]["containers"]:
            if "oauth2-proxy" not in container["image"]:
                found |= {entry["name"] for entry in container.get("env", ())}
    assert found <= ours | others


@pytest.mark.parametrize(
    ("values", "about"),
    [
        ({"listeners": {"dryRun": "false"}}, "dryRun"),
        ({"listeners": {"drydrun": True}}, "drydrun"),
        ({"listeners": {"storage": {"type": "ftp"}}}, "storage"),
        ({"listeners": {"api": {"token": "hunter2"}}}, "token"),
        ({"listeners": {"extraEnv": {"AWS_SECRET_ACCESS_KEY": "hunter2"}}}, "AWS_SECRET_ACCESS_KEY"),
        ({"listeners": {"extraEnv": {"MMA_MOCK_DAYS": 30}}}, "MMA_MOCK_DAYS"),
        ({"listeners": {"image": {"digest": "sha256:short"}}}, "digest"),
        ({"lanes": {"live": {"launch": "fast", "maxRuns": 1}}}, "launch"),
        ({"lanes": {"live": {"launch": "pod", "maxRuns": 1}}}, "resources"),
        ({"lanes": {"urgent": {"launch": "warm", "maxRuns": 1}}}, "urgent"),
        ({"worker": {"processes": 0}}, "processes"),
        ({"postgresql": {"host": ""}}, "host"),
        ({"queue": {"inCluster": {"enabled": True, "command": "sh"}}}, "command"),
        ({"queue": {"password": "hunter2"}}, "password"),
        ({"webserver": {"oidc": {"enabled": True}}}, "oidc"),
        (merged(OIDC, {"webserver": {"oidc": {"allowedGroups": []}}}), "oidc"),
        (merged(OIDC, {"webserver": {"oidc": {"allowedGroups": [], "emailDomains": ["*"]}}}), "oidc"),
        ({"webserver": {"ingress": {"enabled": True, "host": "alerts.example"}}}, "oidc"),
        ({"networkPolicy": {"extraEgress": [{"cidr": "everywhere", "ports": [443]}]}}, "cidr"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], about: str) -> None:
    """A value that cannot be meant, a token in the values, a UI open to all: refused, and the message says where."""
    with pytest.raises(helm_python.HelmValuesError, match=about):
        render(BASE, values)


@pytest.mark.parametrize("name", SETUPS)
def test_pods_keep_the_restricted_standard(name: str) -> None:
    """No pod runs as root, writes to its root file system, gains rights or has more than it needs."""
    for owner, template in pod_specs(render(SETUPS[name])):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], owner
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert pod["automountServiceAccountToken"] is owner.endswith(("-daemon", "-webserver", "-code")), owner
        assert not any("hostPath" in volume for volume in pod.get("volumes", [])), owner
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            where = f"{owner}/{container['name']}"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            assert {"requests", "limits"} <= set(container["resources"]), where
            assert "memory" in container["resources"]["limits"], where


def test_no_secret_is_a_value() -> None:
    """Secrets come from Secrets by reference, under the listeners' keys, and no database address holds a password."""
    manifests = render(SETUPS["values-gwtm.yaml"])
    code = only(manifests, "Deployment", "-code")["spec"]["template"]["spec"]["containers"][0]
    assert secret_keys(code) == {
        "PGPASSWORD": "postgresql-password",
        "MMA_QUEUE_PASSWORD": "queue-password",
        "KAFKA_CLIENT_ID": "kafka-client-id",
        "KAFKA_CLIENT_SECRET": "kafka-client-secret",
        "API_TOKEN": "api-token",
        "OS_USERNAME": "swift-username",
        "OS_PASSWORD": "swift-password",
    }
    assert "Secret" not in {m["kind"] for m in manifests}
    plain = environment(manifests)
    assert not {"KAFKA_CLIENT_SECRET", "API_TOKEN", "OS_PASSWORD", "PGPASSWORD"} & set(plain)
    assert plain["MMA_ARCHIVE_URL"] == "postgresql+psycopg2://mma@gwtm-postgresql:5432/mma"
    for part in ("-webserver", "-daemon"):
        (first, *_) = only(manifests, "Deployment", part)["spec"]["template"]["spec"]["containers"]
        assert set(secret_keys(first)) == {"PGPASSWORD", "MMA_QUEUE_PASSWORD"}, (
            f"{part} needs database and queue, and nothing else"
        )


def test_the_queue_here_and_elsewhere() -> None:
    """In the cluster the address takes the password from its Secret, after it; elsewhere the whole address is a secret."""
    code = only(render(BASE), "Deployment", "-code")["spec"]["template"]["spec"]["containers"][0]
    names = [entry["name"] for entry in code["env"]]
    (address,) = [entry["value"] for entry in code["env"] if entry["name"] == "MMA_CELERY_BROKER"]
    assert address == "redis://:$(MMA_QUEUE_PASSWORD)@mma-pipeline-queue:6379/0"
    assert names.index("MMA_QUEUE_PASSWORD") < names.index("MMA_CELERY_BROKER"), "else Kubernetes puts nothing there"
    elsewhere = render(BASE, {"queue": {"inCluster": {"enabled": False}, "port": 5671}})
    assert not [m for m in elsewhere if m["metadata"]["name"].endswith("-queue")]
    code = only(elsewhere, "Deployment", "-code")["spec"]["template"]["spec"]["containers"][0]
    assert secret_keys(code)["MMA_CELERY_BROKER"] == "queue-url"
    ports = [
        port["port"] for rule in only(elsewhere, "NetworkPolicy", "-base")["spec"]["egress"] for port in rule["ports"]
    ]
    assert 5671 in ports


def test_the_chart_s_queue_asks_for_its_password(tmp_path: Path) -> None:
    """The command of the queue's container, run here, is a Redis without a disk that takes nobody without the password."""
    (container,) = only(render(BASE), "Deployment", "-queue")["spec"]["template"]["spec"]["containers"]
    (port,) = free_ports(1)
    with needs("Redis"):
        program("redis-server", "redis-server")
    command = [*container["command"][:-1], container["command"][-1].replace("printf '", f"printf 'port {port}\n", 1)]
    server = Child(
        "queue", command, tmp_path / "log", env={**os.environ, "MMA_QUEUE_PASSWORD": "hunter2"}, cwd=tmp_path
    )
    with contextlib.closing(
        redis.Redis(port=port, password="hunter2", socket_timeout=5, decode_responses=True)
    ) as known:
        server.wait_ready(lambda: port_open(port))
        assert known.ping()
        assert known.config_get("save") == {"save": ""}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, socket_timeout=5).ping()
    server.end()


def test_the_listeners_names_are_kept() -> None:
    """The GWTM values give the listeners' environment: where they post, where products go, which run it is."""
    values = merged(
        SETUPS["values-gwtm.yaml"],
        {
            "listeners": {
                "dryRun": False,
                "writeToStorage": True,
                "storage": {"type": "s3", "s3": {"bucket": "gwtreasuremap", "region": "us-east-2"}},
                "observingRun": "O5",
                "image": {"tag": "1.2.3"},
            }
        },
    )
    manifests = render(values)
    found = environment(manifests)
    wanted = {
        "API_BASE": "http://gwtm-flask:8080/api/v1/",
        "STORAGE_BUCKET_SOURCE": "s3",
        "AWS_BUCKET": "gwtreasuremap",
        "AWS_DEFAULT_REGION": "us-east-2",
        "OBSERVING_RUN": "O5",
        "DRY_RUN": "false",
        "WRITE_TO_STORAGE": "true",
        "KAFKA_OFFSET_RESET": "earliest",
        "KAFKA_GROUP_ID": "gwtm-mma-pipeline",
    }
    assert wanted.items() <= found.items()
    images = {c["image"] for _, t in pod_specs(manifests) for c in t["spec"]["containers"]}
    assert images == {"mma-pipeline:1.2.3", "redis:7"}


@pytest.mark.parametrize(
    ("api", "base"),
    [
        ({"host": "gwtm", "port": 8080, "path": "/api/v1/"}, "http://gwtm:8080/api/v1/"),
        ({"host": "https://treasuremap.space", "path": "/api/v1"}, "https://treasuremap.space/api/v1/"),
        ({"host": "https://treasuremap.space/", "port": None, "path": "/api/v1/"}, "https://treasuremap.space/api/v1/"),
    ],
)
def test_the_sites_address_is_put_together(api: dict[str, Any], base: str) -> None:
    """Host, port and path give the address that ends in a slash."""
    assert environment(render(BASE, {"listeners": {"api": api}}))["API_BASE"] == base


def test_the_toms_token_comes_from_the_secret() -> None:
    """With an address of the TOM the code server, which asks it, has address and token; without one neither."""
    for url in ("", "https://tom.example/"):
        manifests = render(BASE, {"listeners": {"tom": {"url": url}}})
        code = only(manifests, "Deployment", "-code")["spec"]["template"]["spec"]["containers"][0]
        found = secret_keys(code).get("MMA_POINTINGS_TOM_TOKEN"), environment(manifests).get("MMA_POINTINGS_TOM_URL")
        assert found == (("tom-pointings-token", url) if url else (None, None))
    with pytest.raises(helm_python.HelmValuesError, match="token"):
        render(BASE, {"listeners": {"tom": {"url": "", "token": "x"}}})


def test_dagster_is_reached_through_the_login_only() -> None:
    """The web server listens on the loopback interface; the Service and the policy lead to oauth2-proxy alone."""
    manifests = render(BASE, OIDC)
    web, proxy = only(manifests, "Deployment", "-webserver")["spec"]["template"]["spec"]["containers"]
    assert web["command"][:5] == ["dagster-webserver", "-h", "127.0.0.1", "-p", "3000"]
    assert "ports" not in web
    assert {"--upstream=http://127.0.0.1:3000", "--allowed-group=observers", "--reverse-proxy=false"} <= set(
        proxy["args"]
    )
    assert not any(arg.startswith("--skip-auth") for arg in proxy["args"])
    assert secret_keys(proxy).keys() == {
        "OAUTH2_PROXY_CLIENT_ID",
        "OAUTH2_PROXY_CLIENT_SECRET",
        "OAUTH2_PROXY_COOKIE_SECRET",
    }
    assert only(manifests, "Service", "-webserver")["spec"]["ports"] == [
        {"name": "proxy", "port": 80, "targetPort": "proxy"}
    ]
    (rule,) = only(manifests, "NetworkPolicy", "-webserver")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4180}]


def test_the_portal_is_reached_through_the_same_login_only() -> None:
    """The portal listens on the loopback interface behind the UI's login; it has the database and the store, nothing else."""
    manifests = render(BASE, OIDC, PORTAL)
    pod = only(manifests, "Deployment", "-portal")["spec"]["template"]["spec"]
    portal, proxy = pod["containers"]
    assert portal["command"] == ["mma", "serve", "--host", "127.0.0.1", "--port", "3001"]
    assert "ports" not in portal
    assert set(secret_keys(portal)) == {"PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    _, ui_proxy = only(manifests, "Deployment", "-webserver")["spec"]["template"]["spec"]["containers"]
    place = ("--redirect-url=", "--upstream=")
    assert [a for a in proxy["args"] if not a.startswith(place)] == [
        a for a in ui_proxy["args"] if not a.startswith(place)
    ]
    assert "--redirect-url=https://portal.example/oauth2/callback" in proxy["args"]
    assert "--upstream=http://127.0.0.1:3001" in proxy["args"]
    assert only(manifests, "Service", "-portal")["spec"]["ports"] == [
        {"name": "proxy", "port": 80, "targetPort": "proxy"}
    ]
    (rule,) = only(manifests, "NetworkPolicy", "-portal")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 4180}]
    (ingress,) = only(manifests, "Ingress", "-portal")["spec"]["rules"]
    assert ingress["host"] == "portal.example"
    assert environment(manifests)["MMA_PORTAL_URL"] == "https://portal.example"


def test_the_portal_is_off_by_default_and_never_open() -> None:
    """Without being asked for there is no portal; without OIDC nothing leads to it, and an Ingress is refused."""
    assert not [m for m in render(BASE, OIDC) if m["metadata"]["name"].endswith("-portal")]
    alone = render(BASE, {"portal": {"enabled": True}})
    assert {m["kind"] for m in alone if m["metadata"]["name"].endswith("-portal")} <= {
        "Deployment",
        "PodDisruptionBudget",
    }
    with pytest.raises(Exception, match=r"needs webserver\.oidc"):
        render(BASE, PORTAL)
    for address in ("http://portal.example", "https://user@portal.example", "https://portal.example/below"):
        with pytest.raises(helm_python.HelmValuesError, match="url"):
            render(BASE, OIDC, {"portal": {"enabled": True, "url": address}})


def test_without_login_there_is_no_way_in() -> None:
    """Without OIDC no Service and no Ingress lead to the UI."""
    manifests = render(BASE)
    assert not [m for m in manifests if m["kind"] == "Ingress"]
    services = {m["metadata"]["name"] for m in manifests if m["kind"] == "Service"}
    assert services == {f"{RELEASE}-code", f"{RELEASE}-metrics", f"{RELEASE}-queue"}


@pytest.mark.parametrize("name", SETUPS)
def test_nothing_is_open_by_default(name: str) -> None:
    """Every pod, those of runs too, is under a policy that denies both ways; only named ways are open again."""
    manifests = render(SETUPS[name])
    label = {"mma-pipeline/release": RELEASE}
    deny = only(manifests, "NetworkPolicy", "-default-deny")["spec"]
    assert deny == {"podSelector": {"matchLabels": label}, "policyTypes": ["Ingress", "Egress"]}
    for owner, template in pod_specs(manifests):
        assert label.items() <= template["metadata"]["labels"].items(), owner
    assert dagster_settings(manifests)["run_launcher"]["config"]["pods"]["labels"] == label
    for policy in (m for m in manifests if m["kind"] == "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], "no rule lets everybody in"
            assert rule["ports"]


def test_rights_are_what_starting_and_watching_runs_needs() -> None:
    """Two roles, in their own namespace: one for Jobs and their pods, one to ask how a Job is; no cluster role."""
    manifests = render(BASE)
    roles = {m["metadata"]["name"]: m["rules"] for m in manifests if m["kind"] == "Role"}
    rights = {
        name.removeprefix(RELEASE): {(r, verb) for rule in rules for r in rule["resources"] for verb in rule["verbs"]}
        for name, rules in roles.items()
    }
    assert rights.pop("-code") == {("jobs/status", "get")}
    assert rights.pop("-launcher") == {
        *[("jobs", verb) for verb in ("create", "list", "delete")],
        ("jobs/status", "get"),
        *[("pods", verb) for verb in ("get", "list", "delete")],
        ("pods/log", "get"),
        ("events", "list"),
    }
    assert not rights
    assert not [m for m in manifests if m["kind"].startswith("Cluster")]


def test_pods_of_a_lost_node_are_started_elsewhere_soon() -> None:
    """Every pod but the database's leaves a lost node after seconds, those of runs too; what a site tolerates stays."""
    mine = {"key": "gpu", "operator": "Exists"}
    manifests = render(SETUPS["values-small.yaml"], {"tolerations": [mine], "nodeLostSeconds": 7})
    soon = [
        {"key": f"node.kubernetes.io/{how}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 7}
        for how in ("unreachable", "not-ready")
    ]
    for owner, template in pod_specs(manifests):
        assert template["spec"]["tolerations"] == [mine, *([] if owner.endswith("-postgresql") else soon)], owner
    runs = dagster_settings(manifests)["run_launcher"]["config"]["pods"]["run_k8s_config"]["pod_spec_config"]
    assert runs["tolerations"] == [mine, *soon]


def test_settings_that_change_roll_the_pods() -> None:
    """A changed setting changes the pods' template, so that no pod goes on with the old one; the queue has none of them."""
    before, after = render(BASE), render(BASE, {"listeners": {"dryRun": True}})
    for (owner, old), (_, new) in zip(pod_specs(before), pod_specs(after), strict=True):
        assert owner.endswith("-queue") or old["metadata"]["annotations"] != new["metadata"]["annotations"], owner


def test_products_of_a_dry_run_are_shared() -> None:
    """What may not go to the store goes to a volume that code server, worker and runs share."""
    manifests = render(SETUPS["values-gwtm.yaml"])
    assert only(manifests, "PersistentVolumeClaim", "-products")["spec"]["accessModes"] == ["ReadWriteMany"]
    mount = {"name": "products", "mountPath": "/opt/dagster/home/products"}
    for part in ("-code", "-worker"):
        (container, *_) = only(manifests, "Deployment", part)["spec"]["template"]["spec"]["containers"]
        assert mount in container["volumeMounts"]
    assert mount in dagster_settings(manifests)["run_launcher"]["config"]["pods"]["volume_mounts"]


@pytest.mark.parametrize("name", ["application.yaml", "application-gwtm.yaml"])
def test_applications_point_to_values_that_exist(name: str) -> None:
    """An ArgoCD Application names the chart, its values files, and values that the schema takes."""
    application = yaml.safe_load((CHART.parent / "argocd" / name).read_text())
    source = application["spec"]["source"]
    assert source["path"] == "helm/mma-pipeline"
    files = [values_of(file) for file in source["helm"]["valueFiles"]]
    manifests = render(*files, source["helm"]["valuesObject"])
    images = {c["image"] for _, t in pod_specs(manifests) for c in t["spec"]["containers"]}
    assert images == {f"registry.example/mma-pipeline:{__version__}", "redis:7"}
    for key, value in application["metadata"].get("annotations", {}).items():
        if ".helm.image-" in key:
            node: Any = merged(*files, source["helm"]["valuesObject"])
            for part in value.split("."):
                node = node[part]
            assert isinstance(node, str), f"the image updater would write {value}, which the chart does not read"
