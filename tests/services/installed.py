"""Servers that come from package registries: installed once, pinned with hashes, into the user's cache folder.

The folder's name holds the digest of the lock file, so that a new pin installs anew. MMA_SERVICES_DIR names another
place (a cache that a CI system keeps).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.services.process import ServiceUnavailableError

HERE = Path(__file__).parent
KEYCLOAK_SHA256 = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47"
KEYCLOAK_BUILD = ("--db=dev-mem", "--cache=local", "--health-enabled=true")
"""What Keycloak fixes before it starts: users in memory, one node, an address that says whether it is ready."""


def cache_folder() -> Path:
    """Return the folder that holds installed servers."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mma_pipeline"
    home = Path(os.environ.get("MMA_SERVICES_DIR", home))
    home.mkdir(parents=True, exist_ok=True)
    return home


def program(name: str, *packages: str) -> str:
    """Path of a program of the system; where it is missing, root installs the Debian packages that bring it."""
    found = shutil.which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with (cache_folder() / "apt.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq", "-y", "--no-install-recommends"]
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run([*apt, "update"], Path("/"), quiet)
            run([*apt, "install", *packages], Path("/"), quiet)
        found = shutil.which(name)
    if found is None:
        raise ServiceUnavailableError(f"no {name}: install {' and '.join(packages)}")
    return found


def azurite_folder() -> Path:
    """Return the folder with Azurite's ``node_modules``; ServiceUnavailableError without Node.js or npm."""

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "azurite" / name, folder)
        # no package's own scripts are run: Azurite needs none
        run([program("npm", "nodejs", "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return once("azurite", [HERE / "azurite" / "package-lock.json"], install)


def swift_environment() -> Path:
    """Return the folder whose ``venv`` holds Swift and Keystone."""

    def install(folder: Path) -> None:
        requirements = str(HERE / "swift" / "requirements.txt")
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv:
            run([uv, "venv", "-q", "--python", sys.executable, str(folder / "venv")], folder)
            python = str(folder / "venv/bin/python")
            run([uv, "pip", "install", "-q", "--python", python, "--require-hashes", "-r", requirements], folder)
        else:
            run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
            pip = [str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", "--require-hashes"]
            run([*pip, "-r", requirements], folder)

    return once("swift", [HERE / "swift" / "requirements.txt"], install)


def go_program() -> str | None:
    """Path of the Go command, also where it is not on PATH; None where there is none."""
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")


def minio_program() -> Path:
    """Return MinIO's server, built with Go from the modules that minio/go.sum pins; ServiceUnavailableError without Go.

    Takes about five minutes of processor time and 2 GB that are deleted afterwards; 110 MB stay.
    """

    def install(folder: Path) -> None:
        go = go_program()
        if go is None:
            raise ServiceUnavailableError("no go: install Go 1.25 or newer, which builds MinIO")
        for name in ("main.go", "go.mod", "go.sum"):
            shutil.copy(HERE / "minio" / name, folder)
        scratch = folder / "scratch"
        environ = {**os.environ, "GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "CGO_ENABLED": "0"}
        environ |= {"GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "GOWORK": "off"}
        try:
            run([go, "build", "-trimpath", "-ldflags=-s -w", "-o", "minio", "."], folder, environ, timeout=2400)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    return once("minio", [HERE / "minio" / name for name in ("main.go", "go.mod", "go.sum")], install) / "minio"


def keycloak_folder() -> Path:
    """Return the folder that Keycloak was unpacked into (Maven, 176 MB) and made ready to start quickly.

    Raises ServiceUnavailableError without Java 17 or Maven.
    """

    def install(folder: Path) -> None:
        java, maven = program("java", "default-jre-headless"), program("mvn", "maven")
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        run([maven, "-q", "-B", "-f", str(HERE / "keycloak/pom.xml"), goal, f"-DoutputDirectory={folder}"], folder)
        archive = folder / "keycloak-quarkus-dist.tar.gz"
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != KEYCLOAK_SHA256:
            raise ServiceUnavailableError(f"Maven brought a Keycloak with the SHA-256 {found}, not the one pinned")
        shutil.unpack_archive(archive, folder)
        archive.unlink()
        next(folder.glob("keycloak-*")).rename(folder / "keycloak")
        environ = {**os.environ, "JAVA": java}
        run([str(folder / "keycloak/bin/kc.sh"), "build", *KEYCLOAK_BUILD], folder, environ)

    return once("keycloak", [HERE / "keycloak/pom.xml"], install) / "keycloak"


def once(name: str, made_from: list[Path], install: Callable[[Path], None]) -> Path:
    """Install into a folder named by the digest of what it is made from, unless it is there; safe in parallel."""
    home = cache_folder()
    content = b"".join(path.read_bytes() for path in made_from)
    folder = home / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / "complete").touch()
    return folder


def run(command: list[str], folder: Path, environ: dict[str, str] | None = None, timeout: float = 900) -> None:
    """Run an installer; ServiceUnavailableError with the end of what it said where it fails."""
    with tempfile.TemporaryFile("w+") as said:
        try:
            subprocess.run(command, cwd=folder, env=environ, stdout=said, stderr=said, check=True, timeout=timeout)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
            said.seek(0)
            raise ServiceUnavailableError(f"{command[0]} could not install: {error}: {said.read()[-600:]}") from error


def main(names: list[str]) -> None:
    """Install what is named before any test waits for it; what cannot be installed is left to the tests to say."""
    ways: dict[str, Callable[[], Path]] = {
        "azurite": azurite_folder,
        "keycloak": keycloak_folder,
        "minio": minio_program,
        "swift": swift_environment,
    }
    for name in names:
        try:
            ways[name]()
        except ServiceUnavailableError as error:
            sys.stderr.write(f"not for the tests: {name}: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
