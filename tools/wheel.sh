#!/bin/sh
# Makes a wheel in dist for the oldest systems that this compiler allows, and runs the tests from it, in an empty environment
# that sees neither compiler nor sources: tools/wheel.sh VENV [options of pytest]. VENV has what builds and repairs wheels.
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "$1/bin" && pwd)
shift
most_bytes=3000000

rm -rf build/wheel
"$bin/pip" wheel --no-build-isolation --no-deps --wheel-dir build/wheel --config-settings='build-dir=build/{wheel_tag}' \
  --config-settings="cmake.define.NONLIN_WERROR=${WERROR:-ON}" .
mkdir build/wheel/repaired
if [ "$(uname)" = Linux ]; then
  PATH="$bin:$PATH" "$bin/auditwheel" repair --zip-compression-level 9 --wheel-dir build/wheel/repaired build/wheel/*.whl
else
  cp build/wheel/*.whl build/wheel/repaired
fi
wheel=$(echo "$PWD"/build/wheel/repaired/*.whl)
bytes=$(wc -c <"$wheel")
echo "$(basename "$wheel"): $((bytes)) bytes"
if [ "$bytes" -gt $most_bytes ]; then
  echo "the wheel has more than $most_bytes bytes" >&2
  exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$bin/python" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --only-binary=:all: "${wheel}[test]"
cp -R ./*.md CITATION.cff LICENSE Makefile pyproject.toml bench docs examples python tests tools "$folder"
(cd "$folder" && env -i HOME="$folder" PATH="$folder/env/bin" env/bin/pytest --numprocesses auto --dist worksteal \
  --ignore tests/test_tools.py "$@")  # that is of the sources' scripts, which need other programs

mkdir -p dist
cp "$wheel" dist
