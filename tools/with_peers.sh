#!/bin/sh
# with_peers.sh PYTHON ARGUMENTS...: runs Python with what nonlin is compared with, which goes into build/peers, on top of
# Python's own packages, whose NumPy stays. What cannot be installed is left out.
set -e
python=$1
shift
peers=$PWD/build/peers
packages="torch==2.13.0 jax numexpr numba onnxruntime ai-edge-litert"
if [ "$(cat "$peers/.done" 2>/dev/null)" != "$packages" ]; then
  "$python" -m venv "$peers"
  site=$("$peers/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
  "$python" -c "import sysconfig; print(sysconfig.get_path('purelib'))" >"$site/base.pth"
  "$python" -m pip freeze | grep '^numpy==' >"$peers/constraints.txt" # which numba would replace by an older one
  installed=
  for package in $packages; do
    if "$peers/bin/pip" install --quiet --constraint "$peers/constraints.txt" "$package"; then
      installed="$installed $package"
    else
      echo "left out, as it cannot be installed: $package"
    fi
  done
  if [ -z "$installed" ]; then
    echo "skipped: torch, JAX and the others cannot be installed"
    exit 0
  fi
  echo "$packages" >"$peers/.done"
fi
exec "$peers/bin/python" "$@"
