#!/bin/sh
# Gets Highway from apt, where it is missing and apt-get may be used without asking for a password.
# Anywhere else this does nothing: CMake then downloads Highway, or says what to install.

has_highway() { echo '#include <hwy/highway.h>' | "${CXX:-g++}" -E -x c++ - >/dev/null 2>&1; }

if has_highway; then exit 0; fi
"$(dirname "$0")/apt_install.sh" libhwy-dev || echo "Leaving Highway to CMake"
