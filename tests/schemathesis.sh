#!/usr/bin/env bash
# Lets schemathesis make up thousands of requests from /openapi.json and holds every answer to it: no 5xx, no status, content
# type, header or body that the document does not know, nothing without a token that needs one.
# Usage: tests/schemathesis.sh <the orderflow program>, with curl and python3 with venv and pip.
set -euo pipefail
# The point is what lies behind the limits of rates, which would answer most of it.
export GATEWAY_RATE_OF_SIGN_INS=off GATEWAY_RATE_PER_ADDRESS=off GATEWAY_RATE_PER_USER=off
source "$(dirname "$0")/system.sh" "$1"
cd "$(dirname "$0")/.."
source tests/openapi-tools.sh

call() { curl -sSf -H 'content-type: application/json' "http://$gateway$1" -d "$2"; }
call /v1/users:register '{"name": "Eve", "email": "eve@example.com", "password": "correct horse"}' >/dev/null
token=$(call /v1/users:login '{"email": "eve@example.com", "password": "correct horse"}' |
  sed -n 's/.*"accessToken":"\([^"]*\)".*/\1/p')

# WatchOrders has no end to wait for.
cd "$directory"
timeout 240 "$tools/schemathesis" run "http://$gateway/openapi.json" \
  --header "Authorization: Bearer $token" \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,ignored_auth,unsupported_method \
  --exclude-operation-id OrderService_WatchOrders \
  --phases examples,coverage,fuzzing --mode all \
  --max-examples 30 --max-time 100 --seed 1 --workers 1 \
  --request-timeout 20 --continue-on-failure --no-color
