#!/usr/bin/env bash
# Runs the flow of ../FLOW.md. Usage: flow.sh http://127.0.0.1:8080
set -euo pipefail
cd "$(dirname "$0")"
source ./toolchain.sh
mvn --batch-mode --no-transfer-progress test-compile \
  dependency:build-classpath -Dmdep.includeScope=test -Dmdep.outputFile=target/classpath >&2
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" -classpath "target/classes:target/test-classes:$(<target/classpath)" orderflow.flow.Flow ../flow.json "$@"
