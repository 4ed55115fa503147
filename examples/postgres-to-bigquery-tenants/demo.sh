#!/usr/bin/env bash
# The whole of this example on local stand-ins: `make demo-bigquery`. Needs Rust and a C compiler, nothing else.
#
#   DEMO_KEEP=1             leave the sandbox and its page up at the end, until Ctrl-C
#   DEMO_ROWS=60000         so many messages, and a twelfth as many contacts
#   DEMO_ORGANIZATIONS=20   of so many organizations, each with a data set of its own
#   DEMO_DIR=…              where configs, catalog, states and rejects go (default target/demo-bigquery)
#   DEMO_PG_URL=…           a PostgreSQL to put the chat platform into (in a schema of its own, dropped at the end)
#   DEMO_SOURCE=…           auto, or one of url, found, embedded: see `antiphon-sandbox serve --help`
#   DEMO_METHOD=load        load jobs and statements instead of the Storage Write API
#   DEMO_BINARIES=…         a folder with the binaries, instead of building them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
example=examples/postgres-to-bigquery-tenants
folder=${DEMO_DIR:-target/demo-bigquery}
messages=${DEMO_ROWS:-60000}
organizations=${DEMO_ORGANIZATIONS:-20}
changed=$((messages / 30 + 100))
# The tenant that takes its permission away.
angry=$((organizations / 2 + 1))
project=sandbox-project
location=''
method=${DEMO_METHOD:-storage_write}
programs=(tap-redshift target-bigquery antiphon antiphon-sandbox)
# shellcheck source=examples/demo-kit.sh
. examples/demo-kit.sh

# Runs the pipe as a person would; the logs of both sides go to a file.
sync() { # NAME EXIT_CODE STATE_FLAGS…
    local name=$1 wanted=$2 began=$SECONDS code=0
    shift 2
    show "\$ tap-redshift --config tap-redshift.json --catalog catalog.json${*:+ $*} |" \
        '    target-bigquery --config target-bigquery.json --state-file state.json'
    (
        cd "$folder"
        tap-redshift --config tap-redshift.json --catalog catalog.json --jobs "$jobs" "$@" 2> "$name.tap.log" |
            target-bigquery --config target-bigquery.json --state-file state.json 2> "$name.target.log" > "$name.states"
    ) || code=$?
    test "$code" = "$wanted" ||
        { tail -n 12 "$folder/$name.tap.log" "$folder/$name.target.log" >&2; fail "the $name sync ended with $code"; }
    show "$(records "$folder/$name.tap.log" messages) messages, $(records "$folder/$name.tap.log" contacts) contacts, $(records "$folder/$name.tap.log" flows) flows read, in $((SECONDS - began)) s"
    cost "$name"
}
# What the run says of its cost, in words.
cost() {
    sed -n 's/.*what the run cost //p' "$folder/$1.target.log" | tr ' ' '\n' | awk -F= '
        { cost[$1] = $2 }
        function size(bytes) { return bytes < 1e6 ? int(bytes / 1e3 + 0.5) " kB" : int(bytes / 1e5 + 0.5) / 10 " MB" }
        function some(count, noun) { return count " " noun (count == 1 ? "" : "s") }
        END {
            words = "  cost    "
            if (cost["streamed_bytes"] > 0) words = words size(cost["streamed_bytes"]) " streamed, "
            if (cost["load_jobs"] > 0) words = words some(cost["load_jobs"], "load job") " with " size(cost["loaded_bytes"]) ", "
            words = words some(cost["statements"] + 0, "statement")
            if (cost["statements"] > 0) words = words " billed as " size(cost["billed_bytes"])
            print words
        }'
}

change() {
    local changes
    changes=$(request POST "/_sandbox/source/change?rows=$changed")
    case $changes in *messages_late*) show "$changes" ;; *) fail "no rows could be changed: $changes" ;; esac
}
# A line for each organization: its number, contacts, messages, read ones, letters of all bodies.
truth() {
    request GET /_sandbox/source/truth | grep -o '{[^}]*}' |
        sed 's/[^0-9,]//g; s/,/ /g' | awk '{ print $1, $2, $4, $5, $6 }'
}
# The same as BigQuery has it, the messages through the view; then the rows of the table itself.
held() {
    for organization in $(seq "$organizations"); do
        test "$organization" = 1 || echo 'UNION ALL'
        echo "SELECT $organization, (SELECT COUNT(*) FROM \`org_$organization.contacts\`), COUNT(*), COUNTIF(status = 'read'), SUM(LENGTH(body)), (SELECT COUNT(*) FROM \`org_$organization.messages\`) FROM \`org_$organization.messages_now\`"
    done | query | sort -n
}
# Compares both; WHO may differ.
compare() { # [WHO]
    local who=${1:-none}
    held > "$folder/held"
    truth > "$folder/truth"
    paste -d' ' "$folder/truth" "$folder/held" | awk -v who="$who" '
        BEGIN {
            format = "  %-14s %9s %9s %7s %9s   %9s %9s %7s %9s %8s\n"
            printf format, "", "PostgreSQL", "", "", "", "the view", "", "", "", "rows of"
            printf format, "organization", "contacts", "messages", "read", "letters", "contacts", "messages", "read", "letters", "messages"
        }
        {
            same = ($2 == $7 && $3 == $8 && $4 == $9 && $5 == $10)
            if (!same && $1 != who) wrong++
            if (!same) behind = behind " " $1
            for (i = 2; i <= 11; i++) sum[i] += $i
            if (NR <= 3 || $1 == who || !same)
                printf format, $1 (same ? "" : "  behind"), $2, $3, $4, $5, $7, $8, $9, $10, $11
        }
        END {
            printf format, "all " NR, sum[2], sum[3], sum[4], sum[5], sum[7], sum[8], sum[9], sum[10], sum[11]
            if (wrong) { print "  differ:" behind; exit 1 }
        }' || fail 'BigQuery does not hold what the source holds'
    if test "$who" = none; then show 'equal   in every organization, counts and letters alike'; fi
}

build
step Sandbox 'a stand-in of BigQuery, and a PostgreSQL with a chat platform of many organizations'
serve --bigquery-project "$project" --source "${DEMO_SOURCE:-auto}" --source-sample chat \
    --source-messages "$messages" --source-organizations "$organizations" --write-config "$folder"
source=$(request GET /_sandbox/source)
text() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<< "$source"; }
jobs=$(number jobs <<< "$source")
# The example's own config, with the address of the stand-in.
sed "s|\"project\": \"[^\"]*\"|\"project\": \"$project\", \"endpoint\": \"$url/bigquery\", \"grpc_endpoint\": \"$url\"|; s|\"method\": \"[^\"]*\"|\"method\": \"$method\"|" \
    "$example/target-bigquery.json" > "$folder/target-bigquery.json"
show "source  $(text server): $(number organizations <<< "$source") organizations, $(number contacts <<< "$source") contacts, $(number messages <<< "$source") messages" \
    "target  the example's target-bigquery.json, with the stand-in's address" \
    "page    $url/"

step Check
show '$ target-bigquery --config target-bigquery.json --check'
(cd "$folder" && target-bigquery --config target-bigquery.json --check 2>&1) | indent

step 'Discover and select' 'one cursor for new and for changed rows: updated_at, less ten minutes'
show '$ tap-redshift --config tap-redshift.json --discover > catalog.json' \
    "\$ antiphon select catalog.json '*' --replication-key updated_at"
(
    cd "$folder"
    tap-redshift --config tap-redshift.json --discover 2> discover.log > catalog.json ||
        { tail -n 5 discover.log >&2; fail 'discovery failed'; }
    antiphon select catalog.json '*' --replication-key updated_at 2> select.log || { cat select.log >&2; fail 'selection failed'; }
) | indent

step 'Full sync' 'every organization gets a data set of its own, and the operator one with the list of them'
sync full 0
show "$(request GET /_sandbox/bigquery | grep -o '"dataset":"[^"]*","location"' | wc -l | tr -d ' ') data sets:" \
    "  $(request GET /_sandbox/bigquery | grep -o '"dataset":"[^"]*","location"' | cut -d'"' -f4 | sort -V | paste -sd' ')"

step Views 'view.sql in every data set: of each message the newest version'
truth > "$folder/truth"
for organization in $(seq "$organizations"); do
    sed "s/ORG/org_$organization/g; s|ZONE|Asia/Kolkata|; /^--/d" "$example/view.sql" | query
done
compare

step 'Change some rows' 'new ones, read ones, many by one statement, and some that commit late with low ids'
change

step 'Incremental sync' 'changed messages become further rows, contacts are merged'
sync incremental 0 --state state.json
compare

step 'A tenant takes its permission away' "organization $angry; the others go on, and it is time to delete superseded rows"
sed 's/"every_seconds": 3600/"every_seconds": 0/' "$folder/target-bigquery.json" > "$folder/hourly.json"
mv "$folder/hourly.json" "$folder/target-bigquery.json"
request POST /_sandbox/bigquery/permissions "{\"deny\": [{\"permission\": \"*\", \"resource\": \"$project:org_$angry\"}]}" > /dev/null
change
sync revoked 3 --state state.json
show "exit code 3: $(wc -l < "$folder/target-bigquery.rejects.jsonl" | tr -d ' ') rows stand in target-bigquery.rejects.jsonl, all of organization $angry; the first without its record:"
head -n 1 "$folder/target-bigquery.rejects.jsonl" | sed 's/"record":{.*},"reason"/"record":{…},"reason"/' | indent
show "deleted $(sed -n 's/.*deleted superseded rows.* rows=\([0-9]*\).*/\1/p' "$folder/revoked.target.log" | awk '{ sum += $1 } END { print sum + 0 }') superseded rows of the other organizations"
# Its view is not readable for us either, so it is granted again before the comparison.
request POST /_sandbox/bigquery/permissions '{"clear": true}' > /dev/null
compare "$angry"

step 'It is granted again' 'the rejects file is replayed'
show '$ target-bigquery --config target-bigquery.json --input target-bigquery.rejects.jsonl'
(cd "$folder" && target-bigquery --config target-bigquery.json --input target-bigquery.rejects.jsonl 2> replay.target.log > replay.states) ||
    { tail -n 12 "$folder/replay.target.log" >&2; fail 'the replay failed'; }
cost replay
test ! -s "$folder/target-bigquery.rejects.jsonl" || fail 'some rows were refused again'
compare

step 'Left alone' 'the same pipe under antiphon, which keeps the states, the history and the log of each run'
sed "s|catalog = \"catalog.json\"|&, args = [\"--jobs\", \"$jobs\"]|" "$example/antiphon.toml" > "$folder/antiphon.toml"
show '$ antiphon state postgres-to-bigquery-tenants import state.json' '$ antiphon run postgres-to-bigquery-tenants'
(
    cd "$folder"
    antiphon --quiet state postgres-to-bigquery-tenants import state.json > antiphon.out 2> antiphon.log &&
        antiphon --quiet run postgres-to-bigquery-tenants >> antiphon.out 2>> antiphon.log
) || { tail -n 12 "$folder/antiphon.log" >&2; fail 'antiphon could not run the pipeline'; }
show '$ antiphon history'
(cd "$folder" && antiphon --quiet history) | indent
finish demo-bigquery 'configs, catalog, states, and the logs of both sides'
