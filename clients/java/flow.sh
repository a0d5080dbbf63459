#!/usr/bin/env bash
# Runs the flow of ../FLOW.md. Usage: flow.sh http://127.0.0.1:8080
set -euo pipefail
cd "$(dirname "$0")"
for program in javac mvn; do
  command -v $program >/dev/null || { echo "$program is absent" >&2; exit 77; }
done
[[ $(mvn --version) =~ Java\ version:\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)) || { echo 'needs JDK 17 or later' >&2; exit 77; }
mvn --batch-mode --no-transfer-progress test-compile \
  dependency:build-classpath -Dmdep.includeScope=test -Dmdep.outputFile=target/classpath >&2
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" -classpath "target/classes:target/test-classes:$(<target/classpath)" orderflow.flow.Flow ../flow.json "$@"
