#!/usr/bin/env bash
# Drives the shop in a real browser: served by the gateway, and from another origin, so that CORS is tried as well.
# Usage: tests/shop.sh <the orderflow program>, with node, npm and chromium on PATH. Screenshots go to target/shop.
set -euo pipefail
repository=$(realpath "$(dirname "$0")/..")
client=$repository/clients/typescript
screenshots=$repository/target/shop
mkdir -p "$screenshots"/{gateway,elsewhere}

(cd "$client" && source ./install.sh && npm run --silent build --workspace shop -- --logLevel warn)
(cd "$repository/tests/browser" && npm ci --silent --no-audit --no-fund)
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)

# The other origin, known before the gateway is told of it.
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
export CORS_ORIGINS=http://127.0.0.1:$port
export SHOP_DIR=$client/shop/dist
# So short that it expires while it is used.
export ACCESS_TOKEN_TTL=20s
source "$repository/tests/system.sh" "$1"
expect "shop *http://$gateway/shop" "$(cat "$directory/out")"

cd "$client/shop"
vite=$client/node_modules/.bin/vite
VITE_GATEWAY=http://$gateway "$vite" build --logLevel warn --outDir "$directory/shop" --emptyOutDir
"$vite" preview --logLevel warn --outDir "$directory/shop" --host 127.0.0.1 --port "$port" --strictPort &
elsewhere=$!
trap 'kill "$elsewhere" 2>/dev/null || true; stop_system' EXIT

cd "$repository"
timeout 300 node tests/browser/shop.js "http://$gateway/shop" "$gateway" "$browser" "$screenshots/gateway"
timeout 300 node tests/browser/shop.js "$CORS_ORIGINS/shop/" "$gateway" "$browser" "$screenshots/elsewhere"
