# shellcheck shell=bash
# What the demos share: words on the terminal, requests to the sandbox, and its start and end. Each demo.sh sources it
# from the root of the checkout, once it has set `folder` and `programs`.

# Of all profiles the quickest to build; its binaries still read and write some thousands of rows a second.
profile=dev built=debug

bold='' dim='' off=''
if test -t 1 && test -z "${NO_COLOR:-}"; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
step() { printf '\n%s%s%s%s\n' "$bold" "$1" "$off" "${2:+$dim  $2$off}"; }
show() { printf '  %s\n' "$@"; }
indent() { sed 's/^/    /'; }
fail() { printf '\ndemo: %s\n' "$1" >&2; exit 1; }

# What runs beside the demo: the sandbox, and a pipe, which is a group of its own and begins with a minus. A demo that
# has more to stop does it in `before_stop`.
sandbox='' pipe=''
stop() {
    local process
    if declare -F before_stop > /dev/null; then before_stop; fi
    for process in $pipe $sandbox; do
        if kill -- "$process" 2> /dev/null; then wait "${process#-}" 2> /dev/null || true; fi
    done
    sandbox='' pipe=''
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A request to the sandbox: no curl needed.
request() { # METHOD PATH [JSON]
    # The length counts bytes.
    local address=${url#http://} body=${3:-} LC_ALL=C
    exec 3<> "/dev/tcp/${address%:*}/${address##*:}"
    printf '%s %s HTTP/1.0\r\nhost: sandbox\r\ncontent-type: application/json\r\ncontent-length: %s\r\n\r\n%s' \
        "$1" "$2" "${#body}" "$body" >&3
    tr -d '\r' <&3 | sed '1,/^$/d'
    exec 3>&-
}
# The number that stands behind a name in one line of JSON, also as a text.
number() { sed -n "s|.*\"$1\": *\"\{0,1\}\([0-9][0-9]*\).*|\1|p"; }
# A stream's records, summed over the metric lines of a tap.
records() { # LOG STREAM
    grep 'METRIC.*record_count' "$1" | grep "[\".]$2\"" | number value | awk '{ sum += $1 } END { print sum + 0 }'
}
# A statement in BigQuery's own API, in `project` and `location`; a line for each row of the answer, its values parted by spaces.
query() {
    local text answer
    text=$(tr '\n' ' ' | sed 's/"/\\"/g')
    answer=$(request POST "/bigquery/bigquery/v2/projects/$project/queries" \
        "{\"query\": \"$text\", \"useLegacySql\": false${location:+, \"location\": \"$location\"}, \"maxResults\": 1000000}")
    case $answer in *'"jobComplete":true'*) ;; *) echo "$answer" >&2; fail 'the stand-in could not run a statement' ;; esac
    { grep -o '{"f":\[[^]]*\]}' <<< "$answer" || true; } | sed 's/{"f":\[//; s/{"v":"\{0,1\}//g; s/"\{0,1\}}//g; s/\]//; s/,/ /g'
}

# Builds the programs, unless DEMO_BINARIES names a folder that has them; they are found by their names from then on.
build() {
    local program versions=''
    step Build "${programs[*]}"
    if test -z "${DEMO_BINARIES:-}"; then
        ${CARGO:-cargo} build --locked --profile "$profile" "${programs[@]/#/--bin=}"
        DEMO_BINARIES=target/$built
    fi
    binaries=$(cd "$DEMO_BINARIES" && pwd)
    PATH=$binaries:$PATH
    for program in "${programs[@]}"; do
        case $program in antiphon*) ;; *) versions+="$("$program" --version), " ;; esac
    done
    show "${versions}in $DEMO_BINARIES"
    began_demo=$SECONDS
}

# Starts the sandbox in an empty folder; `url` is where it listens.
serve() { # FLAGS…
    rm -rf "$folder"
    mkdir -p "$folder"
    antiphon-sandbox serve --listen 127.0.0.1:0 "$@" > "$folder/sandbox.log" &
    sandbox=$!
    echo "$sandbox" > "$folder/sandbox.pid"
    url=''
    while test -z "$url"; do
        kill -0 "$sandbox" 2> /dev/null || fail 'the sandbox did not start'
        sleep 0.1
        url=$(sed -n 's/^antiphon-sandbox listening on //p' "$folder/sandbox.log")
    done
}

# The last words. With DEMO_KEEP the sandbox stays up until Ctrl-C.
finish() { # MAKE_TARGET WHAT_LIES_THERE [VARIABLES]
    local name exports=''
    show '' "Look at $folder: $2."
    if test -z "${DEMO_KEEP:-}"; then
        show "Took $((SECONDS - began_demo)) s. All that was started is being stopped. DEMO_KEEP=1 make $1 leaves it up, with its page."
        return
    fi
    show "The sandbox stays up: $url/ shows what arrives. Ctrl-C ends it." \
        "To run the pipe by hand: cd $folder; PATH=$binaries:\$PATH"
    for name in ${3:-}; do exports+=" $name=${!name}"; done
    if test -n "$exports"; then show "    export$exports"; fi
    trap 'exit 0' INT TERM
    wait "$sandbox" || true
}
