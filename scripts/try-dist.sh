#!/usr/bin/env bash
# Installs the wheel of dist/ into a bare Debian with nothing but Python, and shows that it works there.
#
#   scripts/try-dist.sh [DIR]    DIR keeps the root file system for the next time; ~/.cache/cutover/bare by default
#
# No compiler, no OpenSSL 3: Debian 11 with glibc 2.31 and Python 3.9, made by debootstrap, entered by chroot. It times
# `pip install` and the demo's first result, reads a store that flips meanwhile, and holds the command to the libraries of
# glibc alone. Needs root and debootstrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=${1:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/bare}
suite=bullseye

fail() {
    echo "try-dist: $*" >&2
    exit 1
}

[[ $(id -u) = 0 ]] || fail "chroot needs root"
wheels=(dist/cutover-*.whl)
[[ -f ${wheels[0]} ]] || fail "there is no wheel in dist/; run: make dist"
if [[ ! -e $root/.complete ]]; then
    command -v debootstrap >/dev/null || fail "debootstrap is missing; run: apt-get install debootstrap"
    rm -rf "$root"
    debootstrap --variant=minbase --include=python3,python3-venv "$suite" "$root" >"$root.log" 2>&1 ||
        fail "debootstrap failed; see $root.log"
    touch "$root/.complete"
fi

rm -rf "$root/try"
mkdir -p "$root/try"
cp "${wheels[0]}" "$root/try/"
cp scripts/try-dist.py "$root/try/"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
chroot "$root" /bin/sh -ec '
    cd /try
    ! command -v cc && ! command -v cargo
    python3 -m venv env
    env/bin/python -c "import time; print(time.time())" >installed
    env/bin/pip install --quiet --no-index cutover-*.whl
    env/bin/python try-dist.py
'
