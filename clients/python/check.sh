#!/usr/bin/env bash
# Whether the generated code is fresh, types, the unit tests.
set -euo pipefail
cd "$(dirname "$0")"
source ./venv.sh

fresh=../../target/clients/python/fresh
rm -rf "$fresh"
mkdir -p "$fresh"
./generate.sh "$fresh"
# All that was generated is here, and all that is here and looks generated was generated.
(cd "$fresh" && find . -type f | LC_ALL=C sort) | while read -r file; do diff "$file" "$fresh/$file"; done
diff <(cd "$fresh" && find . -type f | LC_ALL=C sort) <(find ./orderflow -name '*_pb2*.py*' | LC_ALL=C sort)

mypy --cache-dir "$fresh/../mypy"
python -m unittest discover --start-directory tests --top-level-directory .
