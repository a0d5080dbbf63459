#!/usr/bin/env bash
# Runs the flow in a browser, by a page of the site that ORDERFLOW_ORIGIN names. Usage: flow-browser.sh <the gateway's URL>
set -euo pipefail
cd "$(dirname "$0")"
source ./install.sh
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { echo 'chromium is absent' >&2; exit 77; }
npx --no-install tsc >&2
node build/flow/browser.js "${1:-${ORDERFLOW_ADDRESS:?}}" ../flow.json "$browser"
