# Starts the system as a newcomer does, on a free port, and ends it with the script that sources this.
# Usage: source tests/system.sh <the orderflow program>. Sets $orderflow, $gateway (its address) and $directory (for files).

orderflow=$(realpath "$1")
directory=$(mktemp -d)
"$orderflow" up --ephemeral --directory "$directory" --listen 127.0.0.1:0 >"$directory/out" &
system=$!
stop_system() {
  kill -INT "$system" 2>/dev/null && wait "$system" || true
  rm -rf "$directory"
}
trap stop_system EXIT

for _ in $(seq 1200); do
  grep -q 'Ctrl-C' "$directory/out" && break
  kill -0 "$system" || { cat "$directory/out"; exit 1; }
  sleep 0.1
done
cat "$directory/out"
gateway=$(sed -n 's/^  gateway *\(127[0-9.:]*\).*/\1/p' "$directory/out")

# expect <pattern> <text>: ends the script where the text lacks the pattern.
expect() { grep -q -- "$1" <<<"$2" || { printf 'expected %s in:\n%s\n' "$1" "$2"; exit 1; }; }
