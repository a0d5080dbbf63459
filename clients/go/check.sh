#!/usr/bin/env bash
# Whether the generated code is fresh, vet, the unit tests.
set -euo pipefail
cd "$(dirname "$0")"
go list -m >/dev/null 2>&1 || { echo 'needs go 1.26, or one that can fetch it' >&2; exit 77; }

if command -v npx >/dev/null; then
  fresh=../../target/clients/go
  mkdir -p "$fresh"
  npx --yes @bufbuild/buf@1.75.0 generate --output "$fresh"
  diff --recursive gen "$fresh/gen"
else
  echo 'skipped: whether the generated code is fresh needs npx'
fi
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { printf 'gofmt:\n%s\n' "$unformatted"; exit 1; }
go mod tidy -diff
go vet ./...
go test ./...
