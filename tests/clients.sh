#!/usr/bin/env bash
# Checks every client, lets each tell the flow to one freshly started system, and compares what they print (clients/FLOW.md).
# Usage: tests/clients.sh <the orderflow program> [<language>…]
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
languages=("$@")
[ $# -gt 0 ] || mapfile -t languages < <(cd clients && printf '%s\n' */ | tr -d /)
passed=0 failed=0 skipped=0

# attempt <name> <command…>: runs it, and counts how it ended; 77 stands for an absent toolchain, 124 is that of timeout.
attempt() {
  local name=$1 status=0
  shift
  printf -- '-- %s\n' "$name"
  "$@" || status=$?
  case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) && echo "skipped: $name" ;;
    *) failed=$((failed + 1)) && echo "failed: $name" ;;
  esac
}

for language in "${languages[@]}"; do
  attempt "$language: check" timeout 600 "clients/$language/check.sh"
done

# Where a browser's page may be served.
page=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export ORDERFLOW_ORIGIN=http://127.0.0.1:$page
export CORS_ORIGINS=$ORDERFLOW_ORIGIN
source tests/system.sh "$program"

transcripts=target/clients/transcripts
rm -rf "$transcripts"
mkdir -p "$transcripts"
python3 - <<'END' >"$transcripts/expected"
import json, sys
with open("clients/flow.json", encoding="utf-8") as file:
    for step in json.load(file)["steps"]:
        line = {"step": step["step"], **step["expect"]}
        sys.stdout.buffer.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
END

# tell <name> <program>: its transcript is to be the expected one.
tell() {
  local status=0
  timeout 300 "$2" "http://$gateway" >"$transcripts/$1" || status=$?
  [ $status = 0 ] || [ $status = 77 ] || { cat "$transcripts/$1"; return $status; }
  [ $status = 77 ] && return 77
  diff "$transcripts/expected" "$transcripts/$1"
}

for language in "${languages[@]}"; do
  for flow in clients/"$language"/flow*.sh; do
    name=${flow#clients/}
    name=${name%.sh}
    attempt "$language: $(basename "$flow" .sh)" tell "${name/\//-}" "$flow"
  done
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
