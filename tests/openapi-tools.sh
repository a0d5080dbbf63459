# Installs the tools that judge /openapi.json, once, below target/. Sets $tools, the folder of their programs.

tools=$PWD/target/openapi/bin
if ! [ -x "$tools/schemathesis" ]; then
  python3 -m venv target/openapi
  "$tools/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5 openapi-spec-validator==0.9.0
fi
