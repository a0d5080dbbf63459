# Makes the environment for what is done here, and leads to its programs. Sourced.
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || { echo 'needs python3, 3.11 or later, with venv' >&2; exit 77; }
venv=$(realpath -m ../../target/clients/python/venv)
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement dev-requirements.txt >&2
export PATH=$venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
