# Fetches the packages, unless they are there as the lock file has them. To be sourced, in this folder.

for program in node npm; do
  command -v $program >/dev/null || { echo "$program is absent" >&2; exit 77; }
done
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund >&2
