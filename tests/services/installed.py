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
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.services.process import ServiceUnavailableError

HERE = Path(__file__).parent
KEYCLOAK_SHA256 = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47"
KEYCLOAK_BUILD = ("--db=dev-mem", "--cache=local", "--health-enabled=true")
"""What Keycloak fixes before it starts: users in memory, one node, an address that says whether it is ready."""


KUBERNETES_VERSION = ("1", "36", "3")
"""What the API server says it is: a release build is told so, too."""
GO_BUILD_S = 2400
"""Seconds for a build: five minutes on two idle cores, much more on a machine that has other work."""


def cache_folder() -> Path:
    """Return the folder that holds installed servers."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mma_pipeline"
    home = Path(os.environ.get("MMA_SERVICES_DIR", home))
    home.mkdir(parents=True, exist_ok=True)
    return home


def in_ci() -> bool:
    """Whether a missing service is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


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


def go_build(source: Path, folder: Path, packages: Sequence[str], flags: str = "") -> None:
    """Build programs into `folder` from the modules that `source`/go.sum pins; ServiceUnavailableError without Go."""
    go = go_program()
    if go is None:
        raise ServiceUnavailableError("no go: install Go 1.21 or newer, which fetches the version it needs")
    # Sources and compiled packages are of no use afterwards, and larger than the programs.
    scratch = folder / "scratch"
    environ = {**os.environ, "GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "CGO_ENABLED": "0"}
    environ |= {"GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath", "GOWORK": "off"}
    command = [go, "build", f"-ldflags=-s -w {flags}", "-o", f"{folder}/", *packages]
    try:
        run(command, source, environ | {"GOTOOLCHAIN": "auto"}, timeout=GO_BUILD_S)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def minio_program() -> Path:
    """Return MinIO's server, built with Go from the modules that minio/go.sum pins; ServiceUnavailableError without Go.

    Takes about five minutes of processor time and 2 GB that are deleted afterwards; 110 MB stay.
    """
    source = HERE / "minio"
    made_from = [source / name for name in ("main.go", "go.mod", "go.sum")]
    return once("minio", made_from, lambda folder: go_build(source, folder, ["."])) / "minio"


def kubernetes_programs() -> Path:
    """Return the folder with `server` (etcd) and `kube-apiserver`, pinned by tests/k8s/tools/go.sum.

    Takes about four minutes on two idle cores. ServiceUnavailableError without Go.
    """
    tools = HERE.parent / "k8s" / "tools"
    major, minor, patch = KUBERNETES_VERSION
    told = {"gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in told.items())
    packages = ("go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kube-apiserver")
    made_from = [tools / "go.mod", tools / "go.sum"]
    return once("kubernetes", made_from, lambda folder: go_build(tools, folder, packages, flags))


def oauth2_proxy_program() -> Path:
    """Return oauth2-proxy, pinned by oauth2_proxy/go.sum; ServiceUnavailableError without Go. A minute on two idle cores."""
    source = HERE / "oauth2_proxy"
    package = "github.com/oauth2-proxy/oauth2-proxy/v7"
    made_from = [source / "go.mod", source / "go.sum"]
    return once("oauth2-proxy", made_from, lambda folder: go_build(source, folder, [package])) / "oauth2-proxy"


def oidc_provider_folder() -> Path:
    """Return a folder with tests/tom/node's OpenID Connect provider and its packages, beside each other as Node wants.

    Raises ServiceUnavailableError without Node.js or npm.
    """
    source = HERE.parent / "tom" / "node"
    made_from = [source / name for name in ("server.mjs", "package.json", "package-lock.json")]

    def install(folder: Path) -> None:
        for path in made_from:
            shutil.copy(path, folder)
        run([program("npm", "nodejs", "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return once("oidc-provider", made_from, install)


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
        "kubernetes": kubernetes_programs,
        "minio": minio_program,
        "oauth2-proxy": oauth2_proxy_program,
        "oidc-provider": oidc_provider_folder,
        "swift": swift_environment,
    }
    for name in names:
        try:
            ways[name]()
        except ServiceUnavailableError as error:
            sys.stderr.write(f"not for the tests: {name}: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
