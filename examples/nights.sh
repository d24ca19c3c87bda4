#!/bin/sh
# Nights without surprises, on made-up data: a backfill that is refused and then staged, a bad day that is stopped, and
# a plan of each. Every command's exit code is checked.
#
#   examples/nights.sh [DIR]        needs `cutover` in the PATH; DIR must not exist, and is kept
set -eu

dir=${1:-$(mktemp -d)/nights}
mkdir "$dir"
cd "$dir"

# Runs a command that has to end with this exit code.
expect() {
    code=$1
    shift
    echo
    echo "\$ $*"
    ended=0
    "$@" || ended=$?
    [ "$ended" -eq "$code" ] || { echo "$*: exit $ended instead of $code" >&2; exit 1; }
}

# Writes the views of a day: 3,000 of 1,000 users.
write_day() {
    mkdir -p "views/date=$1"
    awk -v action="$2" 'BEGIN {
        print "user_id,action,page"
        for (i = 0; i < 3000; i++) printf "user-%04d,%s,/page/%d\n", i % 1000, action, (i * 7) % 200
    }' > "views/date=$1/part-0.csv"
}

cat > views.toml <<'JOB'
version = 1
dataset = "views"
store = "stores/views"
as_of = "${date}"

[inputs.views]
path = "views/"
partitions = { date = "${date}" }

[query]
sql = "SELECT user_id, action, page, count(*) AS views FROM views GROUP BY user_id, action, page"

[output]
key = ["user_id"]
order_by = ["views desc", "page"]
duplicates = { top = 10 }
JOB

for date in 2026-11-23 2026-11-24 2026-11-25; do write_day "$date" view; done
write_day 2026-11-26 VIEW

echo "# The 25th goes live."
expect 0 cutover run views.toml --set date=2026-11-25

echo "# The 24th again, a backfill: refused before any work, as it would take readers back in time."
expect 7 cutover plan views.toml --set date=2026-11-24
expect 7 cutover run views.toml --set date=2026-11-24

echo "# It can be built and read by its number, while readers stay on their version."
expect 0 cutover plan views.toml --set date=2026-11-24 --stage
expect 0 cutover run views.toml --set date=2026-11-24 --stage
expect 0 cutover get stores/views user-0007 --version 2

echo "# The 26th has its actions in capitals: as many rows and keys as ever, and still stopped."
expect 7 cutover run views.toml --set date=2026-11-26

echo "# Readers still see the 25th; the bad version is kept for inspection."
expect 0 cutover versions stores/views
expect 0 cutover show stores/views 3
