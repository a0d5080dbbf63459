#!/usr/bin/env bash
# Generates the code from proto/, compiles it, with every warning an error in what is written here, and runs the tests.
set -euo pipefail
cd "$(dirname "$0")"
source ./toolchain.sh
exec mvn --batch-mode --no-transfer-progress clean verify
