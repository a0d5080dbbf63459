#!/usr/bin/env bash
# Tells the flow to a gateway: flow.sh ADDRESS
set -euo pipefail
cd "$(dirname "$0")"
source ./venv.sh
exec python -m flow "${1:-${ORDERFLOW_ADDRESS:?}}" ../flow.json
