#!/usr/bin/env bash
# A real object store with S3's interface on this machine's loopback, for Cutover's tests and benchmarks: SeaweedFS, in
# one process. It needs bash, Python 3.11 or newer with venv and, for `fetch`, the network.
#
#   scripts/object-server.sh fetch            bring what the others need, once for this user (about 170 MB)
#   scripts/object-server.sh run DIR PORT     run one server in the foreground, with all of its state in DIR
#   scripts/object-server.sh try DIR PORT     the same, and delete DIR at the end
#
# `run` prints the line `ready http://127.0.0.1:PORT` when the server serves. A later run continues with what is in DIR,
# after kill -9 too. It ends, and the server with it by kill -9, when its standard input is closed or it is itself
# ended, so that no server outlives the test that started it; by hand: Ctrl-D. It ends with 1 and the end of the log on
# standard error when the server does not come up or dies.
#
#   PORT      S3: admin with admin-secret may do everything, reader with reader-secret may read and list
#   PORT + 1  the filer: the same files without credentials, a bucket is a directory below /buckets
#   PORT + 2 to PORT + 7   its other parts
#
#   DIR/pid         the process id of the server, for kill -9, -STOP and -CONT
#   DIR/server.log  what the server wrote, over all of its runs
#   DIR/data        what the server keeps
#
# Not for production and not for data that matters: passwords that anyone can read, one replica, no TLS. Nothing listens
# beyond loopback, and nothing is reported to the makers of SeaweedFS.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/objects
wanted=$here/objects/requirements.txt
python=$home/venv/bin/python
weed=$home/venv/bin/weed

fail() {
    printf 'object-server: %s\n' "$@" >&2
    exit 1
}

usage() {
    sed -n 's/^#   \(scripts\/object-server.sh .*\)/\1/p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# The mark is written last, so that no one meets half of an environment.
fetched() { cmp -s "$wanted" "$home/venv/requirements.txt"; }

fetch() {
    ! fetched || return 0
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        fail "this needs Python 3.11 or newer with venv; run: scripts/setup.sh --objects"
    mkdir -p "$home"
    exec 9>"$home/venv.lock"
    flock 9
    ! fetched || return 0
    rm -rf "$home/venv"
    python3 -m venv "$home/venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$wanted" </dev/null ||
        fail "pip could not bring $(tr '\n' ' ' <"$wanted")"
    cp "$wanted" "$home/venv/requirements.txt"
}

server=
watcher=
keep=yes

start_server() {
    local options=(
        -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1
        -master.port=$((port + 2)) -master.port.grpc=$((port + 6))
        -master.telemetry=false -master.volumeSizeLimitMB=128
        -volume.port=$((port + 3)) -volume.port.grpc=$((port + 7)) -volume.max=0
        -filer -filer.port=$((port + 1)) -filer.port.grpc=$((port + 5))
        -s3 -s3.port="$port" -s3.port.grpc=$((port + 4)) -s3.port.iceberg=0 -s3.port.lance=0
        -s3.config="$here/objects/s3.json" -s3.autoCreateBucket=false
    )
    # A volume at a time for each bucket, as their number is bounded by the disk.
    WEED_MASTER_VOLUME_GROWTH_COPY_1=1 "$weed" -logtostderr=true server "${options[@]}" </dev/null >>"$dir/server.log" 2>&1 &
    server=$!
}

died() {
    tail -n 40 "$dir/server.log" >&2
    fail "$1"
}

# Ends the server when standard input is closed or this script is gone (no trap sees a kill -9 of the script).
watch() {
    local got
    while kill -0 $$; do
        got=0
        read -r -t 0.5 || got=$?
        if ((got > 0 && got <= 128)); then
            # The directory may be gone already, but the server still has to end.
            touch "$dir/closed" || :
            break
        fi
    done
    kill -9 "$server"
}

# The server leaves its sockets behind where kill -9 ends it.
end_server() {
    [[ -z $server ]] || kill -9 "$server" || :
    [[ -z $watcher ]] || kill -9 "$watcher" || :
    wait || :
    rm -f "$dir/pid" "$dir/closed"
    for ((next = port; next < port + 8; next++)); do rm -f /tmp/seaweedfs-*-"$next".sock; done
    [[ $keep = yes ]] || rm -rf "$dir"
} 2>/dev/null

run() {
    [[ $# = 2 && $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le 65528 ]] || usage
    fetched || fail "SeaweedFS is not here yet; run: scripts/object-server.sh fetch"
    mkdir -p "$1/data"
    dir=$(cd "$1" && pwd)
    port=$2
    rm -f "$dir/pid" "$dir/closed"

    trap end_server EXIT
    trap 'exit 1' HUP INT TERM
    touch "$dir/server.log"
    start_server
    echo "$server" >"$dir/pid.part"
    mv "$dir/pid.part" "$dir/pid"
    watch <&0 >/dev/null 2>&1 &
    watcher=$!

    if "$python" "$here/objects/await.py" "$port" </dev/null && kill -0 "$server" 2>/dev/null; then
        echo "ready http://127.0.0.1:$port"
        wait "$server" 2>/dev/null || :
        [[ -e $dir/closed ]] || died "the server in $dir ended by itself or was killed"
    else
        [[ ! -e $dir/closed ]] || fail "standard input was closed before the server served"
        died "the server in $dir did not come up"
    fi
}

case ${1:-} in
    fetch)
        [[ $# = 1 ]] || usage
        fetch
        ;;
    run) run "${@:2}" ;;
    try)
        keep=no
        run "${@:2}"
        ;;
    *) usage ;;
esac
