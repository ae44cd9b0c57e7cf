#!/bin/sh
# Install packages into a virtual environment: install.sh VENV [what `pip install` takes]
# uv needs seconds for what takes pip minutes; pip does it where uv cannot be had or fails.
set -eu
python=$1/bin/python
shift
uv=$(command -v uv || echo "${python%/*}/uv")
if ! [ -x "$uv" ]; then
  "$python" -m pip install --quiet -r envs/requirements-setup.txt || true
fi
if [ -x "$uv" ]; then
  # uv does not read pip's settings, which may name a folder of wheels.
  UV_FIND_LINKS=${UV_FIND_LINKS:-$(echo "${PIP_FIND_LINKS:-}" | tr ' ' ',')}
  export UV_FIND_LINKS
  "$uv" pip install --python "$python" "$@" && exit
  echo "uv failed; pip tries" >&2
fi
exec "$python" -m pip install "$@"
