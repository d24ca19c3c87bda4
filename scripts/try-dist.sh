#!/usr/bin/env bash
# Installs the wheel of dist/ into a bare Debian with nothing but Python, and shows that it works there.
#
#   scripts/try-dist.sh                for this machine's processor
#   scripts/try-dist.sh --arch ARCH    for x86_64 or aarch64; qemu runs what is another processor's
#
# No compiler, no OpenSSL 3: Debian 11 with glibc 2.31 and Python 3.9, made by debootstrap and kept in
# ~/.cache/cutover/bare-ARCH, entered by chroot. It times `pip install` and the demo's first result, reads a store that
# flips meanwhile, and holds the command to the libraries of glibc alone. Needs root and debootstrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

arch=$(uname -m)
if [[ ${1:-} = --arch ]]; then arch=${2:?--arch needs x86_64 or aarch64}; fi
case $arch in
    x86_64) debian=amd64 ;;
    aarch64) debian=arm64 ;;
    *) echo "try-dist: there is no wheel for $arch" >&2; exit 2 ;;
esac
root=${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/bare-$arch
suite=bullseye
emulated=no

fail() {
    echo "try-dist: $*" >&2
    exit 1
}

[[ $(id -u) = 0 ]] || fail "chroot needs root"
wheels=(dist/cutover-*"$arch".whl)
[[ -f ${wheels[0]} ]] || fail "there is no wheel for $arch in dist/; run: scripts/dist.sh --arch $arch"
if [[ $arch != "$(uname -m)" ]]; then
    grep -qs '^enabled' "/proc/sys/fs/binfmt_misc/qemu-$arch" ||
        fail "this machine does not run programs for $arch; run: apt-get install qemu-user-static binfmt-support"
    emulated=yes
fi
if [[ ! -e $root/.complete ]]; then
    command -v debootstrap >/dev/null || fail "debootstrap is missing; run: apt-get install debootstrap"
    rm -rf "$root"
    debootstrap --arch="$debian" --variant=minbase --include=python3,python3-venv "$suite" "$root" >"$root.log" 2>&1 ||
        fail "debootstrap failed; see $root.log"
    touch "$root/.complete"
fi

rm -rf "$root/try"
mkdir -p "$root/try"
cp "${wheels[0]}" "$root/try/"
cp scripts/try-dist.py "$root/try/"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
EMULATED=$emulated chroot "$root" /bin/sh -ec '
    cd /try
    ! command -v cc && ! command -v cargo
    python3 -m venv env
    env/bin/python -c "import time; print(time.time())" >installed
    env/bin/pip install --quiet --no-index cutover-*.whl
    env/bin/python try-dist.py
'
