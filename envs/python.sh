#!/bin/sh
# Print the path of the newest Python that emgrid runs on and that can make virtual environments:
# python.sh [NAME…], by default those on PATH. Prints nothing if there is none.
[ $# -gt 0 ] || set -- python3.13 python3.12 python3.11 python3 python
for name; do
  "$name" -c 'import ensurepip, sys, venv
if not (3, 11) <= sys.version_info[:2] <= (3, 13): sys.exit(1)
print(sys.executable)' 2>/dev/null && exit
done
exit 0
