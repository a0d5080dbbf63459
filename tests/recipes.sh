#!/usr/bin/env bash
# Pastes the recipes of docs/recipes.md, block by block, into one shell beside a fresh system; streams run on, as in another
# terminal, until they have told what happened. Fails where a public method has no recipe.
# Usage: tests/recipes.sh <the orderflow program>, with grpcurl on PATH.
set -euo pipefail
source "$(dirname "$0")/system.sh" "$1"
page=$(dirname "$0")/../docs/recipes.md
"$orderflow" demo --gateway "$gateway" --products 5 >/dev/null

streaming=''
for service in $(grpcurl -plaintext "$gateway" list); do
  # This one grpcurl itself calls, to list and describe.
  [[ $service == grpc.reflection.* ]] && continue
  for method in $(grpcurl -plaintext "$gateway" list "$service"); do
    path="$service/${method##*.}"
    grep -q "$path\b" "$page" || { echo "$path has no recipe in docs/recipes.md"; exit 1; }
    if grpcurl -plaintext "$gateway" describe "$method" | grep -q 'returns ( stream'; then streaming+=" $path"; fi
  done
done

# The streams that run on, and where each of them writes to.
calls=() told=()
stop() {
  [[ $? == 0 ]] || tail -n 40 "$directory/said" || true
  for call in "${calls[@]}"; do kill "$call" 2>/dev/null || true; done
  stop_system
}
trap stop EXIT

# runs_on <recipe>: whether it calls a stream.
runs_on() {
  for path in $streaming; do [[ $1 == *$path* ]] && return; done
  return 1
}
# tells <file> <pattern>: waits until the pattern is in the file.
tells() {
  for _ in $(seq 300); do
    grep -q -- "$2" "$1" && return
    sleep 0.1
  done
  printf 'expected %s in:\n%s\n' "$2" "$(cat "$1")"
  exit 1
}

run=0
paste() {
  local recipe=${1//127.0.0.1:8080/$gateway}
  run=$((run + 1))
  printf '\n%s' "$recipe"
  if runs_on "$recipe"; then
    told+=("$directory/stream-$run")
    eval "exec $recipe" >"${told[-1]}" 2>&1 &
    calls+=($!)
    tells "${told[-1]}" '^}'
  else
    eval "$recipe" >>"$directory/said" 2>&1
  fi
}

recipe='' inside=false
while IFS= read -r line <&3; do
  case $line in
    '```sh') inside=true recipe='' ;;
    '```') $inside && paste "$recipe"; inside=false ;;
    *) if $inside; then recipe+=$line$'\n'; fi ;;
  esac
done 3<"$page"

for file in "${told[@]}"; do
  if grep -q 'resumeToken' "$file"; then
    tells "$file" 'ORDER_STATUS_SHIPPED'
    tells "$file" 'ORDER_STATUS_CANCELLED'
  fi
  cat "$file"
done
said=$(<"$directory/said")
printf '%s\n' "$said"
expect '^product [0-9a-f]\{32\}$' "$said"
expect '^order [0-9a-f]\{32\}$' "$said"
expect '"name": "Grace H."' "$said"
expect '"missingIds"' "$said"
expect '"minorUnits": "79900"' "$said"
expect '"delta": "-2"' "$said"
expect '"ORDER_STATUS_SHIPPED"' "$said"
expect '"ORDER_STATUS_CANCELLED"' "$said"
expect '"revenue"' "$said"
echo "$run recipes work, and every public method has one"
