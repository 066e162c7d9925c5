#!/bin/sh
# Installs packages of Debian or Ubuntu: tools/apt_install.sh PACKAGE...
# Says what it will do before it does it. Where NONLIN_APT=no forbids it, where there is no apt-get, and where root's rights
# would take a password, it says so, changes nothing and fails.

refuse() { echo "Not installed: $packages, $1" >&2; exit 1; }

packages=$*
if [ "${NONLIN_APT:-yes}" != yes ]; then refuse "since NONLIN_APT is $NONLIN_APT"; fi
if ! command -v apt-get >/dev/null; then refuse "since there is no apt-get"; fi
if [ "$(id -u)" = 0 ]; then sudo=
elif sudo -n true 2>/dev/null; then sudo="sudo -n"
else refuse "which takes root's rights: apt-get install $packages"; fi

echo "About to run, as root: apt-get update; apt-get install $packages (NONLIN_APT=no forbids it)"
$sudo apt-get -q update
# An update that fails may leave lists that serve; the names are words.
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qy install $packages || refuse "since apt-get failed"
