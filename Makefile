# On a fresh machine with Python (and its venv module), g++ and make, one command does everything:
#   make bench    build, then run the benchmark
#   make test     build, then run the tests
# Everything else, CMake and Ninja included, comes from pip and goes into $(VENV).

PYTHON ?= python3
VENV   ?= .venv
WERROR ?= ON
ARGS   ?=
SECONDS ?= 600

BIN     := $(VENV)/bin
DEPS    := $(VENV)/.deps
BUILT   := $(VENV)/.built
DOCS    := $(VENV)/.docs
SUITE   := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
SOURCES := $(shell find cpp cmake python -type f ! -name '*.pyc') CMakeLists.txt pyproject.toml README.md LICENSE
CXX_SOURCES := $(shell find cpp tests -name "*.h" -o -name "*.cc" -o -name "*.def")

# Prints the dependencies, and the requirements of the groups that follow: build, or extras of pyproject.toml.
REQUIREMENTS := $(BIN)/python tools/requirements.py

# Run Python with packages beside its own, in build/peers and build/recipes.
WITH_PEERS   := tools/with_packages.sh peers "torch==2.13.0 jax numexpr numba onnxruntime ai-edge-litert"
WITH_RECIPES := tools/with_packages.sh recipes "mpi4py mpich onnx pyarrow pyspark ray thinc"

# Some machines set these to make OpenBLAS take them for another CPU; benchmarks beside its products run without them.
unexport OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

.PHONY: all bench bench-peers benchmarks history test slow fuzz fuzz-calls ulp asan clang openmp tsan stress valgrind peers recipes check-all lint format stubs docs
.PHONY: wheel clean distclean
.PHONY: test-arm test-x86 test-Haswell test-EPYC test-Westmere test-Nehalem

all: $(BUILT)

bench: $(BUILT)
	$(BIN)/python -m nonlin.bench $(ARGS)

# Some cases beside all contenders that can be installed, with their errors, in one table.
bench-peers: $(BUILT)
	$(WITH_PEERS) $(BIN)/python -m nonlin.bench --peers $(ARGS)

COMPANY := product|attention|training|scikit

# Writes docs/benchmarks.md, its pictures, and the README's table, in three quarters of an hour: programs, with no library but
# torch in the process, then everything else.
benchmarks: $(BUILT)
	$(WITH_PEERS) $(BIN)/python -m nonlin.bench --full --only "^($(COMPANY))" --against torch --save build/company.json
	$(WITH_PEERS) $(BIN)/python -m nonlin.bench --full --only "^(?!$(COMPANY))" --seconds 1200 --save build/benchmarks.json --plot docs/roofline.png --bars docs/benchmark.png $(ARGS)
	$(BIN)/python tools/benchmark_page.py build/benchmarks.json build/company.json

# The main cases beside NumPy's formulas, kept for each release in bench/history/, and a picture of all releases.
history: $(BUILT)
	$(BIN)/python -m nonlin.bench --peers --against NumPy --save bench/history/$$($(BIN)/python -c "import nonlin; print(nonlin.__version__)").json $(ARGS)
	$(BIN)/python tools/history.py

test: $(BUILT)
	$(SUITE) $(ARGS)

# The tests that take too long for that.
slow: $(BUILT)
	$(SUITE) -m slow $(ARGS)

# Under qemu, a sample of each function's tests, and only tests of numbers and of what the system is asked for: the benchmark, the
# examples, the README and random calls take long and say nothing of an instruction set. SAMPLE=0/1 runs all the others.
SAMPLE ?= 0/8
EMULATED = build/$(1)/bin/python -m pytest -p no:cacheprovider --numprocesses auto --dist worksteal \
  --sample $(SAMPLE) $(foreach name,bench docs examples fuzz readme,--ignore tests/test_$(name).py) \
  --deselect tests/test_runtime.py::test_target_can_be_forced_and_passes ./tests $(ARGS)

# Cross-compiles nonlin for aarch64, and tests it with Debian's Python for arm64.
test-arm: $(DEPS)
	tools/emulation.sh arm64 $(VENV)
	build/arm64/bin/python -c 'import nonlin; assert nonlin.simd_target() == "NEON"'
	$(call EMULATED,arm64)

# The installed build on processors without AVX-512, and without AVX. Highway's SSE4 asks for AES too: on a Nehalem it is SCALAR.
test-x86: test-Haswell test-Westmere

test-Haswell test-EPYC: target = AVX2
test-Westmere: target = SSE4
test-Nehalem: target = SCALAR
test-Haswell test-EPYC test-Westmere test-Nehalem: test-%: $(BUILT)
	tools/emulation.sh $* $(VENV)
	build/$*/bin/python -c 'import nonlin; assert nonlin.simd_target() == "$(target)"'
	$(call EMULATED,$*)

# Random calls beside the formulas, for SECONDS; ARGS="--seed 1000" begins with other ones, "--only softmax" tries one function.
fuzz: $(BUILT)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

# Takes hours, and resumes where it was stopped.
ulp: $(BUILT)
	$(BIN)/python -m tools.ulp $(ARGS)

# Random calls with anything for arguments: every one returns, or raises what is documented.
fuzz-calls: $(BUILT)
	$(BIN)/python -m tests.fuzz_calls --seconds $(SECONDS) $(ARGS)

# The suite on builds in folders of their own: with the address and undefined-behaviour sanitizers, by clang, on OpenMP's threads.
# Without capture: the undefined-behaviour sanitizer writes to standard error, and ends the process.
asan clang openmp: $(DEPS)
	tools/with_build.sh $@ $(SUITE) $(if $(filter asan,$@),--capture=no) $(ARGS)

# The threading code alone, without Python; then the suite's tests of threads, under the thread sanitizer both.
tsan: stress
	tools/with_build.sh tsan $(SUITE) tests/test_threads.py tests/test_runtime.py $(ARGS)

# Competing callers of the threading code; CXX=clang++ selects the other compiler.
stress: $(DEPS)
	tools/install_highway.sh
	$(BIN)/cmake --fresh --preset stress --log-level=WARNING
	$(BIN)/cmake --build --preset stress
	TSAN_OPTIONS="halt_on_error=1 die_after_fork=0" build/stress/stress_threads

# Random calls of every function, right ones and any others, under valgrind, where they take 50 times as long.
valgrind: $(BUILT)
	tools/with_build.sh valgrind $(SUITE) tests/test_guard_pages.py tests/test_fuzz_calls.py -k "inside or anything" $(ARGS)

# The tests that compare with torch, JAX and the benchmark's other contenders, where these can be installed.
peers: $(BUILT)
	$(WITH_PEERS) $(SUITE) $(foreach name,bench docs fuzz jax linear_cross_entropy loss_values objects torch,tests/test_$(name).py) $(ARGS)

# The recipes of the documentation, with the packages that they are for; Spark's needs Java too.
recipes: $(BUILT)
	command -v java >/dev/null || tools/apt_install.sh default-jre-headless || echo "Spark's recipe is left out: there is no Java"
	$(WITH_RECIPES) $(SUITE) -m "slow or not slow" tests/test_recipes.py $(ARGS)

# The checks of all promises, one after another, in some hours; ARGS=--list shows them.
check-all: $(DEPS)
	$(BIN)/python tools/check_all.py $(ARGS)

# mypy twice: as users' type checkers see the package, and the sources whose signatures they see in stubs.
lint: $(DEPS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --exclude '_(linear|losses|softmax)\.pyi$$' --cache-dir .mypy_cache/sources python/nonlin
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(BIN)/zizmor --offline --quiet .github

format: $(DEPS)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_SOURCES)

# Run it after a change to the table of activations, to the functions of the extension, or to the signature of a public function.
stubs: $(BUILT)
	$(BIN)/python tools/stubs.py
	$(BIN)/ruff check --quiet --fix --ignore E501 python/nonlin/*.pyi
	$(BIN)/ruff format --quiet python/nonlin/*.pyi
	$(BIN)/python -m mypy.stubtest nonlin --mypy-config-file pyproject.toml --allowlist tools/stubtest.txt

docs: $(BUILT) $(DOCS)
	$(BIN)/sphinx-build -W --keep-going docs build/docs

# Builds, makes fit for other machines, and tests there as far as this one can show it; ARGS="-k module" tests a part.
wheel: $(DEPS)
	tools/install_highway.sh
	$(REQUIREMENTS) wheel > $(VENV)/requirements.txt
	$(BIN)/pip install --quiet -r $(VENV)/requirements.txt
	WERROR=$(WERROR) tools/wheel.sh $(VENV) $(ARGS)

clean:
	rm -rf build dist docs/generated $(BUILT) .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

$(DEPS): pyproject.toml tools/requirements.py
	$(PYTHON) -m venv $(VENV)
	$(REQUIREMENTS) build bench test lint > $(VENV)/requirements.txt
	$(BIN)/pip install --quiet -r $(VENV)/requirements.txt
	touch $@

$(DOCS): $(DEPS)
	$(REQUIREMENTS) docs > $(VENV)/requirements.txt
	$(BIN)/pip install --quiet -r $(VENV)/requirements.txt
	touch $@

# Without isolation, and in a build folder that stays, so that only changed files are recompiled.
$(BUILT): $(DEPS) $(SOURCES)
	tools/install_highway.sh
	$(BIN)/pip install --verbose --no-build-isolation --no-deps \
	  --config-settings=build-dir=build/{wheel_tag} --config-settings=cmake.define.NONLIN_WERROR=$(WERROR) .
	touch $@
