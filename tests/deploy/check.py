"""Validates the Kubernetes manifests of deploy/kubernetes against Kubernetes's own schemas, without a cluster.

    python3 tests/deploy/check.py [--environment DIR]

The packages of requirements.txt go into a virtual environment below DIR (default `target/deploy`), made again only when
that file changes. `tests/it/deploy.rs` checks what schemas cannot say: ports, paths and names that must agree.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MANIFESTS = ROOT / "deploy" / "kubernetes"

# The oldest version of Kubernetes that the manifests are for, and the newest that the schemas know.
VERSIONS = ["1.31", "1.37"]

# Each is one change that a schema must refuse: it shows that the validator does say no.
WRONG = [
    ("gateway.yaml", "replicas: 3", 'replicas: "three"'),
    ("gateway.yaml", "readOnlyRootFilesystem", "readonlyRootFilesystem"),
    ("gateway.yaml", "containerPort: 8443", "containerPort: https"),
    ("gateway.yaml", "      containers:", "      contaners:"),
    ("valkey.yaml", "serviceName: valkey", "serviceName: [valkey]"),
    ("network.yaml", "podSelector: {}", "podSelector: all"),
    ("network.yaml", "policyTypes:", "policyType:"),
]


def in_environment(directory):
    """Runs this script again with the packages."""
    requirements = HERE / "requirements.txt"
    stamp = directory / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    python = directory / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        # Every package is pinned, so nothing need be resolved.
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                        "--disable-pip-version-check", "--requirement", requirements], check=True)
        stamp.write_text(wanted)
    environment = {**os.environ, "CUPOLA_DEPLOY_CHECK": "1"}
    return subprocess.run([python, __file__], env=environment, check=False).returncode


def faults(text, version):
    """What a schema says against the documents of a manifest."""
    import kubernetes_validate
    import yaml

    found = []
    for document in yaml.safe_load_all(text):
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{document['kind']} {document['metadata']['name']}: {error.message}")
    return found


def check():
    manifests = {path.name: path.read_text() for path in sorted(MANIFESTS.glob("*.yaml"))
                 if path.name != "kustomization.yaml"}
    problems = [f"{name} (Kubernetes {version}): {fault}"
                for version in VERSIONS for name, text in manifests.items() for fault in faults(text, version)]
    for name, right, wrong in WRONG:
        text = manifests[name]
        if right not in text:
            problems.append(f"{name} has no {right!r} to change")
        elif not faults(text.replace(right, wrong, 1), VERSIONS[-1]):
            problems.append(f"{name} with {wrong!r} passes")
    for problem in problems:
        print(problem)
    print(f"{len(manifests)} manifests, {len(WRONG)} wrong ones: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    if os.environ.get("CUPOLA_DEPLOY_CHECK"):
        sys.exit(check())
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", type=pathlib.Path, default=ROOT / "target" / "deploy")
    sys.exit(in_environment(parser.parse_args().environment))
