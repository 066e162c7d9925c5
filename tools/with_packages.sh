#!/bin/sh
# with_packages.sh NAME "PACKAGE..." PYTHON ARGUMENTS...: runs Python with these packages, which go into build/NAME, on top of
# Python's own packages, whose NumPy stays. What cannot be installed is left out.
set -e
folder=$PWD/build/$1
packages=$2
python=$3
shift 3
if [ "$(cat "$folder/.done" 2>/dev/null)" != "$packages" ]; then
  "$python" -m venv "$folder"
  site=$("$folder/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
  "$python" -c "import sysconfig; print(sysconfig.get_path('purelib'))" >"$site/base.pth"
  "$python" -m pip freeze | grep '^numpy==' >"$folder/constraints.txt" # which some would replace by an older one
  installed=
  for package in $packages; do
    if "$folder/bin/pip" install --quiet --constraint "$folder/constraints.txt" "$package"; then
      installed="$installed $package"
    else
      echo "left out, as it cannot be installed: $package"
    fi
  done
  if [ -z "$installed" ]; then
    echo "skipped: none of these can be installed: $packages"
    exit 0
  fi
  echo "$packages" >"$folder/.done"
fi
exec "$folder/bin/python" "$@"
