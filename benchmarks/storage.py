"""Rate of `mma storage migrate` beside plain sequential copies, S3 to Azure with 20 ms of latency per request.

The servers are moto and Azurite on this machine, each behind a proxy that holds every request for 20 ms. Two baselines:
``opened`` copies as the GWTM listener's migrate_storage.py did (fsspec files opened for reading and writing, one after
the other), ``whole`` in the fewest requests that fsspec offers (`cat_file`, `pipe_file`).

    python benchmarks/storage.py [FILES]        one JSON line per figure; rates in files per second
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import adlfs
import s3fs

from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.migration import WORKERS, migrate, plan
from tests.services.azurite import ACCOUNT, Azurite
from tests.services.proxy import Proxy
from tests.services.s3 import REGION, S3Server

LATENCY_S = 0.020
SIZE = 64 << 10
GOAL = 5.0


def main(files: int) -> None:
    """Run all three ways on the same servers and print the figures."""
    with (
        S3Server.running() as s3,
        Azurite.running() as azure,
        Proxy.to(s3.port, LATENCY_S) as s3_proxy,
        Proxy.to(azure.port, LATENCY_S) as azure_proxy,
    ):
        keys = [f"fit/S{n:06d}-Initial.fits.gz" for n in range(files)]
        straight = Store.open("s3://source", environ=s3.environ, create=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: straight.put(key, os.urandom(SIZE), look=False), keys))
        environ = s3.environ_at(s3_proxy.port)
        reader = s3fs.S3FileSystem(
            key=environ["AWS_ACCESS_KEY_ID"],
            secret=environ["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=environ["AWS_ENDPOINT_URL"],
            client_kwargs={"region_name": REGION},
        )
        endpoint = azure.environ_at(azure_proxy.port)["AZURE_BLOB_ENDPOINT"]
        login = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={azure.key};BlobEndpoint={endpoint};"
        writer = adlfs.AzureBlobFileSystem(connection_string=login)
        for container in ("opened", "whole"):
            writer.mkdir(container)

        def opened(key: str) -> None:
            with reader.open(f"source/{key}", "rb") as source:
                content = source.read()
            with writer.open(f"opened/{key}", "wb") as target:
                target.write(content)

        def whole(key: str) -> None:
            writer.pipe_file(f"whole/{key}", reader.cat_file(f"source/{key}"))

        some = keys[: max(20, files // 5)]
        rates = {"opened": rate(opened, some), "whole": rate(whole, some)}
        source = Store.open("s3://source", environ=environ)
        dest = Store.open("abfs://moved", environ=azure.environ_at(azure_proxy.port))
        started = time.perf_counter()
        outcomes = list(migrate(source, dest, plan(source, dest)))
        spent = time.perf_counter() - started
        assert all(outcome.moved for outcome in outcomes)
        assert len(outcomes) == files
        started = time.perf_counter()
        assert not plan(source, dest).todo
        report("storage.resume", files / (time.perf_counter() - started), None, None)
        for baseline, value in rates.items():
            report("storage.migrate", files / spent, baseline, value)


def rate(copy: Callable[[str], Any], keys: list[str]) -> float:
    """Files per second of a plain loop."""
    copy(keys[0])  # connections are made
    started = time.perf_counter()
    for key in keys:
        copy(key)
    return len(keys) / (time.perf_counter() - started)


def report(name: str, value: float, baseline: str | None, beside: float | None) -> None:
    """Print one figure."""
    line: dict[str, Any] = {"figure": name, "value": round(value, 1), "unit": "files/s", "file_bytes": SIZE}
    line |= {"latency_s": LATENCY_S, "workers": WORKERS}
    if baseline is not None and beside is not None:
        line |= {"baseline": f"sequential, {baseline}", "baseline_value": round(beside, 1)}
        line |= {"ratio": round(value / beside, 1), "goal_ratio": GOAL}
    print(json.dumps(line))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
