#!/bin/sh
# with_peers.sh PYTHON ARGUMENTS...: runs Python with torch and JAX, which go into build/peers, on top of its own packages.
set -e
python=$1
shift
peers=$PWD/build/peers
if [ ! -e "$peers/.done" ]; then
  "$python" -m venv "$peers"
  site=$("$peers/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
  "$python" -c "import sysconfig; print(sysconfig.get_path('purelib'))" >"$site/base.pth"
  if ! "$peers/bin/pip" install --quiet torch==2.13.0 jax; then
    echo "skipped: torch and JAX cannot be installed"
    exit 0
  fi
  touch "$peers/.done"
fi
exec "$peers/bin/python" "$@"
