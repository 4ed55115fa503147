#!/usr/bin/env bash
# The whole of this example on local stand-ins: `make demo`. Needs Rust and a C compiler, nothing else.
#
#   DEMO_KEEP=1        leave the sandbox and its page up at the end, until Ctrl-C
#   DEMO_ROWS=20000    so many visitors, and a fifth as many accounts
#   DEMO_DIR=…         where configs, catalog, states and rejects go (default target/demo)
#   DEMO_PG_URL=…      a PostgreSQL to put the sample data into (in a schema of its own, dropped at the end)
#   DEMO_SOURCE=…      auto, or one of url, found, embedded: see `antiphon-sandbox serve --help`
#   DEMO_BINARIES=…    a folder with the binaries, instead of building them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
example=examples/redshift-to-pendo
folder=${DEMO_DIR:-target/demo}
rows=${DEMO_ROWS:-100000}
changed=500
# Of all profiles the quickest to build; it reads and writes some tens of thousands of rows a second.
profile=dev built=debug

bold='' dim='' off=''
if test -t 1 && test -z "${NO_COLOR:-}"; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
step() { printf '\n%s%s%s%s\n' "$bold" "$1" "$off" "${2:+$dim  $2$off}"; }
show() { printf '  %s\n' "$@"; }
indent() { sed 's/^/  /'; }
fail() { printf '\ndemo: %s\n' "$1" >&2; exit 1; }

sandbox=''
stop() {
    if test -n "$sandbox"; then
        kill "$sandbox" 2> /dev/null || true
        wait "$sandbox" 2> /dev/null || true
        sandbox=''
    fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A control request to the sandbox: no curl needed.
request() {
    local address=${url#http://}
    exec 3<> "/dev/tcp/${address%:*}/${address##*:}"
    printf '%s %s HTTP/1.0\r\nhost: sandbox\r\ncontent-length: 0\r\n\r\n' "$1" "$2" >&3
    tr -d '\r' <&3 | sed '1,/^$/d'
    exec 3>&-
}
# The number that stands behind a name in one line of JSON.
number() { sed -n "s|.*\"$1\": *\([0-9][0-9]*\).*|\1|p"; }
# A stream's records, summed over the metric lines of a tap.
records() {
    grep 'METRIC.*record_count' "$1" | grep "[\".]$2\"" | number value | awk '{ sum += $1 } END { print sum + 0 }'
}

# Runs the pipe as a person would; the logs of both sides go to a file.
sync() { # NAME STATE_FLAGS…
    local name=$1 began=$SECONDS
    shift
    show "\$ tap-redshift --config tap-redshift.json --catalog catalog.json${*:+ $*} |" \
        '    target-pendo --config target-pendo.json --state-file state.json'
    (
        cd "$folder"
        tap-redshift --config tap-redshift.json --catalog catalog.json --jobs "$jobs" "$@" 2> "$name.tap.log" |
            target-pendo --config target-pendo.json --state-file state.json 2> "$name.target.log" > "$name.states"
    ) || { tail -n 12 "$folder/$name.tap.log" "$folder/$name.target.log" >&2; fail "the $name sync failed"; }
    took=$((SECONDS - began))
}

step Build 'tap-redshift, target-pendo, antiphon, antiphon-sandbox'
if test -z "${DEMO_BINARIES:-}"; then
    ${CARGO:-cargo} build --locked --profile "$profile" --bin tap-redshift --bin target-pendo --bin antiphon --bin antiphon-sandbox
    DEMO_BINARIES=target/$built
fi
binaries=$(cd "$DEMO_BINARIES" && pwd)
PATH=$binaries:$PATH
show "$(tap-redshift --version), $(target-pendo --version), in $DEMO_BINARIES"

began_demo=$SECONDS
step Sandbox 'a stand-in of Pendo, and a PostgreSQL with accounts and visitors of a made-up product'
rm -rf "$folder"
mkdir -p "$folder"
antiphon-sandbox serve --listen 127.0.0.1:0 --source "${DEMO_SOURCE:-auto}" --source-rows "$rows" --write-config "$folder" \
    > "$folder/sandbox.log" &
sandbox=$!
echo "$sandbox" > "$folder/sandbox.pid"
url=''
while test -z "$url"; do
    kill -0 "$sandbox" 2> /dev/null || fail 'the sandbox did not start'
    sleep 0.1
    url=$(sed -n 's/^antiphon-sandbox listening on //p' "$folder/sandbox.log")
done
source=$(request GET /_sandbox/source)
text() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<< "$source"; }
jobs=$(number jobs <<< "$source")
show "source  $(text server): $(number account <<< "$source") accounts, $(number visitor <<< "$source") visitors" \
    "page    $url/"

step Discover
show '$ tap-redshift --config tap-redshift.json --discover > discovered.json'
(cd "$folder" && tap-redshift --config tap-redshift.json --discover 2> discover.log > discovered.json) ||
    { tail -n 5 "$folder/discover.log" >&2; fail 'discovery failed'; }
show "found   $(grep -o '"tap_stream_id": *"[^"]*"' "$folder/discovered.json" | cut -d'"' -f4 | paste -sd' ')"

step Select 'a few words of metadata for each stream; any editor would do'
select_stream() { # STREAM WORDS COLUMNS: adds words to the stream's own metadata, leaves columns out
    awk -v name=".$1\"" -v words="$2" -v out=" $3 " '
        /"tap_stream_id":/ { mine = index($0, name) }
        { print }
        mine && /"breadcrumb": \[\]/ { add = words }
        mine && /^ *"properties",$/ {
            getline
            print
            gsub(/[ ",]/, "")
            if (index(out, " " $0 " ")) add = "\"selected\": false,"
        }
        add != "" && /"metadata": \{/ { print "            " add; add = "" }'
}
full='"selected": true, "replication-method": "FULL_TABLE",'
incremental='"selected": true, "replication-method": "INCREMENTAL", "replication-key": "updated_at",'
select_stream account "$full" 'tags notes created_at' < "$folder/discovered.json" |
    select_stream visitor "$incremental" 'account_id bio' > "$folder/catalog.json"
show 'account  FULL_TABLE                    without tags, notes, created_at: Pendo has no field for them' \
    'visitor  INCREMENTAL by updated_at     without account_id, bio'

step 'Full sync'
sync full
show "$(records "$folder/full.tap.log" account) accounts and $(records "$folder/full.tap.log" visitor) visitors read, in $took s"
show 'state   (state.json)'
tail -n 1 "$folder/state.json" | indent | indent

step 'Change some rows' 'as people do who use the product'
changes=$(request POST "/_sandbox/source/change?rows=$changed")
show "$changes"

step 'Incremental sync' 'account again as a whole, visitor from the state on'
sync incremental --state state.json
show "$(records "$folder/incremental.tap.log" account) accounts and $(records "$folder/incremental.tap.log" visitor) visitors read, in $took s"
show 'state   (the one before is state.json.1)'
tail -n 1 "$folder/state.json" | indent | indent

step 'What Pendo has now'
state=$(request GET /_sandbox/state)
counted() { grep -o "\"pendo/$1\":{[^}]*}" <<< "$state" | head -n 1 | number "$2"; }
known() { sed 's/.*"known"//' <<< "$state" | number "pendo/$1"; }
line() { printf '  %-34s %10s %10s\n' "$@"; }
rows_now() { echo $(($(number "$1" <<< "$source") + $(number "${1}s_inserted" <<< "$changes"))); }
line '' account visitor
line 'rows in the table' "$(rows_now account)" "$(rows_now visitor)"
line 'sent in both syncs together' "$(counted account records)" "$(counted visitor records)"
line 'of these confirmed by Pendo' "$(counted account updated)" "$(counted visitor updated)"
line 'of these missing: unknown ids' "$(counted account missing)" "$(counted visitor missing)"
line 'ids that Pendo knows' "$(known account)" "$(known visitor)"
rejects=$folder/target-pendo.rejects.jsonl
if test -s "$rejects"; then
    show '' "The missing ids stand in $rejects, ready to be replayed; the first without its record:"
    head -n 1 "$rejects" | sed 's/"record":{[^}]*}/"record":{…}/' | indent
fi

step 'Left alone' 'the same pipe under antiphon, which keeps the states, the history and the log of each run'
sed "s|catalog = \"catalog.json\"|&, args = [\"--jobs\", \"$jobs\"]|" "$example/antiphon.toml" > "$folder/antiphon.toml"
show '$ antiphon run redshift-to-pendo'
(cd "$folder" && antiphon --quiet run redshift-to-pendo 2> antiphon.log > antiphon.out) ||
    { tail -n 12 "$folder/antiphon.log" >&2; fail 'antiphon could not run the pipeline'; }
show '$ antiphon history'
(cd "$folder" && antiphon --quiet history) | indent | indent
show "Its page: $binaries/antiphon --file $folder/antiphon.toml serve"

show '' "Look at $folder: configs, catalog, states, rejects, and the logs of both sides."
if test -n "${DEMO_KEEP:-}"; then
    show "The sandbox stays up: $url/ shows what arrives. Ctrl-C ends it." \
        "To run the pipe by hand: cd $folder; PATH=$binaries:\$PATH"
    trap 'exit 0' INT TERM
    wait "$sandbox" || true
else
    show "Took $((SECONDS - began_demo)) s. All that was started is being stopped. DEMO_KEEP=1 make demo leaves it up, with its page."
fi
