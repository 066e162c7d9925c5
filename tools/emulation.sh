#!/bin/sh
# Makes a folder with a Python that runs under qemu, as all that it starts through sys.executable does:
#   tools/emulation.sh arm64 .venv           build/arm64: Debian's Python for arm64, and nonlin cross-compiled
#   tools/emulation.sh Westmere .venv        build/Westmere: the Python and nonlin of .venv, on this model of x86-64
# .venv lends pip, CMake and Ninja. What is missing is got from apt; nothing of another architecture is installed.
set -eu
cd "$(dirname "$0")/.."
model=$1 venv=$(cd "$2" && pwd) folder=$PWD/build/$1
machine=x86_64

need() { command -v "$1" >/dev/null || tools/apt_install.sh "$2"; }  # PROGRAM PACKAGE

# Writes bin/python, which qemu tells its own name, so that sys.executable is this script; pyvenv.cfg makes it an environment.
write_python() {  # OPTIONS PYTHON
  mkdir -p "$folder/bin"
  printf '#!/bin/sh\nexec qemu-%s %s -0 "%s" "%s" "$@"\n' "$machine" "$1" "$folder/bin/python" "$2" >"$folder/bin/python"
  chmod +x "$folder/bin/python"
  printf 'home = %s\ninclude-system-site-packages = false\n' "$(dirname "$2")" >"$folder/pyvenv.cfg"
}

# Unpacks Debian packages for arm64 under build/arm64/root, with lists and a database of packages of apt's there too.
unpack_debian() {
  apt=$folder/apt
  rm -rf "$folder/root" "$apt"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  : >"$apt/status"
  cat >"$apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State::Lists "$apt/lists";
Dir::State::Status "$apt/status";
Dir::Cache::Archives "$apt/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
  export APT_CONFIG="$apt/apt.conf"
  apt-get -q update
  apt-get -qy --no-install-recommends --download-only install python3 libpython3-dev libstdc++6 libhwy-dev
  unset APT_CONFIG
  for package in "$apt"/archives/*.deb; do dpkg-deb --extract "$package" "$folder/root"; done
}

# The packages that the tests need.
install_wheels() {
  set -- --quiet --upgrade --target "$site" --only-binary=:all: --python-version "$version"
  for platform in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014; do
    set -- "$@" --platform "${platform}_aarch64"
  done
  "$venv/bin/python" tools/requirements.py build test >"$folder/requirements.txt"
  "$venv/bin/pip" install "$@" --requirement "$folder/requirements.txt"
}

cross_compile() {
  # shellcheck disable=SC2086  # CMAKE_ARGS is a list
  "$venv/bin/cmake" -S . -B "$folder/build" -G Ninja -DCMAKE_MAKE_PROGRAM="$venv/bin/ninja" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
    -DCMAKE_FIND_ROOT_PATH="$folder/root" -DCMAKE_LIBRARY_ARCHITECTURE=aarch64-linux-gnu -DNONLIN_WERROR=ON \
    -DPython_EXECUTABLE="$folder/bin/python" -DCMAKE_CROSSCOMPILING_EMULATOR=env \
    -DCMAKE_CXX_FLAGS="-isystem $folder/root/usr/include" ${CMAKE_ARGS:-}
  "$venv/bin/cmake" --build "$folder/build" --target _core
  rm -rf "$site/nonlin"
  cp -R python/nonlin "$site"
  "$venv/bin/cmake" --install "$folder/build" --prefix "$site"
}

if [ "$model" = arm64 ]; then
  machine=aarch64
  need qemu-aarch64 qemu-user
  need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
  if [ ! -e "$folder/.unpacked" ]; then
    unpack_debian
    touch "$folder/.unpacked"
  fi
  python=$(readlink -f "$folder/root/usr/bin/python3")
  version=${python##*/python} site=$folder/lib/${python##*/}/site-packages
  write_python "-L $folder/root" "$python"
  if [ ! -e "$folder/.wheels" ] || [ pyproject.toml -nt "$folder/.wheels" ]; then
    install_wheels
    touch "$folder/.wheels"
  fi
  cross_compile
else
  need qemu-x86_64 qemu-user
  write_python "-cpu $model,check=off" "$(readlink -f "$venv/bin/python")"
  ln -sfn "$venv/lib" "$folder/lib"
fi
