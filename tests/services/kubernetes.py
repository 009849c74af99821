"""A real Kubernetes API server with etcd on the loopback interface: no scheduler, no kubelet, no nodes.

Both are built once from the Go module proxy, pinned by `tests/k8s/tools/go.sum`, into the user's cache folder: about four
minutes on two idle cores. Role-based access, the pod security standard and the validation of every field are the API
server's own; what a kubelet would do, the test does.
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.services.installed import kubernetes_programs
from tests.services.process import Child, free_ports


class KubernetesApi:
    """One API server; `admin` may do everything."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet."""
        self.folder = folder
        self.port, self._etcd_port, self._peer_port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self.admin_token = os.urandom(16).hex()
        self._children: list[Child] = []

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[KubernetesApi]:
        """Run a server in a throw-away directory."""
        built = kubernetes_programs()
        with tempfile.TemporaryDirectory(prefix="mma-k8s-") as directory:
            server = cls(Path(directory))
            try:
                server.start(built)
                yield server
            finally:
                server.stop()

    def start(self, built: Path) -> None:
        """Start etcd and the API server and wait until it is ready."""
        etcd = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        command = [built / "server", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--logger=zap"]
        command += ["--listen-client-urls", etcd, "--advertise-client-urls", etcd]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", f"default={peer}", "--log-level=warn"]
        self._run("etcd", command, f"{etcd}/health")
        key, tokens = self.folder / "accounts.key", self.folder / "tokens.csv"
        key.write_bytes(_private_key())
        tokens.write_text(f"{self.admin_token},admin,admin,system:masters\n")
        command = [built / "kube-apiserver", f"--etcd-servers={etcd}", f"--secure-port={self.port}"]
        command += ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--cert-dir={self.folder}"]
        command += ["--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC"]
        command += ["--endpoint-reconciler-type=none"]  # nobody reaches it from elsewhere
        command += [f"--token-auth-file={tokens}", "--service-account-issuer=https://kubernetes.default.svc"]
        command += [f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"]
        self._run("kube-apiserver", command, f"{self.url}/readyz")

    def stop(self) -> None:
        """End both."""
        for child in reversed(self._children):
            child.end()

    def kubeconfig(self, token: str | None = None) -> Path:
        """Write a kubeconfig for a token, the admin's unless given."""
        authority = base64.b64encode((self.folder / "apiserver.crt").read_bytes()).decode()
        content: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "k", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": "u", "user": {"token": token or self.admin_token}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "current-context": "c",
        }
        descriptor, name = tempfile.mkstemp(prefix="kubeconfig-", dir=self.folder)
        with os.fdopen(descriptor, "w") as out:
            yaml.safe_dump(content, out)
        return Path(name)

    def client(self, token: str | None = None) -> Any:
        """A kubernetes.client.ApiClient."""
        from kubernetes import config

        return config.new_client_from_config(str(self.kubeconfig(token)))

    def account_token(self, namespace: str, name: str) -> str:
        """A token of a service account, as its pods have."""
        from kubernetes import client

        request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
        core = client.CoreV1Api(self.client())
        return str(core.create_namespaced_service_account_token(name, namespace, request).status.token)

    def _run(self, name: str, command: list[str | Path], ready: str) -> None:
        child = Child(name, [str(word) for word in command], self.folder / f"{name}.log", cwd=str(self.folder))
        self._children.append(child)
        child.wait_ready(lambda: self._answers(ready), timeout=180)

    def _answers(self, url: str) -> bool:
        context = ssl._create_unverified_context()  # readiness only; clients verify
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.admin_token}"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _private_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
