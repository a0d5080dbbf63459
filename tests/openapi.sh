#!/usr/bin/env bash
# Holds the description of the HTTP/JSON API to the OpenAPI specification.
# Usage: tests/openapi.sh <the gateway program>, with python3 with venv and pip.
set -euo pipefail
gateway=$(realpath "$1")
cd "$(dirname "$0")/.."
source tests/openapi-tools.sh
"$gateway" openapi >target/openapi.json
"$tools/openapi-spec-validator" target/openapi.json
