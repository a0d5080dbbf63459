#!/usr/bin/env bash
# Fault points are in debug builds alone: there the name of every step is found, and in release builds none.
# Usage: tests/fault-points.sh <a debug program with both services in it> <release programs>...
set -euo pipefail
debug=$(realpath "$1")
mapfile -t release < <(realpath --canonicalize-existing "${@:2}")
wait $!
cd "$(dirname "$0")/.."
for service in order catalog; do
  steps=$(sed -nE "s/^ {4}([A-Z][A-Za-z0-9]*)(: repeatable)?,$/$service.\1/p" "services/$service/src/steps.rs")
  for step in ${steps:?none found}; do
    grep --quiet --text --fixed-strings "$step" "$debug" || { echo "$step is not even in $debug"; exit 1; }
  done
  for program in "${release[@]}"; do
    if found=$(grep --text --only-matching --fixed-strings --file=- "$program" <<<"$steps"); then
      echo "in $program:" $(sort -u <<<"$found")
      exit 1
    fi
  done
  echo "$service: $(wc -w <<<"$steps") steps, none of them named in a release build"
done
