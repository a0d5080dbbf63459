#!/usr/bin/env bash
# Tells the flow to a gateway: flow.sh ADDRESS
set -euo pipefail
cd "$(dirname "$0")"
go list -m >/dev/null 2>&1 || { echo 'needs go 1.26, or one that can fetch it' >&2; exit 77; }
program=../../target/clients/go/flow
go build -o "$program" ./flow
exec "$program" "${1:-${ORDERFLOW_ADDRESS:?}}" ../flow.json
