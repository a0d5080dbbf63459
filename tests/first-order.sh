#!/usr/bin/env bash
# Starts the system as a newcomer does and pastes the steps that `orderflow demo` prints.
# Usage: tests/first-order.sh <the orderflow program>, with grpcurl on PATH.
set -euo pipefail
source "$(dirname "$0")/system.sh" "$1"

services=$(grpcurl -plaintext "$gateway" list)
expect 'orderflow.order.v1.OrderService' "$services"
if grep -q 'InventoryService' <<<"$services"; then echo 'an internal service is listed'; exit 1; fi
expect 'access: ACCESS_USER' "$(grpcurl -plaintext "$gateway" describe orderflow.order.v1.OrderService.CreateOrder)"

demo=$("$orderflow" demo --gateway "$gateway" --products 50)
steps=$(bash -euo pipefail -c "$(sed -n '/^EMAIL=/,$p' <<<"$demo")")
expect '"accessToken"\|"user"' "$steps"
expect 'ORDER_STATUS_PENDING' "$steps"
expect 'ORDER_STATUS_SHIPPED' "$steps"

refusal=$(grpcurl -plaintext -d '{"id": "x"}' "$gateway" orderflow.catalog.v1.CatalogService/GetProduct 2>&1 || true)
expect 'fieldViolations' "$refusal"
echo 'a first order was placed, listed and shipped'
