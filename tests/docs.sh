#!/usr/bin/env bash
# Places an order by hand in /docs, in a real browser.
# Usage: tests/docs.sh <the orderflow program>, with node, npm and chromium on PATH. Screenshots go to target/browser.
set -euo pipefail
source "$(dirname "$0")/system.sh" "$1"

cd "$(dirname "$0")/.."
screenshots=$PWD/target/browser
mkdir -p "$screenshots"
(cd tests/browser && npm ci --silent --no-audit --no-fund)
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
timeout 180 node tests/browser/docs.js "$gateway" "$browser" "$screenshots"
