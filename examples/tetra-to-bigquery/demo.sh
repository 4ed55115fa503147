#!/usr/bin/env bash
# The whole of this example on local stand-ins: `make demo-tetra`. Needs Rust and a C compiler, nothing else.
#
#   DEMO_KEEP=1        leave the sandbox and its page up at the end, until Ctrl-C
#   DEMO_ROWS=1200     so many files, half of which are results of instruments
#   DEMO_DIR=…         where configs, catalog, states and rejects go (default target/demo-tetra)
#   DEMO_BINARIES=…    a folder with the binaries, instead of building them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
example=examples/tetra-to-bigquery
folder=${DEMO_DIR:-target/demo-tetra}
rows=${DEMO_ROWS:-1200}
project=my-project
location=EU
programs=(tap-tetra-searcheql target-bigquery antiphon antiphon-sandbox)
# shellcheck source=examples/demo-kit.sh
. examples/demo-kit.sh

control() { request POST "/_sandbox/$1" "$2" > /dev/null; }
# Four hours pass on the platform's own clock, by which windows are measured.
hours_pass() { control tetra/clock '{"advance_seconds": 14400}'; }

# What the platform has: of each result its id, when its newest version was indexed, how many versions there were.
truth() {
    request GET '/_sandbox/dump/tetra?format=files' | grep -o '{[^}]*}' | grep '"category":"IDS"' | grep '"is_deleted":false' |
        sed 's/.*"file_id":"\([^"]*\)".*"ids_type":"\([^"]*\)".*"indexed_ms":\([0-9]*\).*"versions":\([0-9]*\).*/\1 \3 \4 \2/' | sort
}
# The same as BigQuery has it. The number of the version stands in the documents themselves once there is a second one.
held() {
    local revision=1
    if grep -q '"revision"' <<< "$(request GET "/bigquery/bigquery/v2/projects/$project/datasets/instruments/tables/plates")"; then
        revision='IFNULL(data.revision, 1)'
    fi
    {
        for version in v1 v2; do
            echo "SELECT fileId, UNIX_MILLIS(indexedAt), $revision, 'lcuv-hplc' FROM \`instruments.chromatograms_$version\` UNION ALL"
        done
        echo "SELECT fileId, UNIX_MILLIS(indexedAt), $revision, 'plate-reader' FROM \`instruments.plates\`"
    } | query | sort
}
# Compares both; so many files may be missing.
compare() { # [MISSING]
    truth > "$folder/truth"
    held > "$folder/held"
    awk -v missing="${1:-0}" '
        FNR == NR { held[$1] = $2 " " $3; rows[$4]++; next }
        {
            files[$4]++; versions[$4] += $3
            if (!($1 in held)) absent++; else if (held[$1] != $2 " " $3) differ++; else same++
            delete held[$1]
        }
        END {
            for (id in held) extra++
            format = "    %-14s %8s %10s %8s\n"
            printf format, "", "platform", "versions", "BigQuery"
            for (kind in files) printf format, kind, files[kind], versions[kind], rows[kind] | "sort"
            close("sort")
            printf "    %d in the same version, %d in another, %d missing, %d that are not there\n", same, differ, absent, extra
            exit differ > 0 || extra > 0 || absent + 0 != missing
        }' "$folder/held" "$folder/truth" || fail 'BigQuery does not hold what the platform holds'
}

# Runs the pipe as a person would; the logs of both sides go to files.
tap='tap-tetra-searcheql --config tap-tetra.json'
target='target-bigquery --config target-bigquery.json'
pipe() { # NAME TAP_FLAGS TARGET_FLAGS
    cd "$folder"
    $tap $2 2> "$1.tap.log" | $target $3 2> "$1.target.log" > "$1.states"
}
sync() { # NAME EXIT_CODE TAP_FLAGS [TARGET_FLAGS]
    local name=$1 began=$SECONDS code=0 to=${4-'--state-file state.json'}
    show "\$ $tap $3 |" "    $target${to:+ $to}"
    (pipe "$name" "$3" "$to") || code=$?
    test "$code" = "$2" ||
        { tail -n 12 "$folder/$name".*.log >&2; fail "the $name run ended with $code"; }
    read=$(sed -n 's/.*METRIC.*"record_count","value":\([0-9]*\).*/\1/p' "$folder/$name.tap.log" | awk '{ sum += $1 } END { print sum + 0 }')
    show "files read: $read, in $((SECONDS - began)) s"
}

build
step Sandbox "a stand-in of a Tetra Data Platform with $rows files of a laboratory, and one of BigQuery"
serve --bigquery-project "$project" --tetra-sample instruments --tetra-files "$rows"
# The example's own configs, with the addresses of the stand-ins. A batch waits a second for more rows and not a
# minute, so that a state is stored while the first run is still young.
sed "s|\"base_url\": .*|\"base_url\": \"$url/tetra\",|" "$example/tap-tetra.json" > "$folder/tap-tetra.json"
sed "s|\"method\": \"load\",|&\n  \"endpoint\": \"$url/bigquery\",\n  \"grpc_endpoint\": \"$url\",\n  \"batch\": {\"max_age_seconds\": 1},|" \
    "$example/target-bigquery.json" > "$folder/target-bigquery.json"
echo sandbox-token > "$folder/tetra.token"
for command in "$tap --check" "$target --check"; do
    show "\$ $command"
    (cd "$folder" && $command 2>&1 | tail -n 1 | sed 's/^INFO //') | indent
done
show "page    $url/"

step Discover 'two versions of one kind of document have different structures, and become two streams'
show "\$ $tap --discover > catalog.json" "\$ antiphon select catalog.json '*'"
(
    cd "$folder"
    $tap --discover 2> discover.log > catalog.json && antiphon select catalog.json '*' > select.out
) || { tail -n 5 "$folder/discover.log" >&2; fail 'discovery failed'; }
indent < "$folder/select.out"

step 'kill -9' 'of both in the midst of a window; the storage becomes slow once the first stream is begun'
show "\$ $tap --catalog catalog.json |" "    $target --state-file state.json"
set -m
(pipe killed '--catalog catalog.json' '--state-file state.json') 2> /dev/null &
pipe="-$!"
set +m
awaits() { # FILE PATTERN
    local tries=0
    until grep -q "$2" "$folder/$1" 2> /dev/null; do
        tries=$((tries + 1))
        test "$tries" -lt 1200 || { tail -n 12 "$folder"/killed.*.log >&2; fail "waited in vain for $2 in $1"; }
        sleep 0.05
    done
}
awaits killed.tap.log 'begins stream='
control faults '{"add": ["slow:ms=3000,path=-prod-datalake/"]}'
awaits state.json '"window"'
kill -KILL -- "$pipe"
wait "${pipe#-}" 2> /dev/null || true
pipe=''
control faults '{"clear": true}'
show 'killed; the state says how far the window was read, down to the file:'
grep -o '"window":{[^}]*}' "$folder/state.json" | head -n 1 | indent

step 'All the rest' 'goes on inside that window'
sync rest 0 '--catalog catalog.json --state state.json'
compare

step 'Four hours later' "$((rows / 20)) files are new, half of them results; every twentieth result has been indexed again, with other content"
control tetra/files "{\"count\": $((rows / 20))}"
control tetra/reindex "{\"ids\": [$(awk 'NR % 20 == 0 { printf "%s\"%s\"", comma, $1; comma = "," }' "$folder/truth")]}"
hours_pass
sync later 0 '--catalog catalog.json --state state.json'
show 'a field that no document had before is told, taken, and becomes a column:'
sed -n 's/^INFO \(new fields are taken.*\)/    \1/p' "$folder/later.tap.log" | head -n 1
sed -n 's/^INFO \(added the column.*\)/    \1/p' "$folder/later.target.log" | head -n 1
compare

step 'A file that cannot be fetched' 'of another 40 new ones: the storage does not give it out for a while'
added=$(request POST /_sandbox/tetra/files '{"count": 40}' | grep -o '[0-9a-f]*-[0-9a-f-]*' | sed -n 2p)
control faults "{\"add\": [\"error:status=403,path=/$added/\"]}"
hours_pass
sync refused 3 '--catalog catalog.json --state state.json'
show 'exit code 3: the others are there, and the file is a line of tap-tetra-searcheql.rejects.jsonl, here without its record'
sed 's/"record":{.*},"reason"/"record":{…},"reason"/' "$folder/tap-tetra-searcheql.rejects.jsonl" | indent
compare 1

step 'It is given out again' 'it has not changed, so that no window brings it; its line of the rejects does'
control faults '{"clear": true}'
show '$ mv tap-tetra-searcheql.rejects.jsonl failed.jsonl'
mv "$folder/tap-tetra-searcheql.rejects.jsonl" "$folder/failed.jsonl"
cp "$folder/state.json" "$folder/state.before"
sync again 0 '--catalog catalog.json --row @failed.jsonl' ''
cmp -s "$folder/state.json" "$folder/state.before" || fail 'a single file has moved the state'
compare

step 'Left alone' 'antiphon keeps state, history and logs, and says when nothing came though something always did'
# The example sends a mail; here the subject goes to a file.
sed -e '/^\[notify.ops\]/,$ { /^type/d; /^host/d; /^tls/d; /^from/d; /^to/d; }' "$example/antiphon.toml" > "$folder/antiphon.toml"
printf '%s\n' 'type = "command"' "command = 'echo \"\$ANTIPHON_SUBJECT\" >> alarms'" >> "$folder/antiphon.toml"
show '$ antiphon state tetra-to-bigquery import state.json' '$ antiphon run tetra-to-bigquery     # twice, four hours apart; the second time nothing is new'
(
    cd "$folder"
    antiphon --quiet state tetra-to-bigquery import state.json > antiphon.out 2> antiphon.log
    for run in 1 2; do
        test "$run" = 2 || control tetra/files '{"count": 12}'
        hours_pass
        antiphon --quiet run tetra-to-bigquery >> antiphon.out 2>> antiphon.log
    done
) || { tail -n 12 "$folder/antiphon.log" >&2; fail 'antiphon could not run the pipeline'; }
show '$ antiphon history'
(cd "$folder" && antiphon --quiet history) | indent
show 'what the notifier was told:'
indent < "$folder/alarms"
compare
finish demo-tetra 'configs, catalog, states, rejects, and the logs of both sides'
