#!/bin/sh
# with_build.sh PRESET COMMAND...: builds a preset of CMakePresets.json in build/PRESET, and runs the command on its package,
# with what a sanitizer needs at run time; PRESET valgrind is the installed package under valgrind. Reports go to files, which
# are shown at the end and make it fail: pytest would swallow them, and not every test minds how a process of its ends.
set -e
preset=$1
shift
bin=$(cd "${VENV:-.venv}/bin" && pwd)
folder=$PWD/build/$preset
reports=$folder/report

need() { command -v "$1" >/dev/null || tools/apt_install.sh "$2"; }  # PROGRAM PACKAGE

library() { "${CXX:-g++}" -print-file-name="$1"; }

if [ "$preset" = valgrind ]; then
  need valgrind valgrind
  mkdir -p "$folder"
else
  if [ "$preset" = clang ]; then need clang++ clang; fi
  tools/install_highway.sh
  "$bin/cmake" --preset "$preset" --log-level=WARNING
  "$bin/cmake" --build --preset "$preset"
  rm -rf "$folder/package"
  "$bin/cmake" --install "$folder" --prefix "$folder/package" >/dev/null
  cp -R python/nonlin "$folder/package"
  export PYTHONPATH="$folder/package"
fi
rm -f "$reports".*

case $preset in
  asan | tsan | valgrind)
    # malloc: each of Python's objects is a block of its own. The threads of OpenBLAS, which are not ours, only take time.
    export PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 NONLIN_TEST_PATIENCE="${NONLIN_TEST_PATIENCE:-20}"
    ;;
esac
# Python is not built with the sanitizer, so that its library has to be loaded first, and before it what it looks into.
case $preset in
  asan) # without leaks: Python has objects left at its end
    export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$reports"
    export UBSAN_OPTIONS="print_stacktrace=1"
    export LD_PRELOAD="$(library libasan.so) $(library libstdc++.so.6)"
    ;;
  tsan)
    export TSAN_OPTIONS="die_after_fork=0:allocator_may_return_null=1:log_path=$reports"
    export LD_PRELOAD="$(library libtsan.so) $(library libstdc++.so.6)"
    ;;
  valgrind) # shows an AVX2 machine to the processes, since it knows no AVX-512
    set -- valgrind --quiet --error-limit=no --trace-children=yes --trace-children-skip='/bin/*,/usr/bin/*,/sbin/*' \
      --log-file="$reports.%p" "$@"
    ;;
esac

status=0
"$@" || status=$?
for report in "$reports".*; do
  [ -s "$report" ] || continue
  if [ "$preset" = valgrind ]; then # Python, NumPy and others have reports of their own: of a block of lines, those that name us
    awk '/^==[0-9]+== *$/ {if (text ~ /_core\./) printf "%s\n", text; text = ""; next} {text = text $0 "\n"}
         END {if (text ~ /_core\./) printf "%s\n", text}' "$report" >"$report.ours"
    report=$report.ours
    [ -s "$report" ] || continue
  elif ! grep -q '^SUMMARY: ' "$report"; then # a warning that there is no memory, which tests ask for
    continue
  fi
  status=1
  cat "$report"
done
exit $status
