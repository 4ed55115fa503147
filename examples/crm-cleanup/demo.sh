#!/usr/bin/env bash
# The whole of this example on a local stand-in: `make demo-crm`. Needs Rust and a C compiler, nothing else.
#
#   DEMO_KEEP=1        leave the sandbox and its page up at the end, until Ctrl-C
#   DEMO_ROWS=25000    so many leads
#   DEMO_DIR=…         where configs, catalog, states and rejects go (default target/demo-crm)
#   DEMO_BINARIES=…    a folder with the binaries, instead of building them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
example=examples/crm-cleanup
folder=${DEMO_DIR:-target/demo-crm}
rows=${DEMO_ROWS:-25000}
programs=(tap-crm map-records target-crm-bulkwrite antiphon antiphon-sandbox)
# shellcheck source=examples/demo-kit.sh
. examples/demo-kit.sh

# A number of a program's summary.
summed() { sed -n "s|.*summary stream=.* $2=\([0-9]*\) .*|\1|p" "$1" | awk '{ sum += $1 } END { print sum + 0 }'; }
# The leads of the stand-in, one a line.
leads() { { request GET /_sandbox/dump/crm/Leads && echo; } | sed 's/},{"Salutation":/}\n{"Salutation":/g'; }
field() { sed -n "s/.*[,{]\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
# Some leads, and how many are not as they should be; tests do not count.
look() {
    local number='"(Phone|Mobile)":"\+[0-9]{6,15}( x[0-9]+)?"' mail='"Email":"[a-z0-9.+_-]+@[a-z0-9.-]+"'
    local all real LC_ALL=C
    leads > "$folder/leads"
    printf '    %-10s %-24s %-24s %-28s %s\n' Last_Name Phone Mobile Email Score
    sed -n '1p; 4p; 6,7p; 12p; 22p' "$folder/leads" | while read -r lead; do
        printf '    %-10s %-24s %-24s %-28s %s\n' \
            "$(field Last_Name <<< "$lead")" "$(field Phone <<< "$lead")" "$(field Mobile <<< "$lead")" \
            "'$(field Email <<< "$lead")'" "$(field Score <<< "$lead")"
    done
    grep -v -e '"Last_Name":"Test"' -e '"Email":"test' "$folder/leads" > "$folder/real"
    bad_numbers=$(grep -Eo '"(Phone|Mobile)":"[^"]*"' "$folder/real" | grep -Evc "$number" || true)
    bad_mails=$(grep -o '"Email":"[^"]*"' "$folder/real" | grep -Evc "$mail" || true)
    scores=$(grep -c '"Score":[0-9]' "$folder/real" || true)
    all=$(wc -l < "$folder/leads") real=$(wc -l < "$folder/real")
    show "$all leads, $((all - real)) of them tests; of the others $bad_numbers malformed phone numbers, $bad_mails malformed addresses, $scores have a score"
}
is_clean() { test "$bad_numbers $bad_mails $scores" = "0 0 $(wc -l < "$folder/real")" || fail 'that is not clean'; }
credits() { request GET /_sandbox/crm | sed -n 's/.*"used_ever":\([0-9]*\).*/\1/p'; }
# Bulk writes that are over.
written() { request GET /_sandbox/crm | grep -o '"operation":"update"[^}]*"state":"COMPLETED"' | wc -l; }

# Runs the pipe as a person would; the logs of all three go to files.
tap='tap-crm --config tap-crm.json --catalog catalog.json'
map='map-records --config map-records.json'
target='target-crm-bulkwrite --config target-crm-bulkwrite.json --state-file state.json'
pipe() { # NAME TAP_FLAGS
    cd "$folder"
    $tap $2 2> "$1.tap.log" | $map 2> "$1.map.log" | $target 2> "$1.target.log" > "$1.states"
}
sync() { # NAME EXIT_CODE TAP_FLAGS
    local name=$1 began=$SECONDS before code=0
    before=$(credits)
    show "\$ $tap${3:+ $3} |" "    $map |" "    $target"
    (pipe "$name" "$3") || code=$?
    test "$code" = "$2" ||
        { tail -n 12 "$folder/$name".*.log >&2; fail "the $name run ended with $code"; }
    read=$(summed "$folder/$name.tap.log" records) sent=$(summed "$folder/$name.target.log" sent)
    show "$read leads read, $sent written, in $((SECONDS - began)) s and $(($(credits) - before)) credits"
}

build
step Sandbox "a stand-in of Zoho CRM, with $rows leads as people type them"
serve --crm-sample leads --crm-rows "$rows"
export ZOHO_CLIENT_SECRET=sandbox-secret ZOHO_REFRESH_TOKEN=sandbox-refresh
# Changes are read up to half a minute ago, which the demo does not wait for; and files are smaller than 25,000
# rows, so that there is something to be killed in between.
chunk=$((rows * 2 / 5 < 25000 ? rows * 2 / 5 : 25000))
for name in tap-crm target-crm-bulkwrite; do
    sed -e "s|\"client_id\": .*|\"client_id\": \"sandbox-client\",\n  \"accounts_url\": \"$url\",\n  \"api_url\": \"$url\",\n  \"token_cache_path\": \"tokens.json\",|" \
        -e 's|"modules":|"window_lag_seconds": 1,\n  &|' \
        -e "s|\"operation\":|\"chunk_records\": $chunk,\n      &|" "$example/$name.json" > "$folder/$name.json"
done
cp "$example"/{map-records.json,leads.jq,antiphon.toml} "$folder"
for name in tap-crm map-records target-crm-bulkwrite; do
    show "\$ $name --config $name.json --check"
    (cd "$folder" && "$name" --config "$name.json" --check 2>&1 | tail -n 1 | sed 's/^INFO //') | indent
done
show "page    $url/"

step Discover 'the fields that the filter looks at, by Modified_Time'
show '$ tap-crm --config tap-crm.json --discover > catalog.json' \
    '$ antiphon select catalog.json Leads --replication-key Modified_Time'
(
    cd "$folder"
    tap-crm --config tap-crm.json --discover 2> discover.log > catalog.json &&
        antiphon select catalog.json Leads --replication-key Modified_Time > select.out
) || { tail -n 5 "$folder/discover.log" >&2; fail 'discovery failed'; }
indent < "$folder/select.out"

step 'Look first' 'at what the filter does to one lead, and at what a run would cost'
lead='{"id": "1", "Last_Name": "Öberg", "Country": "NO", "Phone": "0047 (20) 1234 ext. 5", "Email": " Ann(at)X.ORG", "Lead_Source": "Trade Show"}'
show "\$ map-records --config map-records.json --test '$lead'"
(cd "$folder" && map-records --config map-records.json --test "$lead" 2> look.log) | indent
show "\$ $tap --dry-run"
(cd "$folder" && $tap --dry-run 2>&1) | sed -n 's/^INFO would read/    would read/p'

step Before
look

step 'kill -9' 'of all three in the midst of the first run; the stand-in is slow with the second file'
request POST /_sandbox/faults '{"add": ["job-hang:path=crm/write/,after=1"]}' > /dev/null
show "\$ $tap |" "    $map |" "    $target"
set -m
(pipe killed '') 2> /dev/null &
pipe="-$!"
set +m
tries=0
until test "$(written)" -gt 0; do
    tries=$((tries + 1))
    test "$tries" -lt 300 || { tail -n 12 "$folder"/killed.*.log >&2; fail 'waited in vain for the first file'; }
    sleep 0.1
done
kill -KILL -- "$pipe"
wait "${pipe#-}" 2> /dev/null || true
pipe=''
request POST /_sandbox/faults '{"clear": true}' > /dev/null
if test -s "$folder/state.json"; then
    # Of many leads the tap has said which job it waits for; no state says that any of them is done.
    ! grep -q '"replication_key_value":"' "$folder/state.json" || fail 'a state covers what was not written'
    rm "$folder/state.json"
fi
show "killed after $(written) of $(((rows + chunk - 1) / chunk)) files; the next run has no state and begins anew"

step 'Full run' 'what the killed run has written is clean by now, and the filter yields nothing for it'
sync full 0 ''
look
is_clean

step 'The next night' 'what we wrote ourselves has changed as well, and is read once more; nothing of it is written'
sleep 2
sync next 0 '--state state.json'
test "$sent" = 0 || fail "$sent leads were written that were clean"

step 'The night after' "people have changed $((rows / 100)) leads and typed in $((rows / 200)) new ones"
request POST /_sandbox/crm/Leads/change "{\"rows\": $((rows / 100))}" > /dev/null
request POST /_sandbox/crm/Leads/add "{\"rows\": $((rows / 200))}" > /dev/null
sleep 2
sync after 0 '--state state.json'

step 'Refused' 'one lead has no address in its address, and the CRM cannot process others for a while'
bad=$(field id < "$folder/real" | sed -n 7p)
request POST /_sandbox/crm/Leads/records "[{\"id\": \"$bad\", \"Email\": \"ask Ann\"}]" > /dev/null
request POST /_sandbox/crm/Leads/add '{"rows": 60}' > /dev/null
request POST /_sandbox/faults '{"add": ["partial:path=/bulk/v8/write,every-record=20"]}' > /dev/null
sleep 2
sync refused 3 '--state state.json'
request POST /_sandbox/faults '{"clear": true}' > /dev/null
show "exit code 3: $(wc -l < "$folder/target-crm-bulkwrite.rejects.jsonl") leads were refused, and stand in target-crm-bulkwrite.rejects.jsonl; without their records:"
sed 's/"record":{[^}]*}/"record":{…}/; s/,"line".*/, …}/' "$folder/target-crm-bulkwrite.rejects.jsonl" | tail -n 3 | indent

step 'Sent again' 'what was not at fault, as it was'
show '$ mv target-crm-bulkwrite.rejects.jsonl failed.jsonl' '$ grep CANNOT_PROCESS failed.jsonl > again.jsonl' \
    '$ target-crm-bulkwrite --config target-crm-bulkwrite.json --input again.jsonl'
(
    cd "$folder"
    mv target-crm-bulkwrite.rejects.jsonl failed.jsonl
    grep CANNOT_PROCESS failed.jsonl > again.jsonl
    target-crm-bulkwrite --config target-crm-bulkwrite.json --input again.jsonl 2> again.log
) || { tail -n 12 "$folder/again.log" >&2; fail 'the leads were refused again'; }
show "$(wc -l < "$folder/again.jsonl") leads written"

step 'Left alone' 'the wrong address is mended in the CRM, so that the lead has changed; antiphon keeps state, history and logs'
request POST /_sandbox/crm/Leads/records "[{\"id\": \"$bad\", \"Email\": \"Ann@Example.ORG\"}]" > /dev/null
sleep 2
show '$ antiphon state crm-cleanup import state.json' '$ antiphon run crm-cleanup' '$ antiphon history'
(
    cd "$folder"
    antiphon --quiet state crm-cleanup import state.json > antiphon.out 2> antiphon.log &&
        antiphon --quiet run crm-cleanup >> antiphon.out 2>> antiphon.log
) || { tail -n 12 "$folder/antiphon.log" >&2; fail 'antiphon could not run the pipeline'; }
(cd "$folder" && antiphon --quiet history) | indent

step After
look
is_clean
show "of the day's 75000 credits $(credits) were spent, by the stand-in's count"
finish demo-crm 'configs, filter, catalog, states, rejects, and the logs of all three' 'ZOHO_CLIENT_SECRET ZOHO_REFRESH_TOKEN'
