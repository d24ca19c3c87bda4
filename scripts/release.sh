#!/usr/bin/env bash
# A release from a clean tree: checks that version, changelog and tree agree, tests everything, makes dist/ and tries it.
#
#   scripts/release.sh            all of it; prints the commands that publish, and runs none of them
#   scripts/release.sh --check    only what takes seconds: version, changelog, tree
#
# The checklist in CONTRIBUTING.md says what a person decides. This script sets no tag and uploads nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'release: %s\n' "$@" >&2
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
today=$(date -u +%F)

check() {
    local file found
    for file in python/Cargo.toml; do
        found=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$file" | head -n 1)
        [[ $found = "$version" ]] || fail "$file says $found, Cargo.toml $version"
    done
    grep -q "cutover:$version" docker/Dockerfile docker/compose.yaml || fail "docker/ does not name the image cutover:$version"
    grep -q "^## \[$version\] - $today\$" CHANGELOG.md ||
        fail "CHANGELOG.md has no section '## [$version] - $today'; cut it: move what is new below that heading"
    [[ -z $(git status --porcelain) ]] || fail "the tree is not clean:" "$(git status --short)"
    ! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || fail "the tag v$version exists already"
    cargo metadata --locked --format-version 1 >/dev/null || fail "Cargo.lock is not up to date"
}

check
[[ ${1:-} != --check ]] || exit 0

.ci/run
scripts/dist.sh
scripts/try-dist.sh

cat <<END
release: $version is in dist/, of commit $(git rev-parse --short=12 HEAD). What is left, by hand:
    git tag -a v$version -m "Cutover $version" && git push origin v$version
    docker build -f docker/Dockerfile -t cutover:$version .
    python3 -m twine upload dist/*.whl
END
