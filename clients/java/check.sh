#!/usr/bin/env bash
# Generates the code from proto/, compiles it, with every warning an error in what is written here, and runs the tests.
set -euo pipefail
cd "$(dirname "$0")"
for program in javac mvn; do
  command -v $program >/dev/null || { echo "$program is absent" >&2; exit 77; }
done
[[ $(mvn --version) =~ Java\ version:\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)) || { echo 'needs JDK 17 or later' >&2; exit 77; }
exec mvn --batch-mode --no-transfer-progress clean verify
