#!/usr/bin/env bash
# Stand-ins for other object stores than S3, on this machine's loopback, for Cutover's tests: Azurite, Microsoft's own
# for Azure's blobs (needs Node 18 or newer with npm), and fake-gcs-server for Google Cloud Storage (needs Go).
#
#   scripts/stand-ins.sh fetch azurite|gcs            bring it, once for this user
#   scripts/stand-ins.sh run azurite|gcs DIR PORT     run it in the foreground, with its state in DIR
#
# `run` prints the line `ready http://127.0.0.1:PORT` when it serves the container or bucket `lake`. It ends when its
# standard input is closed. Azurite's account is `devstoreaccount1`, with the key that its documentation has; the other
# one knows no credentials.
#
# Not for: S3 (object-server.sh).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/objects
azurite=3.35.0
gcs=v1.56.1
account=devstoreaccount1
key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

fail() {
    printf 'stand-ins: %s\n' "$@" >&2
    exit 1
}

usage() {
    sed -n 's/^#   \(scripts\/stand-ins.sh .*\)/\1/p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# The directory is renamed last, so that no one meets half of it.
fetch() {
    local place=$home/$1-${!1}
    [[ ! -e $place ]] || return 0
    mkdir -p "$home"
    exec 9>"$home/$1.lock"
    flock 9
    [[ ! -e $place ]] || return 0
    rm -rf "$place.part"
    mkdir "$place.part"
    case $1 in
        azurite)
            command -v npm >/dev/null || fail "Azurite needs Node 18 or newer with npm"
            npm install --prefix "$place.part" --no-fund --no-audit --silent "azurite@$azurite" </dev/null >&2 ||
                fail "npm could not bring azurite $azurite"
            ;;
        gcs)
            command -v go >/dev/null || fail "fake-gcs-server needs Go"
            GOBIN=$place.part go install "github.com/fsouza/fake-gcs-server@$gcs" </dev/null >&2 ||
                fail "go could not bring fake-gcs-server $gcs"
            ;;
    esac
    mv "$place.part" "$place"
}

# Makes the container or bucket, once the server answers.
make_lake() {
    case $1 in
        azurite) node "$here/objects/container.mjs" "$2" "$account" "$key" lake ;;
        gcs)
            python3 - "$2" <<'END'
import sys, time, urllib.request
url = f"http://127.0.0.1:{sys.argv[1]}/storage/v1/b?project=lake"
until = time.monotonic() + 60
while True:
    try:
        ask = urllib.request.Request(url, b'{"name": "lake"}', {"Content-Type": "application/json"})
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask, timeout=5).read()
        break
    except OSError:
        if time.monotonic() > until:
            sys.exit(1)
        time.sleep(0.1)
END
            ;;
    esac
}

server=

run() {
    local kind=$1 dir=$2 port=$3 place=$home/$1-${!1}
    [[ -e $place ]] || fail "it is not here yet; run: scripts/stand-ins.sh fetch $kind"
    mkdir -p "$dir/data"
    case $kind in
        azurite)
            node "$place/node_modules/azurite/dist/src/blob/main.js" --silent --skipApiVersionCheck --disableTelemetry \
                --location "$dir/data" --blobHost 127.0.0.1 --blobPort "$port" </dev/null >>"$dir/server.log" 2>&1 &
            ;;
        gcs)
            "$place/fake-gcs-server" -scheme http -host 127.0.0.1 -port "$port" -public-host "127.0.0.1:$port" \
                -backend memory -log-level error </dev/null >>"$dir/server.log" 2>&1 &
            ;;
    esac
    server=$!
    trap '[[ -z $server ]] || kill -9 "$server" 2>/dev/null || :' EXIT
    trap 'exit 1' HUP INT TERM
    make_lake "$kind" "$port" || fail "the server in $dir did not come up" "$(tail -n 20 "$dir/server.log")"
    echo "ready http://127.0.0.1:$port"
    cat >/dev/null
}

case ${1:-} in
    fetch)
        [[ $# = 2 && $2 =~ ^(azurite|gcs)$ ]] || usage
        fetch "$2"
        ;;
    run)
        [[ $# = 4 && $2 =~ ^(azurite|gcs)$ && $4 =~ ^[1-9][0-9]{0,4}$ ]] || usage
        run "$2" "$3" "$4"
        ;;
    *) usage ;;
esac
