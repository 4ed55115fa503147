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
programs=(tap-redshift target-pendo antiphon antiphon-sandbox)
# shellcheck source=examples/demo-kit.sh
. examples/demo-kit.sh

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

build
step Sandbox 'a stand-in of Pendo, and a PostgreSQL with accounts and visitors of a made-up product'
serve --source "${DEMO_SOURCE:-auto}" --source-rows "$rows" --write-config "$folder"
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
tail -n 1 "$folder/state.json" | indent

step 'Change some rows' 'as people do who use the product'
changes=$(request POST "/_sandbox/source/change?rows=$changed")
show "$changes"

step 'Incremental sync' 'account again as a whole, visitor from the state on'
sync incremental --state state.json
show "$(records "$folder/incremental.tap.log" account) accounts and $(records "$folder/incremental.tap.log" visitor) visitors read, in $took s"
show 'state   (the one before is state.json.1)'
tail -n 1 "$folder/state.json" | indent

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
(cd "$folder" && antiphon --quiet history) | indent
show "Its page: $binaries/antiphon --file $folder/antiphon.toml serve"
finish demo 'configs, catalog, states, rejects, and the logs of both sides'
