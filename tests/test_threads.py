"""Threads: how many, whose, and that nobody waits for one which does not run."""

import asyncio
import concurrent.futures
import contextvars
import ctypes
import ctypes.util
import functools
import itertools
import os
import platform
import sys
import sysconfig
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin._build import THREADS

from . import oracle
from .fresh import EMULATED, INSTRUMENTED, PATIENCE, printed
from .oracle import FLOATS, FUNCTIONS, LOSSES, Function, assert_same_bits

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
threaded = pytest.mark.skipif(THREADS == "none", reason="this build has no threads")
pool = pytest.mark.skipif(THREADS != "pool", reason="OpenMP's runtime does this its own way")

# In a fresh interpreter: `compute` is work for all threads, `helpers` counts new ones that are not Python's.
START = """
    import os, sys, threading, warnings
    import numpy as np
    import nonlin as nl
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads

    x = np.random.default_rng(0).standard_normal((1000, 1000)).astype(np.float32)
    y = np.empty_like(x)

    def compute(times=3):
        for _ in range(times):
            nl.gelu(x, out=y)
        return y.tobytes()

    def others():
        return len(os.listdir("/proc/self/task")) - threading.active_count()

    def helpers():
        return others() - before

    if "libtsan" in os.environ.get("LD_PRELOAD", ""):  # it has a thread of its own, from the first other one on
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        while len(os.listdir("/proc/self/task")) > 2:
            pass

    before = others()
"""


def test_set_and_get() -> None:
    for n in (1, 3, np.int64(2)):
        nl.set_num_threads(n)
        assert nl.get_num_threads() == n
    for bad in (0, -1):
        with pytest.raises(ValueError, match=str(bad)):
            nl.set_num_threads(bad)
    for bad in (1.5, "2", None):
        with pytest.raises(TypeError):
            nl.set_num_threads(bad)
    assert nl.get_num_threads() == 2


def test_context_manager() -> None:
    nl.set_num_threads(2)
    with nl.num_threads(3):
        assert nl.get_num_threads() == 3
        with nl.num_threads(1):
            assert nl.get_num_threads() == 1
        assert nl.get_num_threads() == 3
    assert nl.get_num_threads() == 2
    with pytest.raises(KeyError), nl.num_threads(3):
        raise KeyError
    assert nl.get_num_threads() == 2
    with pytest.raises(ValueError, match="0"), nl.num_threads(0):
        pass
    assert nl.get_num_threads() == 2


GET = "import nonlin; print(nonlin.get_num_threads())"


def test_default_from_the_environment() -> None:
    available = int(printed(GET))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert 1 <= available <= cores
    assert int(printed(GET, NONLIN_NUM_THREADS="1")) == 1
    assert int(printed(GET, OMP_NUM_THREADS="1")) == 1
    assert int(printed(GET, NONLIN_NUM_THREADS="1", OMP_NUM_THREADS="2")) == 1
    assert int(printed(GET, NONLIN_NUM_THREADS="2", OMP_NUM_THREADS="1")) == 1
    assert int(printed(GET, NONLIN_NUM_THREADS="1000")) == available  # the least of all
    assert int(printed(GET, OMP_NUM_THREADS="1,4")) == 1  # a list is for nested regions
    for useless in ("", "0", "-2", "many"):
        assert int(printed(GET, NONLIN_NUM_THREADS=useless)) == available


@linux
def test_default_from_the_affinity() -> None:
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
    assert int(printed(one + GET)) == 1


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_thread_count_does_not_change_bits(f: Function, rng: np.random.Generator) -> None:
    for dtype, n in ((np.float32, 300_007), (np.float64, 150_001), *((t, 150_001) for t in oracle.HALVES)):
        arguments = f.points(rng, n, dtype)
        results = []
        for threads in (1, 2, 3):
            nl.set_num_threads(threads)
            results.append(f.public(*arguments))
        for result in results[1:]:
            assert_same_bits(result, results[0])


@pytest.mark.parametrize("shape", [(3000, 100), (40_000, 7), (2, 150_000), (1, 400_000)])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("dtype", oracle.FLOATS, ids=str)
def test_thread_count_does_not_change_bits_of_rows(dtype: Any, axis: int, shape: Any, rng: np.random.Generator) -> None:
    if axis == 0:
        shape = shape[::-1]
    x = rng.standard_normal(shape).astype(dtype)
    targets = rng.integers(0, shape[axis], np.delete(shape, axis))

    def everything() -> tuple[np.ndarray, ...]:
        y, log_y, lse = nl.softmax(x, axis), nl.log_softmax(x, axis), nl.logsumexp(x, axis)
        backward = [nl.softmax_backward(x, y, axis), nl.log_softmax_backward(x, log_y, axis)]
        return (
            y,
            log_y,
            lse,
            *backward,
            nl.logsumexp_backward(lse, x, axis),
            *nl.cross_entropy_with_grad(x, targets, axis=axis),
        )

    results = []
    for threads in (1, 2, 3, 4):
        nl.set_num_threads(threads)
        results.append(everything())
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_many_python_threads_at_once(rng: np.random.Generator) -> None:
    nl.set_num_threads(2)
    x = rng.standard_normal((200, 1000)).astype(np.float32)
    targets = rng.integers(0, 1000, 200)
    expected = nl.gelu(x), nl.softmax(x), *nl.cross_entropy_with_grad(x, targets)
    start = threading.Barrier(8)

    def work(_: int) -> None:
        start.wait(timeout=30 * PATIENCE)
        for _ in range(5):
            assert_same_bits((nl.gelu(x), nl.softmax(x), *nl.cross_entropy_with_grad(x, targets)), expected)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def calls_of_everything() -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Each function of the tables, with arguments."""
    rng = np.random.default_rng(20)
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
    for i, f in enumerate(FUNCTIONS.values()):
        # More than a table of 16-bit results has.
        calls += [(f.public, f.points(rng, (300, 250), dtype)) for dtype in (FLOATS[i % 4], np.dtype(np.float16))]
        calls.append((f.public, tuple(a[:, ::2] for a in f.points(rng, (20, 30), np.float32))))
    for dtype in FLOATS:
        x, g = rng.standard_normal((2, 50, 70)).astype(dtype)
        mask = rng.random(x.shape) < 0.7
        for name in ("softmax", "log_softmax"):
            function, backward = getattr(nl, name), getattr(nl, name + "_backward")
            calls += [(function, (x,)), (functools.partial(function, axis=0, where=mask), (x,))]
            calls += [(backward, (g, x)), (getattr(nl, name + "_jacobian"), (x[:5],))]
        calls += [(nl.logsumexp, (x,)), (nl.logsumexp_backward, (g[:, 0], x)), (nl.logsumexp_partial, (x,))]
    for loss, dtype in itertools.product(LOSSES, (np.float16, np.float32)):
        given = loss.problem(rng, (40, 30), dtype=dtype)
        options = loss.keywords(rng, (40, 30), -1, loss.choices()[-1], dtype)
        forward, backward, *with_grad = loss.functions()
        for keywords in ({}, options):
            calls += [(functools.partial(f, **keywords), tuple(given)) for f in (forward, *with_grad)]
            calls.append((functools.partial(backward, **keywords), (np.float32(0.75), *given)))
    x, weight = rng.standard_normal((60, 20)), rng.standard_normal((30, 20))
    calls.append((nl.linear_cross_entropy_with_grad, (x, weight, rng.integers(0, 30, 60))))
    return calls


def bytes_of(result: Any) -> list[bytes]:
    """Of an array, or of arrays in tuples."""
    return [b for part in result for b in bytes_of(part)] if isinstance(result, tuple) else [np.asarray(result).tobytes()]


def differences_at_once(threads: int) -> list[str]:
    """Calls everything in many threads, each of which begins elsewhere, and names the calls whose bits differ.

    Half of the threads share their arrays, the others have copies. In a fresh interpreter the first calls are among them.
    """
    calls = calls_of_everything()
    results: list[list[Any]] = [[None] * len(calls) for _ in range(threads)]
    start = threading.Barrier(threads)

    def work(i: int) -> None:
        start.wait(timeout=60)
        for k in range(len(calls)):
            place = (k + i * len(calls) // threads) % len(calls)
            function, given = calls[place]
            results[i][place] = function(*(given if i % 2 == 0 else [np.copy(a) for a in given]))

    nl.set_num_threads(3)
    with concurrent.futures.ThreadPoolExecutor(threads) as executor:
        list(executor.map(work, range(threads)))
    differing = []
    for place, (function, given) in enumerate(calls):
        expected = bytes_of(function(*given))
        if any(bytes_of(one[place]) != expected for one in results):
            differing.append(f"{place}: {function}")
    return differing


@pytest.mark.parametrize("threads", [pytest.param(2, marks=pytest.mark.slow), 8])
def test_every_function_in_many_threads_at_once(threads: int) -> None:
    code = f"""
    import sys
    sys.path.insert(0, "..")
    from tests.test_threads import differences_at_once
    print(differences_at_once({threads}))
    """
    assert printed(code) == "[]"


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has its lock")
def test_importing_leaves_the_global_lock_off() -> None:
    assert printed("import sys, nonlin; print(sys._is_gil_enabled())") == "False"


def test_setting_threads_while_others_compute(rng: np.random.Generator) -> None:
    x = rng.standard_normal(200_000)
    expected = nl.tanh(x)

    def work(i: int) -> None:
        nl.set_num_threads(1 + i % 4)
        assert_same_bits(nl.tanh(x), expected)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))


# Contexts


def test_a_block_holds_in_its_thread_alone() -> None:
    """Blocks that overlap in time leave the number as it was."""
    nl.set_num_threads(2)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def first() -> None:
        with nl.num_threads(1):
            first_in.set()
            second_in.wait(timeout=30 * PATIENCE)
            seen.append(nl.get_num_threads())
        first_out.set()

    def second() -> None:
        first_in.wait(timeout=30 * PATIENCE)
        seen.append(nl.get_num_threads())
        with nl.num_threads(3):
            second_in.set()
            first_out.wait(timeout=30 * PATIENCE)
            seen.append(nl.get_num_threads())
        seen.append(nl.get_num_threads())

    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        for future in [executor.submit(first), executor.submit(second)]:
            future.result()
    assert seen == [2, 1, 3, 2]
    assert nl.get_num_threads() == 2


def test_a_block_holds_in_its_task_alone() -> None:
    async def task(n: int) -> list[int]:
        seen = []
        with nl.num_threads(n):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(nl.get_num_threads())
            seen.append(await asyncio.to_thread(nl.get_num_threads))
        return [*seen, nl.get_num_threads()]

    async def main() -> tuple[list[int], list[int]]:
        first, second = await asyncio.gather(task(3), task(4))
        return first, second

    nl.set_num_threads(2)
    assert asyncio.run(main()) == ([3, 3, 3, 3, 2], [4, 4, 4, 4, 2])
    with nl.num_threads(3):
        context = contextvars.copy_context()
    assert context.run(nl.get_num_threads) == 3
    assert nl.get_num_threads() == 2


def test_setting_inside_a_block_is_the_blocks() -> None:
    nl.set_num_threads(2)
    with nl.num_threads(3):
        nl.set_num_threads(4)
        assert nl.get_num_threads() == 4
        with nl.num_threads(1):
            nl.set_num_threads(5)
        assert nl.get_num_threads() == 4
    assert nl.get_num_threads() == 2


@linux
@threaded
@pytest.mark.parametrize(
    "call",
    [
        "nl.tanh(x)",
        "nl.tanh(x[:, ::2])",
        "nl.leaky_relu(x, 0.2)",
        "nl.swiglu.outer(x[0, :3], x)",
        "nl.softmax(x)",
        "nl.softmax(x[:, ::2], axis=0)",
        "nl.softmax(x, where=x > 0)",
        "nl.softmax_backward(x, x)",
        "nl.cross_entropy(x, t)",
        "nl.cross_entropy(x[:, ::2], t // 2)",
        "nl.cross_entropy_with_grad(x, t, weight=x[0])",
        "nl.cross_entropy(np.broadcast_to(x[:, :1], (1000, 1)), np.zeros(1000, int), ignore_index=0)",
        "nl.binary_cross_entropy_with_logits(x, x)",
    ],
)
def test_calls_keep_to_the_block(call: str) -> None:
    """A call of one thread makes no other, whichever way it takes; the same call outside does."""
    code = f"""
    t = np.arange(1000)
    nl.set_num_threads(4)
    with nl.num_threads(1):
        for _ in range(20):
            {call}
        alone = helpers()
    nl.set_num_threads(1)
    with nl.num_threads(3):
        for _ in range(20):
            {call}
    print(alone, helpers())
    """
    alone, together = map(int, printed(START + code).split())
    assert alone == 0
    assert together <= 2
    # A sanitizer slows calls down until they are no streak, for which alone leaky_relu wakes a thread.
    if "[:, :1]" not in call and not (INSTRUMENTED and "leaky_relu" in call):
        assert together > 0


# threadpoolctl


@linux
@threaded
@pytest.mark.parametrize("first", ["threadpoolctl", "nonlin"])
def test_threadpoolctl_sees_and_limits(first: str) -> None:
    pytest.importorskip("threadpoolctl", minversion="3.2")
    code = """
    import threadpoolctl

    nl.set_num_threads(3)
    with threadpoolctl.threadpool_limits(1):
        compute()
        assert helpers() == 0 and nl.get_num_threads() == 1
    with threadpoolctl.threadpool_limits(2, user_api="nonlin"):
        compute()
        assert helpers() == 1 and nl.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert nl.get_num_threads() == 3
    (info,) = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "nonlin"]
    assert (info["num_threads"], info["version"]) == (3, nl.__version__)
    print("done", *[type(finder).__name__ for finder in sys.meta_path].count("_WhenImported") * ["hook"])
    """
    assert printed(f"    import {first}\n" + START + code) == "done"


# Faults of the system


@linux
@threaded
@pool
@pytest.mark.skipif(INSTRUMENTED, reason="limits memory, of which a sanitizer needs more")
def test_without_more_threads_it_goes_on() -> None:
    """The system refuses memory for a stack: the caller works alone, and with others once it can have them."""
    code = """
    import resource
    expected = nl.gelu(x).tobytes() if nl.set_num_threads(1) is None else None
    nl.set_num_threads(4)
    pages = int(open("/proc/self/statm").read().split()[0])
    limits = pages * 4096 + (7 << 20), resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, limits)
    if resource.getrlimit(resource.RLIMIT_AS) != limits:
        print("no limit")
        sys.exit()
    same = compute(20) == expected
    alone = helpers()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while helpers() == 0:  # after a second it tries again
        same &= compute() == expected
    print(same, alone)
    """
    result = printed(START + code)
    if result == "no limit":
        pytest.skip("nothing limits the memory here, as under qemu")
    assert result.split() == ["True", "0"]


@linux
@threaded
@pool
def test_a_stopped_worker_holds_up_no_call() -> None:
    """A thread that has not begun is not waited for: a debugger stops the workers, and calls still end."""
    code = """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    PR_SET_PTRACER, ANY, SEIZE, INTERRUPT, WALL = 0x59616D61, ctypes.c_ulong(-1), 0x4206, 0x4207, 0x40000000
    nl.set_num_threads(3)
    known = set(os.listdir("/proc/self/task"))
    expected = compute()
    workers = [int(t) for t in set(os.listdir("/proc/self/task")) - known]
    assert len(workers) == 2
    def is_asleep(worker):  # and holds no lock
        with open(f"/proc/self/task/{worker}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"
    while not all(map(is_asleep, workers)):
        pass
    libc.prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
    stopped, go_on = os.pipe(), os.pipe()
    if os.fork() == 0:
        verdict = b"y"
        for worker in workers:
            if libc.ptrace(SEIZE, worker, None, None) or libc.ptrace(INTERRUPT, worker, None, None):
                verdict = b"n"
            elif os.waitpid(worker, WALL)[0] != worker:
                verdict = b"n"
        os.write(stopped[1], verdict)
        os.read(go_on[0], 1)  # they run again when this process ends
        os._exit(0)
    if os.read(stopped[0], 1) != b"y":
        os.write(go_on[1], b"x")
        print("not permitted")
        sys.exit()
    same = all(compute(1) == expected and nl.softmax(x).sum() > 0 for _ in range(50))
    os.write(go_on[1], b"x")
    os.wait()
    print(same and all(compute(1) == expected for _ in range(50)))
    """
    result = printed(START + code)
    if result == "not permitted":
        pytest.skip("no ptrace here")
    assert result == "True"


@linux
@threaded
@pytest.mark.parametrize(
    "environment", [{"OMP_PROC_BIND": "true"}, {"OMP_PLACES": "cores"}, {"OMP_PROC_BIND": "close", "OMP_PLACES": "threads"}]
)
def test_pinning_by_openmp_leaves_the_threads(environment: dict[str, str]) -> None:
    get = "import nonlin; print(nonlin.get_num_threads())"
    assert printed(get, **environment) == printed(get)


@linux
@threaded
@pool
@pytest.mark.skipif(nl.get_num_threads() < 2, reason="needs two CPUs")
def test_workers_are_not_pinned_with_the_caller() -> None:
    code = """
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    known = set(os.listdir("/proc/self/task"))
    nl.set_num_threads(2)
    compute()
    (worker,) = set(os.listdir("/proc/self/task")) - known
    print(bool(os.sched_getaffinity(int(worker)) - {min(cpus)}))
    """
    assert printed(START + code) == "True"


@pytest.mark.skipif(sys.platform == "win32", reason="sets the mode through the C library of Unixes")
def test_all_threads_round_to_nearest() -> None:
    """Rounding and the treatment of sub-normal numbers, which other libraries set, have no effect on any thread."""
    upward = {"x86_64": 0x800, "AMD64": 0x800, "aarch64": 0x400000, "arm64": 0x400000}.get(platform.machine())
    library = ctypes.CDLL(ctypes.util.find_library("m") or None)
    if upward is None or not hasattr(library, "fesetround"):
        pytest.skip("no rounding mode known here")
    x = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)
    usual = nl.silu(x).tobytes()
    with nl.num_threads(3):
        library.fesetround(upward)
        try:
            results = [nl.silu(x).tobytes() for _ in range(20)]
        finally:
            library.fesetround(0)
    assert results == [usual] * 20


@linux
@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows where the mode is in x86's environment")
def test_no_thread_flushes_sub_normal_numbers() -> None:
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    environment = (ctypes.c_uint32 * 8)()  # of fenv.h; the last word is MXCSR
    x = np.full(1 << 20, 1e-39, np.float32)
    with nl.num_threads(3):
        nl.relu(x)  # workers are born before the mode is set
        library.fegetenv(environment)
        environment[7] |= 0x8040  # FTZ, DAZ
        library.fesetenv(environment)
        try:
            flushed = [np.unique(nl.leaky_relu(x, 1.5).view(np.uint32)).size for _ in range(20)]
        finally:
            environment[7] &= ~0x8040
            library.fesetenv(environment)
        kept = [np.unique(nl.leaky_relu(x, 1.5).view(np.uint32)).size for _ in range(20)]
    assert flushed == kept == [1] * 20


@linux
@threaded
@pool
def test_one_set_of_workers_whoever_calls() -> None:
    code = """
    import concurrent.futures
    nl.set_num_threads(4)
    start = threading.Barrier(32)

    def work(_):
        start.wait(timeout=600)
        z = np.empty_like(x)
        for _ in range(3):
            nl.gelu(x, out=z)
        start.wait(timeout=600)
        return z.tobytes(), helpers()

    expected = compute()
    with concurrent.futures.ThreadPoolExecutor(32) as executor:
        results = list(executor.map(work, range(32)))
    print(all(bits == expected for bits, _ in results), max(count for _, count in results))
    """
    assert printed(START + code).split() == ["True", "3"]


@linux
@threaded
def test_small_stacks() -> None:
    """Of OpenMP's threads, of all new ones, and of Python's."""
    code = """
    import ctypes
    attributes = ctypes.create_string_buffer(64)
    libc = ctypes.CDLL(None)
    libc.pthread_attr_init(attributes)
    libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(1 << 14))
    if hasattr(libc, "pthread_setattr_default_np"):
        libc.pthread_setattr_default_np(attributes)
    nl.set_num_threads(4)
    wide = np.ones((4, 200_000), np.float32)
    t = np.arange(1000) % 500

    def everything():
        for a in (x, x[:, ::2], x[::-1], x.astype(np.float16), x.astype(np.float64)[:, 1::2]):
            for f in (nl.gelu, nl.mish, nl.softplus, nl.softmax, nl.log_softmax, nl.logsumexp):
                f(a)
            nl.swiglu_backward(a, a, a)
            nl.geglu(a, a[:, :1])
            nl.softmax(a, axis=0)
            nl.softmax(a, where=a > 0)
        for a in (x, x[:, ::2]):
            nl.cross_entropy_with_grad(a, t)
            nl.nll_loss(a, t)
            nl.kl_divergence_with_logits_with_grad(np.abs(a), a)
        nl.softmax(wide)
        nl.logsumexp(wide)
        nl.cross_entropy_with_grad(wide, [1, 2, 3, 4])
        compute()

    everything()
    threading.stack_size(1 << 18)
    thread = threading.Thread(target=everything)
    thread.start()
    thread.join()
    print("done")
    """
    assert printed(START + code, OMP_STACKSIZE="16k") == "done"


@linux
@threaded
def test_exit_in_the_middle_of_calls() -> None:
    code = """
    nl.set_num_threads(4)
    begun = threading.Barrier(4)

    def work():
        z = np.empty_like(x)
        nl.gelu(x, out=z)
        begun.wait()
        while True:
            nl.softmax(nl.gelu(x), out=z)

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    begun.wait()
    print("done")
    """
    for _ in range(3):
        assert printed(START + code) == "done"


# Forks


FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
QEMU_FORKS = pytest.mark.skipif(EMULATED, reason="qemu 7.2 lets no thread begin in a fork of a process that has threads")


@FORKS
@QEMU_FORKS
@linux
@threaded
@pytest.mark.parametrize("policy", ["", "active"])
def test_children_compute_with_threads(policy: str) -> None:
    """Of forks, and of forks of forks."""
    code = """
    nl.set_num_threads(2)
    expected = compute(), nl.softmax(x).tobytes()

    def check():
        assert helpers() == 0, helpers()
        same = (compute(), nl.softmax(x).tobytes()) == expected
        return same and helpers() == 1

    for generation in range(2):
        child = os.fork()
        if child == 0:
            before = others()
            fine = check()
            grandchild = os.fork()
            if grandchild == 0:
                before = others()
                os._exit(0 if fine and check() else 1)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert compute() == expected[0]
    print("done")
    """
    assert printed(START + code, **({"OMP_WAIT_POLICY": policy} if policy else {})) == "done"


@FORKS
@QEMU_FORKS
@linux
@threaded
@pool
def test_fork_in_the_middle_of_calls() -> None:
    """Of other threads, whose calls the child does not have; it computes with threads all the same."""
    code = """
    nl.set_num_threads(3)
    expected = compute()
    stop = threading.Event()

    def work():
        z = np.empty_like(x)
        while not stop.is_set():
            nl.softmax(nl.gelu(x, out=z), out=z)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]  # a failure ends all
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            before = others()
            os._exit(0 if compute() == expected and helpers() == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    for thread in threads:
        thread.join()
    print("done")
    """
    assert printed(START + code) == "done"


def test_fork_from_another_thread_and_multiprocessing() -> None:
    code = """
        import multiprocessing, threading
        import numpy as np
        import nonlin as nl

        def work(seed):
            x = np.random.default_rng(seed).standard_normal((1000, 1000))
            return float(nl.softmax(nl.gelu(x)).sum())

        if __name__ == "__main__":
            nl.set_num_threads(2)
            work(0)
            thread = threading.Thread(target=work, args=(1,))
            thread.start()
            thread.join()
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert all(abs(total - 1000) < 1e-6 for total in pool.map(work, range(4)))
            print("done")
    """
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    assert printed(code) == "done"
