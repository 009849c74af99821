"""The chart and the launcher on a real Kubernetes API server, which needs Go to be built."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from kubernetes import client, dynamic

from mma_pipeline.defs.jobs import LANE_TAG
from tests.k8s.chart import NAMESPACE, RELEASE, pod_specs, render
from tests.k8s.cluster import IMAGE, SECRETS, Release
from tests.k8s.test_chart import SETUPS
from tests.services.kubernetes import KubernetesApi
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.timeout(3000),  # the first use builds the server
]
Status = dg.DagsterRunStatus


@pytest.fixture(scope="module")
def release(
    kubernetes_api: KubernetesApi,
    postgres: PostgresServer,
    redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Release]:
    """The chart's default release with daemon and code server running."""
    made = Release(kubernetes_api, tmp_path_factory.mktemp("release"), postgres.create_database(), redis.url)
    with made.running():
        yield made


@pytest.fixture(scope="module")
def namespace(kubernetes_api: KubernetesApi) -> str:
    """A namespace that takes restricted pods only, with the service accounts of the chart."""
    core = client.CoreV1Api(kubernetes_api.client())
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="dry", labels=labels)))
    for name in ("default", *(f"{RELEASE}-{part}" for part in ("run", "launcher", "code"))):
        account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name=name))
        core.create_namespaced_service_account("dry", account)
    return "dry"


@pytest.mark.parametrize("name", SETUPS)
def test_the_server_takes_every_manifest(kubernetes_api: KubernetesApi, namespace: str, name: str) -> None:
    """Every manifest of every values file passes the API server's strict validation, every pod its admission."""
    server = dynamic.DynamicClient(kubernetes_api.client())
    pods = server.resources.get(api_version="v1", kind="Pod")
    strictly = {"dry_run": "All", "field_validation": "Strict", "namespace": namespace}
    manifests = render(SETUPS[name])
    for manifest in manifests:
        kind = server.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        manifest["metadata"].pop("namespace", None)
        kind.create(body=_renamed(manifest), **strictly)
    claims = [claim for m in manifests for claim in m.get("spec", {}).get("volumeClaimTemplates", [])]
    for owner, template in pod_specs(manifests):
        if owner.endswith("-postgresql"):  # its controller adds the claims
            template["spec"]["volumes"] += [{"name": claim["metadata"]["name"], "emptyDir": {}} for claim in claims]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": owner}, "spec": template["spec"]}
        pods.create(body=pod, **strictly)


def _renamed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest under a name of its own, for what the fixture has made already."""
    if manifest["kind"] == "ServiceAccount":
        manifest = {**manifest, "metadata": {**manifest["metadata"], "name": f"{manifest['metadata']['name']}-dry"}}
    return manifest


def test_helm_installs_the_chart(release: Release, kubernetes_api: KubernetesApi) -> None:
    """Helm's engine installs the release; what is there is what the chart renders."""
    apps = client.AppsV1Api(kubernetes_api.client())
    names = {deployment.metadata.name for deployment in apps.list_namespaced_deployment(NAMESPACE).items}
    assert names == {f"{RELEASE}-{part}" for part in ("code", "daemon", "queue", "webserver", "worker")}
    policies = client.NetworkingV1Api(kubernetes_api.client()).list_namespaced_network_policy(NAMESPACE).items
    assert f"{RELEASE}-default-deny" in {policy.metadata.name for policy in policies}


@pytest.mark.parametrize(
    ("account", "verb", "group", "resource", "allowed"),
    [
        ("launcher", "create", "batch", "jobs", True),
        ("launcher", "delete", "batch", "jobs", True),
        ("launcher", "list", "", "pods", True),
        ("launcher", "get", "", "secrets", False),
        ("launcher", "create", "", "pods", False),
        ("launcher", "create", "", "pods/exec", False),
        ("launcher", "update", "apps", "deployments", False),
        ("launcher", "create", "rbac.authorization.k8s.io", "rolebindings", False),
        ("code", "get", "batch", "jobs/status", True),
        ("code", "list", "batch", "jobs", False),
        ("code", "create", "batch", "jobs", False),
        ("code", "list", "", "pods", False),
        ("code", "get", "", "secrets", False),
        ("run", "list", "", "pods", False),
        ("run", "create", "batch", "jobs", False),
        ("run", "get", "", "secrets", False),
    ],
)
def test_accounts_have_least_rights(
    release: Release, account: str, verb: str, group: str, resource: str, allowed: bool
) -> None:
    """The API server grants what starting a run needs, and refuses secrets, shells and everything else."""
    token = release.api.account_token(NAMESPACE, f"{RELEASE}-{account}")
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(
                namespace=NAMESPACE,
                verb=verb,
                group=group,
                resource=resource.partition("/")[0],
                subresource=resource.partition("/")[2] or None,
            )
        )
    )
    answer = client.AuthorizationV1Api(release.api.client(token)).create_self_subject_access_review(review)
    assert answer.status.allowed is allowed


def test_a_run_gets_its_job_and_succeeds(release: Release) -> None:
    """The Job has the code server's image, its lane's resources, secrets by reference and the labels of the policies.

    Its pod is admitted as restricted, its command ends the run in success, and a Job that then succeeded changes nothing.
    """
    run_id = str(uuid.uuid4())
    release.launch(run_id, {LANE_TAG: "kilonova"})
    job = release.job_of(run_id)
    pod = job.spec.template
    (container,) = pod.spec.containers
    assert container.image == IMAGE
    assert container.resources.to_dict()["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert container.resources.to_dict()["limits"] == {"memory": "2Gi"}
    taken = {entry.value_from.secret_key_ref.name: set() for entry in container.env if entry.value_from}
    for entry in container.env:
        if entry.value_from:
            taken[entry.value_from.secret_key_ref.name].add(entry.value_from.secret_key_ref.key)
    assert taken == {name: set(data) for name, data in SECRETS.items()}
    assert "hunter2" not in str(job)
    assert [source.config_map_ref.name for source in container.env_from] == [f"{RELEASE}-env"]
    assert pod.metadata.labels["mma-pipeline/release"] == RELEASE
    assert pod.metadata.labels["app.kubernetes.io/component"] == "run_worker"
    assert pod.spec.service_account_name == f"{RELEASE}-run"
    assert pod.spec.automount_service_account_token is False
    assert container.security_context.read_only_root_filesystem
    assert job.spec.ttl_seconds_after_finished == 86400
    assert job.spec.backoff_limit == 0
    release.admit_pod(job)
    release.report(job, active=1)
    assert release.run_pod(job) == 0
    release.report(job, active=0, succeeded=1)
    release.wait_for(run_id, Status.SUCCESS)


def test_a_run_whose_pod_fails_before_it_begins_has_failed(release: Release) -> None:
    """A Job that failed before its run said a word fails the run, with the Job's state; one whose pod waits goes on waiting."""
    waits, fails = str(uuid.uuid4()), str(uuid.uuid4())
    for run_id in (waits, fails):
        release.launch(run_id, {LANE_TAG: "backfill"})
        release.report(release.job_of(run_id), active=1)
    release.report(release.job_of(fails), active=0, failed=1)
    release.wait_for(fails, Status.FAILURE)
    assert "failed=1" in _reason(release, fails)
    assert release.status(waits) is Status.STARTING
    release.batch.delete_namespaced_job(release.job_of(waits).metadata.name, NAMESPACE, propagation_policy="Background")
    release.wait_for(waits, Status.FAILURE)
    assert "no Job" in _reason(release, waits)


def test_a_run_whose_pod_fails_at_work_has_failed(release: Release) -> None:
    """A Job that fails while its run is under way fails the run, with the Job's state."""
    run_id = str(uuid.uuid4())
    release.launch(run_id, {LANE_TAG: "backfill"})
    job = release.job_of(run_id)
    release.report(job, active=1)
    with release.instance() as instance:
        begun = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="publish_outbox")
        instance.report_dagster_event(begun, run_id=run_id)
    release.report(job, active=0, failed=1)
    release.wait_for(run_id, Status.FAILURE)
    assert "no active pods" in _reason(release, run_id)


def _reason(release: Release, run_id: str) -> str:
    """What the run's own log says of its failure."""
    with release.instance() as instance:
        (entry, *_) = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert entry.dagster_event is not None
        return entry.dagster_event.message or ""


def test_ending_a_run_deletes_its_job(release: Release) -> None:
    """Ending a run in the UI removes the Job, with the launcher's own rights."""
    run_id = str(uuid.uuid4())
    release.launch(run_id, {LANE_TAG: "backfill"})
    job = release.job_of(run_id)
    with release.instance() as instance:
        assert instance.run_launcher.terminate(run_id)
    left = {found.metadata.name: found for found in release.batch.list_namespaced_job(NAMESPACE).items}
    # Marked for deletion: the controller that waits for the pods' end does not run here.
    assert job.metadata.name not in left or left[job.metadata.name].metadata.deletion_timestamp


def test_tags_may_ask_for_resources_and_for_nothing_else(release: Release) -> None:
    """`dagster-k8s/config` on a run changes its resources; another image or a host's folder is refused."""
    wanted = {"limits": {"memory": "7Gi"}, "requests": {"cpu": "2", "memory": "6Gi"}}
    run_id, refused = str(uuid.uuid4()), str(uuid.uuid4())
    release.launch(run_id, {"dagster-k8s/config": json.dumps({"container_config": {"resources": wanted}})})
    (container,) = release.job_of(run_id).spec.template.spec.containers
    assert container.resources.to_dict()["limits"] == wanted["limits"]
    evil = {
        "container_config": {"image": "evil.example/miner"},
        "pod_spec_config": {"volumes": [{"name": "host", "host_path": {"path": "/"}}]},
    }
    release.launch(refused, {"dagster-k8s/config": json.dumps(evil)})
    release.wait_for(refused, Status.FAILURE)
    jobs = release.batch.list_namespaced_job(NAMESPACE).items
    assert refused not in {job.metadata.labels["dagster/run-id"] for job in jobs}


def test_a_live_run_asks_for_no_pod(release: Release) -> None:
    """A run of the live lane waits for a resident worker: the task is in the queue, and no Job is made."""
    run_id = str(uuid.uuid4())
    release.launch(run_id, {LANE_TAG: "live"})
    release.wait_for(run_id, Status.STARTING)

    def handed_over() -> bool:
        with release.instance() as instance:
            run = instance.get_run_by_id(run_id)
            return run is not None and "dagster-celery/task_id" in run.tags

    release.wait(handed_over, "the task of the live run")
    jobs = release.batch.list_namespaced_job(NAMESPACE).items
    assert run_id not in {job.metadata.labels["dagster/run-id"] for job in jobs}
