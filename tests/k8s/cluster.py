"""A release of the chart on the real API server, with a daemon and a code server beside it as in its pods.

No kubelet runs: `Release.run_pod` does what one would, with the Job that the launcher made: it has the API server admit
the pod, and runs the container's own command with the container's own environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import helm_python
import yaml
from kubernetes import client

from mma_pipeline.adapters.archive import Archive
from tests.k8s.chart import BASE, CHART, NAMESPACE, RELEASE, ROOT, dagster_settings, merged, render
from tests.services.kubernetes import KubernetesApi
from tests.services.process import Child, free_ports, wait_until

BIN = Path(sys.executable).parent
IMAGE = "registry.example/mma-pipeline:1.2.3"
VALUES = merged(BASE, {"listeners": {"image": {"repository": "registry.example/mma-pipeline", "tag": "1.2.3"}}})
#: Secrets that the values name, with the keys of what is switched on.
SECRETS = {
    "mma-pipeline": {
        "kafka-client-id": "id",
        "kafka-client-secret": "hunter2",
        "aws-access-key-id": "key",
        "aws-secret-access-key": "hunter2",
    },
    "mma-postgresql": {"postgresql-password": "hunter2"},
    "mma-queue": {"queue-password": "hunter2"},
}


class Release:
    """The chart, installed by Helm; settings and processes of its daemon and code server."""

    def __init__(self, api: KubernetesApi, folder: Path, postgres_url: str, queue_url: str) -> None:
        """Install; the processes are started by `running`."""
        self.api, self.folder = api, folder
        self.home = folder / "home"
        self.home.mkdir()
        admin = api.client()
        self.core, self.batch = client.CoreV1Api(admin), client.BatchV1Api(admin)
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.core.create_namespace(
            client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE, labels=labels)), field_validation="Strict"
        )
        for name, data in SECRETS.items():
            secret = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data=data)
            self.core.create_namespaced_secret(NAMESPACE, secret)
        with helm_python.Config(kubeconfig_path=api.kubeconfig(), namespace=NAMESPACE) as helm:
            self.installed = helm.install(CHART, RELEASE, VALUES, namespace=NAMESPACE)
        (self.port,) = free_ports(1)
        self.env = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_PG_URL": postgres_url.replace("+psycopg2", ""),
            "MMA_ARCHIVE_URL": postgres_url,
            "MMA_CELERY_BROKER": queue_url,
            "MMA_CELERY_BACKEND": f"db+{postgres_url}",
            "MMA_STORE_URL": (folder / "products").as_uri(),
        }
        Archive(postgres_url, create=True)
        self._write_settings()

    @contextlib.contextmanager
    def running(self) -> Iterator[Release]:
        """Run migration, code server and daemon, with the chart's own command lines."""
        manifests = {m["metadata"]["name"]: m for m in render(VALUES) if m["kind"] == "Deployment"}
        pod = manifests[f"{RELEASE}-daemon"]["spec"]["template"]["spec"]
        for first in pod["initContainers"]:
            subprocess.run(
                self._here(first["command"]), env=self.env, check=True, capture_output=True, timeout=240, cwd=ROOT
            )
        code = manifests[f"{RELEASE}-code"]["spec"]["template"]["spec"]["containers"][0]["command"]
        # Each with the rights of its own pod.
        children = [
            self._child("code", code, DAGSTER_HOME=str(self._home_of("code"))),
            self._child("daemon", pod["containers"][0]["command"]),
        ]
        try:
            children[1].wait_ready(self._beats, timeout=240)
            yield self
        finally:
            for child in children:
                child.end()

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The release's Dagster instance."""
        before = dict(os.environ)
        os.environ.update({name: self.env[name] for name in self.env if name.startswith(("DAGSTER", "MMA"))})
        try:
            with dg.DagsterInstance.from_config(str(self.home)) as instance:
                yield instance
        finally:
            os.environ.clear()
            os.environ.update(before)

    def launch(self, run_id: str, tags: dict[str, str]) -> None:
        """Put a run of a short job of the project into the queue."""
        command = ["dagster", "job", "launch", "-w", str(self.folder / "workspace.yaml"), "-l", "mma_pipeline"]
        command += ["-j", "publish_outbox", "--run-id", run_id, "--tags", json.dumps(tags)]
        done = subprocess.run(
            self._here(command), env=self.env, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def job_of(self, run_id: str) -> Any:
        """The Kubernetes Job of a run, once it is there."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = [
                job
                for job in self.batch.list_namespaced_job(NAMESPACE).items
                if job.metadata.labels["dagster/run-id"] == run_id
            ]
            return bool(found)

        self.wait(look, f"the Job of run {run_id}")
        return found[0]

    def admit_pod(self, job: Any) -> None:
        """Create the pod of a Job as the Job controller would: the API server decides whether it is restricted."""
        pod = client.V1Pod(
            metadata=client.V1ObjectMeta(
                name=f"{job.metadata.name}-0",
                labels={**job.spec.template.metadata.labels, "job-name": job.metadata.name},
            ),
            spec=job.spec.template.spec,
        )
        self.core.create_namespaced_pod(NAMESPACE, pod, field_validation="Strict")

    def run_pod(self, job: Any) -> int:
        """Run the container of a Job here; its exit code."""
        (container,) = job.spec.template.spec.containers
        plain = {entry.name: entry.value for entry in container.env if entry.value is not None}
        # Places of the cluster that are elsewhere here.
        environ = {**self.env, **plain, **{name: self.env[name] for name in ("DAGSTER_HOME", "MMA_CELERY_BROKER")}}
        done = subprocess.run(
            self._here(container.args), env=environ, capture_output=True, text=True, timeout=240, cwd=ROOT, check=False
        )
        if done.returncode:
            sys.stderr.write(done.stderr[-3000:])
        return done.returncode

    def report(self, job: Any, **status: Any) -> None:
        """Say of a Job what the Job controller would."""
        body = {"status": {"startTime": job.metadata.creation_timestamp.strftime("%Y-%m-%dT%H:%M:%SZ"), **status}}
        self.batch.patch_namespaced_job_status(job.metadata.name, NAMESPACE, body)

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        """What Dagster says about a run."""
        with self.instance() as instance:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            return run.status

    def wait_for(self, run_id: str, *statuses: dg.DagsterRunStatus) -> None:
        """Wait until a run has one of the statuses."""
        self.wait(lambda: self.status(run_id) in statuses, f"run {run_id}: {', '.join(s.value for s in statuses)}")

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait for something; TimeoutError with the end of the daemon's log."""
        try:
            wait_until(ready, what, timeout=480, every=0.5)
        except TimeoutError as error:
            end = "\n".join((self.folder / "daemon.log").read_text(errors="replace").splitlines()[-40:])
            raise TimeoutError(f"{error}\n{end}") from None

    def _write_settings(self) -> None:
        settings = dagster_settings(render(VALUES))
        pods = settings["run_launcher"]["config"]["pods"]
        settings["run_monitoring"] |= {"poll_interval_seconds": 2}
        for account in ("launcher", "code"):
            # The pod's own token and the cluster's address, which a pod finds in files, by a kubeconfig.
            token = self.api.account_token(NAMESPACE, f"{RELEASE}-{account}")
            pods |= {"load_incluster_config": False, "kubeconfig_file": str(self.api.kubeconfig(token))}
            (self._home_of(account) / "dagster.yaml").write_text(yaml.safe_dump(settings))
        place = {"host": "127.0.0.1", "port": self.port, "location_name": "mma_pipeline"}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": place}]}))

    def _home_of(self, account: str) -> Path:
        """DAGSTER_HOME of pods with an account; the release's own is the launcher's."""
        if account == "launcher":
            return self.home
        home = self.folder / f"home-{account}"
        home.mkdir(exist_ok=True)
        return home

    def _child(self, name: str, command: list[str], **env: str) -> Child:
        return Child(name, self._here(command), self.folder / f"{name}.log", env={**self.env, **env}, cwd=ROOT)

    def _here(self, command: list[str]) -> list[str]:
        """A command line of a pod with this machine's places: interpreter, addresses, workspace."""
        places = {
            "dagster": [str(BIN / "dagster")],
            "dagster-daemon": [str(BIN / "dagster-daemon")],
            "mma": [sys.executable, "-c", "from mma_pipeline.cli import app; app()"],
            "0.0.0.0": ["127.0.0.1"],
            "3030": [str(self.port)],
            "/opt/dagster/workspace.yaml": [str(self.folder / "workspace.yaml")],
        }
        return [word for given in command for word in places.get(given, [given])]

    def _beats(self) -> bool:
        with self.instance() as instance:
            beats = instance.get_daemon_heartbeats()
        return {"SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"} <= set(beats) and all(
            time.time() - beat.timestamp < 60 for beat in beats.values()
        )
