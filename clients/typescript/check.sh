#!/usr/bin/env bash
# Fetches what is needed, sees that the generated code belongs to the contract, checks types, runs the tests.
set -euo pipefail
cd "$(dirname "$0")"
source ./install.sh

fresh=../../target/clients/typescript
rm -rf "$fresh"
npx --no-install buf generate --output "$fresh"
diff -r "$fresh/src/gen" src/gen || { echo 'src/gen is not what the contract says: npm run generate' >&2; exit 1; }

npm test --silent
