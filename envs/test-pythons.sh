#!/bin/sh
# Run tests on every Python of 3.11 to 3.13 that is there but is not the one of .venv; also on those
# that pyenv has. Each has its .venv-VERSION, without torch. test-pythons.sh TEST…
set -eu
cd "$(dirname "$0")/.."
used=
if [ -x .venv/bin/python ]; then
  used=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
fi
ran=
for version in 3.11 3.12 3.13; do
  [ "$version" != "$used" ] || continue
  # Of several patch versions of pyenv's, the first that works.
  python=$(envs/python.sh "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python)
  [ -n "$python" ] || continue
  venv=.venv-$version
  test -x "$venv/bin/python" || "$python" -m venv "$venv"
  envs/install.sh "$venv" --quiet --no-deps -r envs/requirements.txt -r envs/requirements-dev.txt -e .
  echo "emgrid: tests on Python $version"
  OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q "$@"
  ran="$ran $version"
done
[ -n "$ran" ] || echo "emgrid: no Python of 3.11 to 3.13 is there but that of .venv ($used)"
