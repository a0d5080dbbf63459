#!/usr/bin/env bash
# Runs the flow in Node. Usage: flow-node.sh <the gateway's URL>
set -euo pipefail
cd "$(dirname "$0")"
source ./install.sh
npx --no-install tsc >&2
node build/flow/node.js "${1:-${ORDERFLOW_ADDRESS:?}}" ../flow.json
