#!/usr/bin/env bash
# The Python package: builds its wheel, and runs its tests.
#
#   scripts/python.sh wheel COMMAND DIR [FLAG...]   a wheel with the command COMMAND, in DIR; flags are maturin's
#   scripts/python.sh test [ARGUMENT...]            tests of the wheel, with the command that cargo built; pytest's arguments
#   scripts/python.sh airflow                       brings Airflow, so that its example is tested too; the same for dagster
#   scripts/python.sh tools                         only the tools, into ~/.cache/cutover/python/build/bin
#
# The native module is built by cargo into the same directory as everything else (CARGO_TARGET_DIR is respected).
# CARGO_FLAGS are passed on to both builds. Tools come from PyPI into ~/.cache/cutover/python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/python
target=${CARGO_TARGET_DIR:-target}

fail() {
    printf 'python: %s\n' "$@" >&2
    exit 1
}

# An environment with the packages of a file of requirements; its mark is written last, so that no one meets half of it.
environment() {
    local name=$1 wanted=$2
    cmp -s "$wanted" "$home/$name/requirements.txt" && return 0
    python3 -c 'import ensurepip, venv' 2>/dev/null || fail "this needs Python 3 with venv; run: scripts/setup.sh --bench"
    mkdir -p "$home"
    exec 9>"$home/$name.lock"
    flock 9
    cmp -s "$wanted" "$home/$name/requirements.txt" && return 0
    rm -rf "${home:?}/$name"
    python3 -m venv "$home/$name"
    "$home/$name/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" </dev/null ||
        fail "pip could not bring $(tr '\n' ' ' <"$wanted")"
    cp "$wanted" "$home/$name/requirements.txt"
}

wheel() {
    local command=$1 out=$2
    shift 2
    environment build python/requirements-build.txt
    mkdir -p python/cutover.data/scripts
    install -m 755 "$command" python/cutover.data/scripts/cutover
    # The strip of this system may not know another processor.
    "${STRIP:-strip}" python/cutover.data/scripts/cutover 2>/dev/null || true
    # shellcheck disable=SC2086 # flags are words
    "$home/build/bin/maturin" build --quiet --release --locked --manifest-path python/Cargo.toml --out "$out" \
        ${CARGO_FLAGS:-} "$@"
    rm -rf python/cutover.data
}

# Airflow and Dagster each want their own versions of what they share, so each has its own environment.
tests() {
    local name
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' EXIT
    # shellcheck disable=SC2086 # flags are words
    cargo build --quiet --release --locked ${CARGO_FLAGS:-} --bin cutover
    wheel "$target/release/cutover" "$wheels" --auditwheel skip
    run_in test "$wheels" --ignore python/tests/orchestrators python/tests "$@"
    [[ $# -eq 0 ]] || return 0
    for name in airflow dagster; do
        if [[ -n ${CI:-} || -d $home/$name ]]; then
            run_in $name "$wheels" python/tests/orchestrators/test_$name.py
        else
            echo "skipped: the example for $name, which is large; scripts/python.sh $name installs it for the next time"
        fi
    done
}

# Runs pytest with the wheel, as pip installs it, in the environment $1.
run_in() {
    local name=$1 wheels=$2
    shift 2
    environment "$name" "python/requirements-$name.txt"
    "$home/$name/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
        "$wheels"/cutover-*.whl
    env -u CUTOVER_COMMAND "$home/$name/bin/python" -m pytest "$@"
}

case ${1:-} in
    wheel)
        [[ $# -ge 3 ]] || fail "say: scripts/python.sh wheel COMMAND DIR"
        wheel "${@:2}"
        ;;
    test) tests "${@:2}" ;;
    airflow | dagster) environment "$1" "python/requirements-$1.txt" ;;
    tools) environment build python/requirements-build.txt ;;
    *)
        sed -n 's/^#   \(scripts\/python.sh .*\)/\1/p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
