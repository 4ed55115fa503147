#!/usr/bin/env bash
# The whole of this example on local stand-ins: `make demo-analytics`. Needs Rust and a C compiler, nothing else.
#
#   DEMO_KEEP=1        leave the sandbox and its page up at the end, until Ctrl-C
#   DEMO_ROWS=20000    so many trips
#   DEMO_DIR=…         where configs, catalog, states, journal and rejects go (default target/demo-analytics)
#   DEMO_BINARIES=…    a folder with the binaries, instead of building them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
example=examples/datastore-to-analytics
folder=${DEMO_DIR:-target/demo-analytics}
rows=${DEMO_ROWS:-20000}
programs=(tap-datastore target-analytics antiphon antiphon-sandbox)
# shellcheck source=examples/demo-kit.sh
. examples/demo-kit.sh

listener=''
before_stop() {
    local process
    for process in "$(cat "$folder/listener.pid" 2> /dev/null || true)" $listener; do
        if test -n "$process" && kill "$process" 2> /dev/null; then wait "$process" 2> /dev/null || true; fi
    done
    rm -f "$folder/listener.pid"
    listener=''
}

# The ids in an answer of the sandbox, with commas between.
ids() { { grep -o '[0-9]\{15,\}' || fail 'the sandbox names no rows'; } | paste -sd, | sed 's/[0-9]\{1,\}/"&"/g'; }

# Runs the pipe as a person would; the logs of both sides go to a file.
sync() { # NAME EXIT_CODE TAP_FLAGS TARGET_FLAGS
    local name=$1 wanted=$2 began=$SECONDS code=0
    local tap="tap-datastore --config tap-datastore.json${3:+ $3} --catalog catalog.json${5:+ $5}"
    local target="target-analytics --config target-analytics.json${4:+ $4}"
    show "\$ $tap |" "    $target"
    (
        cd "$folder"
        $tap 2> "$name.tap.log" | $target 2> "$name.target.log" > "$name.states"
    ) || code=$?
    test "$code" = "$wanted" ||
        { tail -n 12 "$folder/$name.tap.log" "$folder/$name.target.log" >&2; fail "the $name run ended with $code"; }
    show "$(records "$folder/$name.tap.log" Trips) trips, $(records "$folder/$name.tap.log" Trucks) trucks, $(records "$folder/$name.tap.log" Depots) depots read, in $((SECONDS - began)) s;$(spent "$name")"
}
# What the run says of its cost.
spent() { sed -n 's/.*units spent.* total=\([0-9.]*\).*/ it cost \1 units/p' "$folder/$1.target.log"; }

# Asks the sandbox to compare a table with the view of its name, cell by cell.
compared() { request GET "/_sandbox/compare/Production/$1"; }
is_equal() { case $(compared "$1") in *'"different":0,"missing":0,"extra":0'*) ;; *) return 1 ;; esac; }
compare() { # [ROWS THAT MAY BE MISSING]
    local table found may_lack=${1:-0} lacking=0
    printf '  %-8s %11s %10s %10s %10s %10s %10s\n' '' 'Data Store' Analytics equal different missing 'too much'
    for table in Trips Trucks Depots; do
        found=$(compared "$table")
        set -- rows view_rows equal different missing extra
        printf '  %-8s %11s %10s %10s %10s %10s %10s\n' "$table" \
            $(for name; do number "$name" <<< "$found"; done)
        case $found in *'"different":0,'*'"extra":0,'*) ;; *) fail "the two sides differ: $found" ;; esac
        lacking=$((lacking + $(number missing <<< "$found")))
    done
    test "$lacking" = "$may_lack" || fail "$lacking rows are missing, and $may_lack should be"
}
wait_until() { # WHAT COMMAND…
    local what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        test "$tries" -lt 150 || { tail -n 12 "$folder"/listener.*.log >&2; fail "waited in vain for $what"; }
        sleep 0.2
    done
}
change() { # TABLE COUNT
    test "$(request POST "/_sandbox/datastore/Production/$1/change" "{\"rows\": $2}" | number changed)" = "$2" ||
        fail "$2 rows of $1 could not be changed"
}
put() { request POST /_sandbox/datastore/Production/Trips/rows "$1" | ids; }
delete() { request DELETE "/_sandbox/datastore/Production/$1/rows" "{\"ids\": [$2]}" | number deleted; }
delivered() { request GET /_sandbox/datastore/events | number delivered; }

# Starts the listener and waits until it listens; its process ids go to listener.pid (tap) and $listener (target).
listen() { # ADDRESS
    show "\$ tap-datastore --config tap-datastore.json --catalog catalog.json --state events.state.json --listen $1 |" \
        '    target-analytics --config target-analytics.json --config events.json --state-file events.state.json'
    (
        cd "$folder"
        touch events.state.json
        { echo "$BASHPID" > listener.pid
            exec tap-datastore --config tap-datastore.json --catalog catalog.json --state events.state.json --listen "$1" 2> listener.tap.log
        } | exec target-analytics --config target-analytics.json --config events.json --state-file events.state.json \
            2> listener.target.log > listener.states
    ) 2> /dev/null &
    listener=$!
    wait_until 'the listener' grep -qs 'listens for events' "$folder/listener.tap.log"
    address=$(sed -n 's/.*listens for events address=\([^ ]*\).*/\1/p' "$folder/listener.tap.log")
}

build
step Sandbox "stand-ins of Zoho's accounts, of a Data Store with a haulier's tables, and of an empty workspace in Analytics"
# A day's calls in half a minute: the limit of all calls a minute is out of the way, the others are as documented.
serve --datastore-rows "$rows" --analytics-calls 0
export ZOHO_CLIENT_SECRET=sandbox-secret ZOHO_REFRESH_TOKEN=sandbox-refresh SYNC_SECRET=demo-secret
for name in tap-datastore target-analytics; do
    sed "s|\"client_id\": .*|\"client_id\": \"sandbox-client\",\n  \"accounts_url\": \"$url\",\n  \"api_url\": \"$url\",\n  \"token_cache_path\": \"tokens.json\",|" \
        "$example/$name.json" > "$folder/$name.json"
done
cp "$example"/{deletions,events,replace}.json "$folder"
for name in tap-datastore target-analytics; do
    show "\$ $name --config $name.json --check"
    (cd "$folder" && "$name" --config "$name.json" --check 2>&1 | tail -n 1 | sed 's/^INFO //') | indent
done
show "page    $url/"

step Discover 'and select: everything by MODIFIEDTIME, without the encrypted column of Trips'
show '$ tap-datastore --config tap-datastore.json --discover > catalog.json' \
    "\$ antiphon select catalog.json Trips Trucks Depots --replication-key MODIFIEDTIME --exclude 'Trips.Pin'"
(
    cd "$folder"
    tap-datastore --config tap-datastore.json --discover 2> discover.log > catalog.json &&
        antiphon select catalog.json Trips Trucks Depots --replication-key MODIFIEDTIME --exclude 'Trips.Pin' > select.out
) || { tail -n 5 "$folder/discover.log" >&2; fail 'discovery failed'; }
indent < "$folder/select.out"

step 'Full sync' 'by bulk reads and imports; the ids of all rows are noted, so that a later run finds what is gone'
sync full 0 '--config deletions.json' '--state-file state.json'
compare

step 'Change some rows' 'of trips and trucks, and add trips'
change Trips $((rows / 40))
change Trucks 10
new=$(put "[$(for n in $(seq 30); do printf '%s{"Driver": "Zoë, the \\"new\\" one", "Km": %s, "Done": true}' "${comma:-}" "$n"; comma=,; done)]")
show "$((rows / 40)) trips and 10 trucks changed, 30 trips added; what changed within an hour before the last run is read again"
sync incremental 0 '' '--state-file state.json' '--state state.json'
show 'state   (of Trips, in state.json)'
tail -n 1 "$folder/state.json" | grep -o '"Trips":{.*},"Trucks"' | sed 's/,"Trucks"//' | indent
compare

step 'Delete some rows' 'which leave no trace at the source'
trucks=$(request GET /_sandbox/dump/datastore/Production/Trucks | grep -o '"ROWID":"[0-9]*"' | sed -n '3p; 14p' | ids)
show "$(delete Trips "$new") trips are deleted that came after the full sync, and $(delete Trucks "$trucks") trucks, which the trips that they made lose"
sync deletions 0 '--config deletions.json' '--state-file state.json' '--state state.json'
show "$(sed -n 's/.*rows of the last time that are not listed.* rows=\([0-9]*\).*/\1/p' "$folder/deletions.tap.log" | awk '{ sum += $1 } END { print sum }') rows are gone"
compare

step 'Events' 'a listener takes what the Data Store posts, and writes row by row'
listen 127.0.0.1:0
hook=$(printf '{"url": "http://%s/events", "secret": "%s", "attempts": 30}' "$address" "$SYNC_SECRET")
request POST /_sandbox/datastore/events "$hook" > /dev/null
began=$SECONDS
change Trips 8
events=$(put '[{"Driver": "Ana"}, {"Driver": "李伟", "Note": "two\nlines"}, {"Driver": "Rui"}]')
wait_until 'the events' is_equal Trips
show "11 rows changed or added, $(delivered) events taken, in Analytics after $((SECONDS - began)) s"

step 'kill -9' 'of the listener in the midst of events; what it has taken stands in its journal, the rest comes again'
change Trips 20
for try in $(seq 300); do test "$(delivered)" -lt 16 || break; done
kill -KILL "$(cat "$folder/listener.pid")"
wait "$listener" 2> /dev/null || true
delete Trips "$events" > /dev/null
show "killed after $(delivered) events; of 20 changed rows $(compared Trips | number different) are not in Analytics yet; 3 rows are deleted meanwhile"
listen "$address"
wait_until 'the events' is_equal Trips
show "$(delivered) events taken$(request GET /_sandbox/datastore/events | sed 's/.*"refused":\([0-9]*\),"dropped":\([0-9]*\).*/, \1 posts refused, \2 events lost/')"
compare
request DELETE /_sandbox/datastore/events > /dev/null
kill -TERM "$(cat "$folder/listener.pid")"
wait "$listener" || true
listener=''
rm -f "$folder/listener.pid"
show "the listener cost$(spent listener | sed 's/ it cost//') since it came back"

step 'A bad row' 'Km is a POSITIVE_NUMBER in Analytics, and the Data Store takes any'
bad=$(put '[{"Driver": "O'\''Neil", "Km": -7}, {"Driver": "Ana", "Km": 7}]')
sync refused 3 '' '--state-file state.json' '--state state.json'
show 'exit code 3: one row was refused, and stands in target-analytics.rejects.jsonl; without its record:'
sed 's/"record":{.*},"reason"/"record":{…},"reason"/' "$folder/target-analytics.rejects.jsonl" | indent
compare 1

step 'It is mended' 'in the Data Store, and every row that was refused is fetched anew'
test "$(put "[{\"ROWID\": ${bad%%,*}, \"Km\": 7}]")" = "${bad%%,*}" || fail 'the bad row could not be mended'
show '$ mv target-analytics.rejects.jsonl failed.jsonl'
mv "$folder/target-analytics.rejects.jsonl" "$folder/failed.jsonl"
sync replay 0 '' '--config events.json' '--row @failed.jsonl'
test ! -s "$folder/target-analytics.rejects.jsonl" || fail 'the row was refused again'
compare

step 'Left alone' 'the same pipe under antiphon, which keeps the states, the history and the log of each run'
cp "$example/antiphon.toml" "$folder"
show '$ antiphon state datastore-to-analytics import state.json' '$ antiphon run datastore-to-analytics'
(
    cd "$folder"
    antiphon --quiet state datastore-to-analytics import state.json > antiphon.out 2> antiphon.log &&
        antiphon --quiet run datastore-to-analytics >> antiphon.out 2>> antiphon.log
) || { tail -n 12 "$folder/antiphon.log" >&2; fail 'antiphon could not run the pipeline'; }
show '$ antiphon history'
(cd "$folder" && antiphon --quiet history) | indent

step 'Both sides' 'at the end, cell by cell'
compare
show "equal   every cell of every row, on both sides" \
    "        of the day's 10000 units $(request GET /_sandbox/analytics | sed -n 's/.*"units":\([0-9.]*\).*/\1/p') were spent, by the stand-in's count"
finish demo-analytics 'configs, catalog, states, journal, and the logs of both sides' 'ZOHO_CLIENT_SECRET ZOHO_REFRESH_TOKEN SYNC_SECRET'
