# Fetches the packages, unless they are there as the lock file has them. To be sourced, in this folder.

for program in node npm; do
  command -v $program >/dev/null || { echo "$program is absent" >&2; exit 77; }
done
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
  || { echo "needs node 20.19 or later, not $(node --version)" >&2; exit 77; }
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund >&2
