"""moto's S3 server as a process of its own, with its authentication switched on: a wrong key is refused.

``with S3Server.running() as server: Store.open("s3://bucket", environ=server.environ, create=True)``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import boto3

from tests.services.process import Child, free_ports, port_open
from tests.services.server import Server

REGION = "eu-west-1"
_SET_UP_CALLS = 3
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class S3Account(Server):
    """A server with the interface of S3, and one account on it."""

    def __init__(self, folder: Path, key: str, secret: str) -> None:
        """Prepare (not start) a server with these keys."""
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self._keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}

    def client(self) -> object:
        """A boto3 client, for what a test sees independently of the store."""
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION, **self._keys)

    @property
    def environ(self) -> dict[str, str]:
        """The environment names under which a store finds the server."""
        return self.environ_at(self.port)

    def environ_at(self, port: int) -> dict[str, str]:
        """The same, by way of a proxy's port."""
        return {
            "AWS_ACCESS_KEY_ID": self._keys["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self._keys["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }


class S3Server(S3Account):
    """moto, with one user who may do everything."""

    def __init__(self, folder: Path) -> None:
        """Prepare (not start) a server whose log lies in `folder`."""
        super().__init__(folder, "setup", "setup")

    def start(self) -> None:
        """Start, wait, and make the user; after these calls the server authenticates."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        environ = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(_SET_UP_CALLS)}
        self._child = Child("moto", command, self.folder / "moto.log", env=environ)
        self._child.wait_ready(lambda: port_open(self.port))
        iam = boto3.client("iam", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION, **self._keys)
        iam.create_user(UserName="listener")
        iam.put_user_policy(UserName="listener", PolicyName="all", PolicyDocument=json.dumps(_EVERYTHING))
        made = iam.create_access_key(UserName="listener")["AccessKey"]
        self._keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
