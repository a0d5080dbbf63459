#!/usr/bin/env bash
# Generates the code of the contract: generate.sh [FOLDER], by default into this one. Takes what pyproject.toml names under dev.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=$(realpath "${1:-$here}")

cd "$here/../../proto"
# What the services say among themselves is not for clients; of google.api googleapis-common-protos has the classes.
mapfile -t files < <(find orderflow -name '*.proto' ! -name inventory_service.proto ! -name identity_service.proto | LC_ALL=C sort)
services=()
for file in "${files[@]}"; do
  if grep -q '^service ' "$file"; then services+=("$file"); fi
done
python3 -m grpc_tools.protoc --proto_path=. --python_out="$into" --mypy_out=quiet:"$into" "${files[@]}"
python3 -m grpc_tools.protoc --proto_path=. --grpc_python_out="$into" --mypy_grpc_out=quiet:"$into" "${services[@]}"
