#!/usr/bin/env bash
# A real Apache Kafka on this machine's loopback, for Cutover's tests and benchmarks: one node, broker and controller
# in one process, from the jars of its release. It needs bash, Java 17 or newer and, for `fetch`, Maven.
#
#   scripts/kafka.sh fetch                download what the others need, once for this user (about 100 MB)
#   scripts/kafka.sh run DIR PORT         run one broker in the foreground, with all of its state in DIR
#   scripts/kafka.sh tool CLASS ARGS...   run one of Kafka's classes, such as org.apache.kafka.tools.TopicCommand
#
# `run` prints the line `ready 127.0.0.1:PORT` when the broker serves. A later run reuses the state in DIR, after kill
# -9 too. It ends, and kills the broker, when its standard input is closed or it is killed itself, so that no broker
# outlives the test that started it; by hand: Ctrl-D. If the broker does not start or dies, it exits with 1 and prints
# the end of the log on standard error.
#
#   PORT      plaintext; every client is User:ANONYMOUS, who may do everything
#   PORT + 1  the controller
#   PORT + 2  SASL_PLAINTEXT, mechanism PLAIN: admin with admin-secret may do everything; alice with alice-secret may
#             log in and nothing more, until an ACL allows it
#
#   DIR/pid         the process id of the broker's JVM, for kill -9, -STOP and -CONT
#   DIR/broker.log  the broker's log, over all of its runs
#   DIR/data        the broker's data
#
# KAFKA_BENCH=1 gives the broker a larger heap and the full compiler: slower to start, faster to serve.
#
# Not for production and not for data that matters: public passwords, one replica, no TLS, topics that are cleaned all
# the time. Nothing listens beyond loopback.
set -euo pipefail

version=4.3.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/kafka/$version
lib=$home/lib
formatted=$home/formatted # a broker's data directory before its first run
classes=$home/classes.jsa # an archive of the classes that a broker loads (class data sharing)
java=java
[[ -z ${JAVA_HOME:-} ]] || java=$JAVA_HOME/bin/java

fail() {
    printf 'kafka: %s\n' "$@" >&2
    exit 1
}

usage() {
    sed -n 's/^#   \(scripts\/kafka.sh .*\)/\1/p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# Java with the jars, in an order that the saved classes can rely on.
kafka() {
    exec "$java" -Djava.awt.headless=true -Dlog4j2.configurationFile="file:$here/kafka/log4j2.properties" \
        -cp "$(printf '%s:' "$lib"/*.jar)" "$@"
}

need_kafka() {
    [[ -d $lib && -d $formatted && -e $classes ]] || fail "Kafka $version is not here yet; run: scripts/kafka.sh fetch"
    command -v "$java" >/dev/null || fail "no Java found; run: scripts/setup.sh --kafka"
}

# Everything is written to a temporary directory and renamed at the end, so that no process sees a part of it.
fetch() {
    [[ ! -d $lib || ! -d $formatted || ! -e $classes ]] || return 0
    command -v mvn >/dev/null && command -v "$java" >/dev/null ||
        fail "fetch needs Java 17 or newer and Maven (Debian: openjdk-17-jre-headless and maven)" \
            "run: scripts/setup.sh --kafka"
    mkdir -p "$home"
    dir=$(mktemp -d "$home/part.XXXXXX")
    trap end_broker EXIT
    trap 'exit 1' HUP INT TERM
    if [[ ! -d $lib ]]; then
        mvn -B -q -C -Dstyle.color=never -f "$here/kafka/pom.xml" dependency:copy-dependencies \
            -Dkafka.version="$version" -DoutputDirectory="$dir/lib" </dev/null >"$dir/mvn.log" 2>&1 || {
            cat "$dir/mvn.log" >&2
            fail "Maven could not download Kafka $version"
        }
        rename lib "$lib"
    fi
    for attempt in 1 2 3; do
        try_out && break
        ((attempt < 3)) || died "the broker did not start"
    done
    rename formatted "$formatted"
    rename classes.jsa "$classes"
    rm -rf "$dir"
}

# A concurrent fetch may have been faster.
rename() { mv -f "$dir/$1" "$home/" 2>/dev/null || [[ -e $2 ]] || fail "cannot write $2"; }

# A first start and a clean stop: formatting starts a separate JVM and loading the classes is most of a start, so both
# results are kept for every later run, which starts in about half the time. A port may be taken, so this may fail. The
# cluster's id is any that `kafka.tools.StorageTool random-uuid` could print.
try_out() {
    port=$((20000 + RANDOM % 10000))
    session=9000
    rm -rf "$dir/data" "$dir/formatted"
    write_properties
    (kafka kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c "$dir/server.properties") \
        </dev/null >>"$dir/broker.log" 2>&1 || return 1
    cp -R "$dir/data" "$dir/formatted"
    start_broker "${small[@]}" -XX:ArchiveClassesAtExit="$dir/classes.jsa"
    await_broker || return 1
    kill -TERM "$broker"
    wait "$broker" || :
    broker=
    [[ -e $dir/classes.jsa ]]
}

write_properties() {
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),SASL://127.0.0.1:$((port + 2))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,SASL://127.0.0.1:$((port + 2))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    user_admin="admin-secret" user_alice="alice-secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
allow.everyone.if.no.acl.found=false

log.dirs=$dir/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# After kill -9 the next run waits until the session of the killed one has ended.
broker.session.timeout.ms=$session
broker.heartbeat.interval.ms=$((session / 10))

# Periodic work of a broker happens here within a second or so.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
log.cleaner.backoff.ms=250
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608

num.network.threads=2
num.io.threads=4
PROPERTIES
}

small=(-Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
large=(-Xms1g -Xmx1g -XX:+UseG1GC)
broker=
watcher=

start_broker() {
    touch "$dir/broker.log"
    before=$(wc -c <"$dir/broker.log")
    kafka "$@" -XX:ErrorFile="$dir/hs_err.log" kafka.Kafka "$dir/server.properties" \
        </dev/null >>"$dir/broker.log" 2>&1 &
    broker=$!
}

# Waits until the broker that was started last serves; returns 1 if it has ended instead.
await_broker() {
    until grep -q 'Kafka Server started' < <(tail -c "+$((before + 1))" "$dir/broker.log"); do
        kill -0 "$broker" || { wait "$broker" || :; return 1; }
        sleep 0.1
    done
} 2>/dev/null

died() {
    tail -n 40 "$dir/broker.log" >&2
    fail "$1"
}

# Ends the broker when standard input is closed or this script is gone (no trap sees a kill -9 of the script).
watch() {
    local got
    while kill -0 $$; do
        got=0
        read -r -t 0.5 || got=$?
        if ((got > 0 && got <= 128)); then
            : >"$dir/closed"
            break
        fi
    done
    kill -9 "$broker"
}

end_broker() {
    [[ -z $broker ]] || kill -9 "$broker" || :
    [[ -z $watcher ]] || kill -9 "$watcher" || :
    wait || :
    case $dir in
        "$home"/part.*) rm -rf "$dir" ;;
        *) rm -f "$dir/pid" "$dir/closed" ;;
    esac
} 2>/dev/null

# One that was killed a moment ago may still be exiting.
await_earlier() {
    local earlier i
    for ((i = 0; i < 50; i++)); do
        earlier=$(cat "$dir/pid" 2>/dev/null) || return 0
        tr '\0' '\n' <"/proc/$earlier/cmdline" 2>/dev/null | grep -qxF "$dir/server.properties" || return 0
        sleep 0.1
    done
    fail "another broker, process $earlier, runs in $dir"
}

run() {
    [[ $# = 2 && $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le 65533 ]] || usage
    need_kafka
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    port=$2
    [[ $dir != *[,\\]* ]] || fail "Kafka keeps no data in a directory with a comma or a backslash in its name: $dir"
    await_earlier
    rm -f "$dir/pid" "$dir/closed"

    machine=("${small[@]}")
    session=5000
    if [[ ${KAFKA_BENCH:-} = 1 ]]; then
        machine=("${large[@]}")
        session=9000
    fi
    write_properties
    if [[ ! -d $dir/data ]]; then
        rm -rf "$dir/data.part"
        cp -R "$formatted" "$dir/data.part"
        mv "$dir/data.part" "$dir/data"
    fi

    trap end_broker EXIT
    trap 'exit 1' HUP INT TERM
    start_broker "${machine[@]}" -Xshare:auto -XX:SharedArchiveFile="$classes"
    echo "$broker" >"$dir/pid.part"
    mv "$dir/pid.part" "$dir/pid"
    watch <&0 >/dev/null 2>&1 &
    watcher=$!

    if await_broker; then
        echo "ready 127.0.0.1:$port"
        wait "$broker" 2>/dev/null || :
        [[ -e $dir/closed ]] || died "the broker in $dir exited or was killed"
    else
        [[ ! -e $dir/closed ]] || fail "standard input was closed before the broker served"
        died "the broker in $dir did not start"
    fi
}

tool() {
    [[ $# -ge 1 ]] || usage
    need_kafka
    kafka -Xmx512m -Dkafka.log.level=warn "$@"
}

case ${1:-} in
    fetch)
        [[ $# = 1 ]] || usage
        fetch
        ;;
    run) run "${@:2}" ;;
    tool) tool "${@:2}" ;;
    *) usage ;;
esac
