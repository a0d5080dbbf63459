#!/usr/bin/env bash
# Pastes the steps that README.md shows under "Over HTTP".
# Usage: tests/curl.sh <the orderflow program>, with curl.
set -euo pipefail
source "$(dirname "$0")/system.sh" "$1"

steps=$(sed -n '/^## Over HTTP/,/^## [^O]/p' "$(dirname "$0")/../README.md" | sed -n '/^```sh/,/^```/p' | sed '/^```/d')
said=$(bash -euo pipefail -c "${steps//127.0.0.1:8080/$gateway}")
printf '%s\n' "$said"
expect '"user":{"id":"' "$said"
expect '^product [0-9a-f]\{32\}$' "$said"
expect '^order [0-9a-f]\{32\}$' "$said"
expect '"orders":\[{"id":"' "$said"
expect '"status":"ORDER_STATUS_SHIPPED"' "$said"
if grep -q '"code":' <<<"$said"; then echo 'a step failed'; exit 1; fi

refusal=$(curl -sS "http://$gateway/v1/products/x")
expect '"fieldViolations"' "$refusal"
echo 'a first order was placed, listed and shipped over HTTP'
