"""Prints the parts of the command as CycloneDX 1.5: every crate that is linked in, with version, licence and source.

    python3 scripts/parts.py > cutover.cdx.json

From `cargo metadata`, along the dependencies of a release build on Linux: none of tests, of build scripts alone, or of
other systems. Libraries in C and C++ (RocksDB, librdkafka, OpenSSL, lz4, zstd) are in the version of the crate that
brings them: librocksdb-sys 0.19.0+11.8.1 has RocksDB 11.8.1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def metadata() -> dict:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--features", "portable"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def linked(resolved: dict) -> list[dict]:
    """The packages that the command links, in the order of their names."""
    nodes = {node["id"]: node for node in resolved["resolve"]["nodes"]}
    packages = {package["id"]: package for package in resolved["packages"]}
    queue = [node for node in nodes if packages[node]["name"] == "cutover"]
    # The native module of the Python package.
    queue += [node for node in nodes if packages[node]["name"] == "cutover-python"]
    seen = set(queue)
    while queue:
        for dependency in nodes[queue.pop()]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            # OpenSSL's source is a dependency of a build script, and linked anyway.
            wanted = None in kinds or packages[dependency["pkg"]]["name"] == "openssl-src"
            if wanted and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                queue.append(dependency["pkg"])
    return sorted((packages[one] for one in seen), key=lambda package: (package["name"], package["version"]))


def component(package: dict) -> dict:
    name, version = package["name"], package["version"]
    part = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}",
        "licenses": [{"expression": (package["license"] or "NOASSERTION").replace("/", " OR ")}],
    }
    if package.get("repository"):
        part["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return part


def main() -> None:
    packages = linked(metadata())
    own = next(package for package in packages if package["name"] == "cutover")
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**component(own), "type": "application"}},
        "components": [component(package) for package in packages if package["source"]],
    }
    json.dump(document, sys.stdout, indent=1)
    print()


main()
