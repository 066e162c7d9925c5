"""Memory, instruction sets, configuration, warnings."""

import asyncio
import concurrent.futures
import gc
import os
import pickle
import queue
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy._core import multiarray

import nonlin as nl
from nonlin import _core

from . import oracle
from .conftest import sample
from .fresh import EMULATED, INSTRUMENTED, PATIENCE, TESTS, printed, run
from .oracle import FUNCTIONS, Function, assert_same_bits

# Reuse of memory

MB = 1 << 20


def kept(buffers: nl.reuse_buffers) -> int:
    """How much memory waits to be handed out."""
    return _core.kept_bytes(buffers._handler)


def address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


def make(size: int) -> np.ndarray:
    return np.empty(size, np.uint8)


def test_memory_is_reused() -> None:
    before = _core.data_handler()
    with nl.reuse_buffers() as buffers:
        x = make(2 * MB)
        first = address(x)
        assert first % 64 == 0
        assert kept(buffers) == 0
        del x
        assert kept(buffers) == 2 * MB
        half = make(MB)  # would waste too much of it
        assert kept(buffers) == 2 * MB
        x = make(2 * MB - 1000)
        assert address(x) == first
        assert kept(buffers) == 0
        y = nl.relu(x.view(np.float32)[:1])  # too small
        z = nl.relu(np.ones(MB // 2, np.float32))  # of two new blocks, one is left
        assert kept(buffers) == 2 * MB
        del x, y, z, half
        assert kept(buffers) == 7 * MB
        small = [make(size) for size in (0, 1, 1000, MB - 1)]  # NumPy's
        small[1].resize(4 * MB)
        del small
        nl.relu(np.ones(MB // 2, np.float32))
        assert kept(buffers) == 7 * MB
    assert kept(buffers) == 0
    assert _core.data_handler() is before


def test_kept_memory_is_bounded() -> None:
    with nl.reuse_buffers(max_bytes=5 * MB) as buffers:
        arrays = [make(size * MB) for size in (1, 2, 3, 4, 6)]
        sizes = []
        while arrays:
            del arrays[0]
            sizes.append(kept(buffers) // MB)
        assert sizes == [1, 3, 5, 4, 4]  # what was freed first makes room; what is too large is not kept
    with nl.reuse_buffers(0) as buffers:
        x = make(MB)
        del x
        assert kept(buffers) == 0


def test_zeros_are_zero_and_nothing_is_shared() -> None:
    with nl.reuse_buffers() as buffers:
        np.full(2 * MB, 7, np.uint8)
        assert kept(buffers) == 2 * MB
        x = np.zeros(2 * MB, np.uint8)
        assert kept(buffers) == 0
        assert not x.any()
        y = x.copy()
        y += 1
        assert not x.any()
        assert y.all()


def test_resize_keeps_the_content(rng: np.random.Generator) -> None:
    content = rng.integers(0, 256, 4 * MB, np.uint8)
    for start, end in ((100, 2 * MB), (MB, 3 * MB), (3 * MB, MB), (3 * MB, 3 * MB - 10), (3 * MB, 10), (MB, MB + 100)):
        with nl.reuse_buffers():
            x = content[:start].copy()
            x.resize(end, refcheck=False)
            common = min(start, end)
            np.testing.assert_array_equal(x[:common], content[:common])
            assert not x[common:].any()
    with nl.reuse_buffers():
        grown = np.fromiter((i % 251 for i in range(3 * MB)), np.uint8)
    np.testing.assert_array_equal(grown, np.arange(3 * MB) % 251)


def test_arrays_outlive_the_block(rng: np.random.Generator) -> None:
    x = rng.standard_normal(MB)
    with nl.reuse_buffers() as buffers:
        y = nl.tanh(x)
        np.empty(MB)
        assert kept(buffers) == 8 * MB
    assert kept(buffers) == 0
    assert_same_bits(y, nl.tanh(x))
    y.resize(2 * MB, refcheck=False)  # by a handler that is closed
    assert_same_bits(y[:MB], nl.tanh(x))
    del y
    assert kept(buffers) == 0
    with nl.reuse_buffers():
        y = nl.tanh(x)
    del buffers
    gc.collect()  # only y holds the handler now
    assert_same_bits(y, nl.tanh(x))
    del y


def test_plain_call_lasts_until_close() -> None:
    before = _core.data_handler()
    buffers = nl.reuse_buffers()
    make(MB)
    assert kept(buffers) == MB
    with buffers as same:
        assert same is buffers
        first, second = address(make(MB)), address(make(MB))
        assert first == second
    assert kept(buffers) == 0
    assert _core.data_handler() is before
    buffers.close()
    with pytest.raises(ValueError, match="closed"), buffers:
        pass
    assert _core.data_handler() is before


def test_blocks_nest() -> None:
    before = _core.data_handler()
    with nl.reuse_buffers() as outer:
        x = make(MB)
        with nl.reuse_buffers() as inner:
            make(2 * MB)
            del x
            assert (kept(outer), kept(inner)) == (MB, 2 * MB)
        assert (kept(outer), kept(inner)) == (MB, 0)
        make(3 * MB)
        assert (kept(outer), kept(inner)) == (4 * MB, 0)
        with pytest.raises(KeyError), nl.reuse_buffers():
            raise KeyError
        make(4 * MB)
        assert kept(outer) == 8 * MB
    assert _core.data_handler() is before
    first, second = nl.reuse_buffers(), nl.reuse_buffers()
    first.close()  # out of order
    make(MB)
    assert (kept(first), kept(second)) == (0, MB)
    second.close()
    make(MB)
    assert (kept(first), kept(second)) == (0, 0)
    _core.set_data_handler(before)


@pytest.mark.parametrize("bad", [-1, 1.5, "1", None])
def test_invalid_max_bytes(bad: Any) -> None:
    before = _core.data_handler()
    with pytest.raises(ValueError if bad == -1 else TypeError, match=f"max_bytes is {bad!r}; it takes an integer of 0"):
        nl.reuse_buffers(max_bytes=bad)
    assert _core.data_handler() is before
    with nl.reuse_buffers(2**100):
        make(MB)


def test_reuse_belongs_to_its_thread_but_arrays_do_not() -> None:
    before = _core.data_handler()
    with nl.reuse_buffers() as buffers, concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(make, MB).result()
        assert kept(buffers) == 0
        arrays = [make(MB)]
        pool.submit(arrays.clear).result()
        assert kept(buffers) == MB
        pool.submit(buffers.close).result()
        assert kept(buffers) == 0
        make(MB)
        assert kept(buffers) == 0
    assert _core.data_handler() is before


def test_tasks_inherit_reuse() -> None:
    async def work(buffers: nl.reuse_buffers, own: bool) -> None:
        if own:
            with nl.reuse_buffers() as mine:
                await asyncio.sleep(0)
                make(3 * MB)
                await asyncio.sleep(0)
                assert kept(mine) == 3 * MB
        else:
            await asyncio.to_thread(lambda: make(2 * MB).size)
            assert kept(buffers) == 2 * MB
            await asyncio.sleep(0)

    async def main() -> None:
        with nl.reuse_buffers() as buffers:
            await asyncio.gather(work(buffers, False), work(buffers, True), work(buffers, True))
            late = asyncio.create_task(work(buffers, True))
        await late

    before = _core.data_handler()
    asyncio.run(main())
    assert _core.data_handler() is before


def test_many_threads_reuse_at_once() -> None:
    """Eight threads, most of whose arrays are freed by another one."""
    buffers = nl.reuse_buffers(max_bytes=20 * MB)
    handed_on: queue.SimpleQueue[tuple[int, np.ndarray]] = queue.SimpleQueue()

    def work(seed: int) -> None:
        _core.set_data_handler(buffers._handler)
        rng = np.random.default_rng(seed)
        for i in range(40):
            size = int(rng.integers(MB // 2, 4 * MB))
            mark = (seed * 100 + i) % 251
            x = np.zeros(size, np.uint8) if i % 2 else make(size)
            assert not (i % 2 and x.any())
            x[:] = mark
            if i % 10 == 0:
                x.resize(size + MB, refcheck=False)
                x[size:] = mark
            handed_on.put((mark, x))
            del x
            mark, other = handed_on.get()
            assert (other == mark).all()
            assert kept(buffers) <= 20 * MB

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert kept(buffers) > 0
    buffers.close()
    assert kept(buffers) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_other_threads_reuse() -> None:
    code = """
        import os, threading, warnings
        import numpy as np
        import nonlin as nl
        from nonlin import _core
        warnings.simplefilter("ignore", DeprecationWarning)

        buffers = nl.reuse_buffers()
        x = np.full(1 << 20, 3, np.uint8)
        np.zeros(1 << 21, np.uint8)
        stop = threading.Event()

        def work():
            _core.set_data_handler(buffers._handler)
            while not stop.is_set():
                np.empty(1 << 20, np.uint8)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                y = np.zeros(1 << 21, np.uint8)
                y += x[0]
                fine = y.all() and (x == 3).all()
                del y
                buffers.close()
                os._exit(0 if fine and _core.kept_bytes(buffers._handler) == 0 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        print("done")  # and the interpreter ends with reuse switched on
    """
    assert printed(code) == "done"


# Memory of results

OF_RESULTS = _core.handler_of_results()


def kept_results() -> int:
    return _core.kept_bytes(OF_RESULTS)


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """Begins and ends without kept memory of results."""
    gc.collect()
    _core.give_back(OF_RESULTS)
    yield
    gc.collect()
    _core.give_back(OF_RESULTS)


def owner(x: np.ndarray) -> str | None:
    return multiarray.get_handler_name(x)


def by_handler_of_results(make: Callable[[], Any]) -> Any:
    before = _core.data_handler()
    _core.set_data_handler(OF_RESULTS)
    try:
        return make()
    finally:
        _core.set_data_handler(before)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_large_elementwise_results_have_kept_memory(f: Function) -> None:
    before = _core.data_handler()
    x = [np.ones(MB // 4, np.float32)] * len(f.inputs)
    results, small = (f.public(*arrays) for arrays in (x, [a[:1000] for a in x]))
    for y, z in zip(*(a if f.outputs > 1 else (a,) for a in (results, small)), strict=True):
        assert owner(y) == "nonlin_results"
        assert y.flags.owndata
        assert owner(z) == "default_allocator"
    assert _core.data_handler() is before
    assert owner(x[0] + 1) == owner(x[0]) == "default_allocator"


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_results_of_rows_have_kept_memory(order: Any) -> None:
    before = _core.data_handler()
    x = np.ones((MB // 8, 2), np.float32, order)
    where = np.ones(x.shape, np.bool_)
    results = [
        nl.softmax(x),
        nl.log_softmax(x, where=where),
        nl.softmax(x, axis=(0, 1)),
        nl.softmax_backward(x, x),
        nl.logsumexp_backward(np.ones(len(x), np.float32), x),
        nl.logsumexp(x.reshape(-1, 1)),
        *nl.logsumexp_partial(x.reshape(-1, 1)),
    ]
    assert [owner(y) for y in results] == ["nonlin_results"] * len(results)
    assert owner(nl.softmax(x[:100])) == owner(x + 1) == "default_allocator"
    assert _core.data_handler() is before


@pytest.mark.parametrize("loss", _core.losses(), ids=lambda loss: loss["name"])
def test_large_gradients_have_kept_memory(loss: dict[str, Any]) -> None:
    x = np.full((512, 512), 0.5, np.float32)
    target = np.zeros(512, np.int64) if loss["kind"] == "targets" else x
    assert owner(getattr(nl, loss["name"] + "_backward")(1.0, x, target)) == "nonlin_results"
    assert owner(getattr(nl, loss["name"] + "_backward")(1.0, x[:9], target[:9])) == "default_allocator"
    if loss["with_grad"]:
        assert owner(getattr(nl, loss["name"] + "_with_grad")(x, target)[1]) == "nonlin_results"


@pytest.mark.usefixtures("nothing_kept")
def test_memory_of_results_is_reused() -> None:
    x = np.full(2 * MB, 3, np.float32)
    first = nl.relu(x)
    place, expected = address(first), first.copy()
    del first
    assert kept_results() == 8 * MB
    for f in (nl.relu, lambda x: nl.softmax(x.reshape(2, -1)), nl.relu):
        y = f(x)
        assert address(y) == place
        assert kept_results() == 0
        del y
        assert kept_results() == 8 * MB
    y = nl.relu(x)
    y.resize(3 * MB)  # still in kept memory, elsewhere
    assert owner(y) == "nonlin_results"
    assert_same_bits(y[: 2 * MB], expected)
    assert not y[2 * MB :].any()
    z = pickle.loads(pickle.dumps(y))
    assert_same_bits(z, y)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        w = nl.relu(x)
        assert tracemalloc.get_traced_memory()[0] - before >= w.nbytes
        del w
        assert tracemalloc.get_traced_memory()[0] - before < MB
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("nothing_kept")
def test_kept_memory_of_results_is_bounded() -> None:
    for size, most in ((100, 200), (300, 0), (60, 240), (0.25, 256)):
        _core.give_back(OF_RESULTS)
        number = 5 if size > 1 else 1100
        arrays = by_handler_of_results(lambda: [make(int(size * MB)) for _ in range(number)])  # noqa: B023
        assert kept_results() == 0
        del arrays
        assert kept_results() == most * MB
    code = """
        import numpy as np
        import nonlin as nl
        from nonlin import _core
        y = nl.relu(np.ones(1 << 20))
        del y
        print(_core.kept_bytes(_core.handler_of_results()))
    """
    for limit, most in (("0", 0), ("8388607", 0), ("8388608", 8388608), ("", 8388608), ("many", 8388608)):
        assert printed(code, NONLIN_KEPT_BYTES=limit) == str(most)


def lazily_freed() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith("LazyFree:"))


@pytest.mark.skipif(EMULATED or not os.path.exists("/proc/self/smaps_rollup"), reason="not told here")
@pytest.mark.usefixtures("nothing_kept")
def test_the_system_may_take_most_of_what_is_kept() -> None:
    before = lazily_freed()
    x = np.ones(4 * MB, np.float32)
    arrays = [nl.relu(x) for _ in range(4)]
    assert lazily_freed() == before
    del arrays[:2]
    assert lazily_freed() == before  # 32 MB stay ready
    del arrays
    assert lazily_freed() - before == 32 * MB
    assert kept_results() == 64 * MB
    again = [nl.relu(x) for _ in range(4)]
    assert kept_results() == 0
    assert lazily_freed() == before
    assert all((y == 1).all() for y in again)
    del again
    zeros = by_handler_of_results(lambda: [np.zeros(4 * MB, np.float32) for _ in range(4)])
    assert kept_results() == 0
    assert not any(z.any() for z in zeros)


@pytest.mark.usefixtures("nothing_kept")
def test_a_data_handler_of_the_caller_serves_results_too() -> None:
    x = np.ones(MB)
    with nl.reuse_buffers() as buffers:
        y = nl.relu(x)
        assert owner(y) == owner(nl.softmax(x)) == "nonlin_reuse_buffers"
        del y
        assert kept(buffers) == 16 * MB
    with nl.reuse_buffers(max_bytes=0) as buffers:
        y, z = nl.relu(x), nl.cross_entropy_backward(1.0, x, x)
        assert owner(y) == owner(z) == "nonlin_reuse_buffers"
        del y, z
        assert kept(buffers) == 0
    assert kept_results() == 0


def test_nothing_but_results_gets_kept_memory() -> None:
    class Other:
        """An array of another package."""

        def __array_ufunc__(self, *arguments: Any, **options: Any) -> Any:
            return np.empty(MB)

    before = _core.data_handler()
    x = np.ones(MB)
    assert owner(np.asarray(nl.relu_backward(x, Other()))) == "default_allocator"
    out = np.empty(MB)
    assert nl.relu(x, out=out) is out
    assert owner(out) == "default_allocator"
    with pytest.raises(ValueError, match="broadcast"):
        nl.relu_backward(x, x[1:])
    with pytest.raises(TypeError):
        nl.relu_backward(x, x, x, x)
    assert _core.data_handler() is before


@pytest.mark.usefixtures("nothing_kept")
def test_many_threads_share_the_memory_of_results() -> None:
    """Eight threads, most of whose results are freed by another one."""
    handed_on: queue.SimpleQueue[tuple[int, np.ndarray]] = queue.SimpleQueue()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for i in range(60):
            mark = seed * 100 + i
            handed_on.put((mark, nl.relu(np.full(int(rng.integers(MB // 16, MB)), mark, np.float32))))
            mark, other = handed_on.get()
            assert (other == mark).all()
            assert owner(other) == "nonlin_results"
            assert kept_results() <= 256 * MB

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert 0 < kept_results() <= 256 * MB


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_begins_without_kept_results() -> None:
    code = """
        import os, warnings
        import numpy as np
        import nonlin as nl
        from nonlin import _core
        warnings.simplefilter("ignore", DeprecationWarning)

        x = np.full(1 << 20, 3, np.float32)
        used = nl.relu(x)
        y = nl.relu(x)
        del y
        for _ in range(3):
            assert _core.kept_bytes(_core.handler_of_results()) == 1 << 22
            child = os.fork()
            assert _core.kept_bytes(_core.handler_of_results()) == 0
            y = nl.relu(x) if child else nl.relu(-x)
            assert (y == (3 if child else 0)).all() and (used == 3).all()
            del y
            if not child:
                del used
                assert _core.kept_bytes(_core.handler_of_results()) == 1 << 23
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            assert (used == 3).all()
        print("done")
    """
    assert printed(code) == "done"


def test_results_may_be_freed_when_python_ends() -> None:
    code = """
        import atexit, sys, threading
        import numpy as np
        import nonlin as nl

        x = np.full(1 << 20, 3, np.float32)
        results = [nl.relu(x) for _ in range(3)]
        sys.results = [nl.relu(x)]
        class Late:
            def __init__(self):
                self.result = nl.relu(x)
            def __del__(self):
                assert (self.result == 3).all()
        late = Late()
        late.itself = late
        atexit.register(lambda: results.append(nl.relu(x)) or results.pop(0))
        def work():
            while True:
                nl.relu(x)
        threading.Thread(target=work, daemon=True).start()
        print("done")
    """
    result = run(code)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "done", "")


@pytest.mark.skipif(not sys.platform.startswith("linux") or EMULATED or INSTRUMENTED, reason="limits other memory here")
def test_kept_memory_makes_room_where_there_is_none() -> None:
    code = """
        import resource
        import numpy as np
        from nonlin import _core

        _core.set_data_handler(_core.handler_of_results())
        mb = 1 << 20
        arrays = [np.empty(50 * mb, np.uint8) for _ in range(4)]
        del arrays
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 20 * mb
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        x = np.empty(150 * mb, np.uint8)
        print(_core.kept_bytes(_core.handler_of_results()))
        try:
            np.empty(150 * mb, np.uint8)
        except MemoryError:
            print("full")
    """
    assert printed(code).split() == ["0", "full"]


# Tables of results in 16 bits

TABLES = """
    import concurrent.futures, threading
    import numpy as np
    import ml_dtypes
    from nonlin import _core

    x = np.arange(2**16, dtype=np.uint16).view(DTYPE)
    places = np.random.default_rng(0).permutation(2**16)
    functions = [f for f in (getattr(_core, row["name"]) for row in _core.activations()) if f.nin == 1]

    def bits(a):  # sign and payload of NaN are the processor's, which takes them from either operand
        return np.where(np.isnan(a.astype(np.float32)), 0, a.view(np.uint16)).tobytes()
"""


@pytest.mark.parametrize("dtype", ["np.float16", "ml_dtypes.bfloat16"])
def test_looked_up_results_are_those_computed(dtype: str) -> None:
    """They are looked up as soon as more were asked for than there are."""
    code = """
    for f in functions:
        computed = np.concatenate([f(part) for part in np.split(x, 64)])
        long, short = f(x[places]), f(x[:1001])
        strided = np.zeros((2**16, 3), x.dtype)
        f(x[::-1], out=strided[:, 1])
        raw = np.zeros(2**17 + 1, np.uint8)
        unaligned = raw[1:].view(x.dtype)
        f(x, out=unaligned)
        inside = x.copy()
        f(inside, out=inside)
        shifted = x.copy()
        f(shifted[:-1], out=shifted[1:])
        pairs = [
            (long, computed[places]),
            (short, computed[:1001]),
            (strided[:, 1], computed[::-1]),
            (unaligned, computed),
            (inside, computed),
            (shifted[1:], computed[:-1]),
        ]
        assert [bits(got) == bits(expected) for got, expected in pairs] == [True] * 6, f
        assert not strided[:, ::2].astype(np.float32).any()
    print(len(functions))
    """
    assert int(printed(TABLES.replace("DTYPE", dtype) + code)) >= 10


def test_tables_made_by_many_threads_at_once() -> None:
    code = """
    start = threading.Barrier(8)

    def work(_):
        results = []
        for f in functions:
            start.wait(timeout=600)
            results.append(bits(f(x[places])))
            results.append(bits(f(x[places])))
        return results

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        all_results = list(pool.map(work, range(8)))
    expected = [bits(f(x)[places]) for f in functions for _ in range(2)]
    assert all(results == expected for results in all_results)
    print("done")
    """
    assert printed(TABLES.replace("DTYPE", "np.float16") + code) == "done"


# Instruction sets


def test_simd_targets() -> None:
    assert nl.simd_target() in nl.simd_targets()
    assert len(set(nl.simd_targets())) == len(nl.simd_targets())


PARTS = 16  # of the tests marked every_target, one for each target in turn


def test_samples_together_are_all_tests() -> None:
    ids = ["f", *(f"g[{i}]" for i in range(3)), *(f"h[{i}]" for i in range(100))]
    samples = [sample(ids, i, PARTS) for i in range(PARTS)]
    assert set().union(*samples) == set(ids)
    for part in samples:
        assert {name[0] for name in part} == {"f", "g", "h"}
        assert len(part) in (2 + 100 // PARTS, 3 + 100 // PARTS)


@pytest.mark.skipif("NONLIN_SIMD_TARGET" in os.environ, reason="this is one of the runs that it starts")
@pytest.mark.parametrize("target", nl.simd_targets())
def test_target_can_be_forced_and_passes(target: str) -> None:
    """The tests marked every_target: a sample, another one for each target, or with NONLIN_EVERY_TARGET=all all of them."""
    assert printed("import nonlin; print(nonlin.simd_target())", NONLIN_SIMD_TARGET=target) == target
    if target == nl.simd_target():
        return  # this process is that run
    files = [str(file) for file in sorted(TESTS.glob("test_*.py")) if "every_target" in file.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-m", "every_target", "-p", "no:cacheprovider", *files]
    if os.environ.get("NONLIN_EVERY_TARGET") != "all":
        command.append(f"--sample={nl.simd_targets().index(target) % PARTS}/{PARTS}")
    environment = os.environ | {"NONLIN_SIMD_TARGET": target}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=280 * PATIENCE, cwd=TESTS.parent
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-1000:]


def test_ufuncs_of_a_target() -> None:
    """Those of the target in use are the public ones, and asking for others changes nothing."""
    before = nl.simd_target()
    x = np.linspace(-9, 9, 1000, dtype=np.float32)
    results = {target: _core.ufuncs_of(target)["mish"](x) for target in nl.simd_targets()}
    assert nl.simd_target() == before
    np.testing.assert_array_equal(results[before], nl.mish(x))
    np.testing.assert_array_equal(_core.ufuncs_of(before)["mish"](x), nl.mish(x))
    if {"AVX2", "SSE4"} <= results.keys():  # with and without a fused multiply-add
        assert np.any(results["AVX2"] != results["SSE4"])
    assert list(_core.ufuncs_of(before)) == [row["name"] + s for row in _core.activations() for s in ("", "_backward")]
    with pytest.raises(ValueError, match=f"AVX99.*{before}"):
        _core.ufuncs_of("AVX99")


@pytest.mark.parametrize("target", ["AVX99", "avx 2", "AVX2" if "NEON" in nl.simd_targets() else "NEON"])
def test_unknown_target_is_an_import_error(target: str) -> None:
    result = run("import nonlin", NONLIN_SIMD_TARGET=target)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert target in last
    for valid in nl.simd_targets():
        assert valid in last


# Configuration


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert nl.show_config() is None
    text = capsys.readouterr().out
    for part in (
        nl.__version__,
        nl.simd_target(),
        _core.config()["threading"],
        _core.config()["build"],
        "threads",
        "ompiler",
    ):
        assert part in text


def test_a_signal_while_warnings_are_switched_on_again_ends_no_process() -> None:
    code = """
        import sys
        import numpy as np
        import nonlin as nl

        class Interrupted(np.errstate):
            def __exit__(self, *args):
                super().__exit__(*args)
                raise KeyboardInterrupt

        np.errstate = Interrupted
        sys.unraisablehook = lambda raised: print(raised.exc_type.__name__)
        print(nl.softmax(np.zeros(2, np.float64).astype(">f8"))[0])
    """
    assert printed(code).split() == ["KeyboardInterrupt", "0.5"]


def test_only_numpy_is_imported() -> None:
    code = """
        import sys
        import numpy
        try:
            import ml_dtypes
        except ImportError:
            pass
        before = set(sys.modules)
        import nonlin
        extra = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
        print(*sorted(extra - {"numpy", "_xxsubinterpreters"}))  # the latter is Python's, but not in its list
    """
    assert printed(code) == "nonlin"


def test_a_subinterpreter_is_refused() -> None:
    code = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import nonlin

        code = "import sys\\ntry:\\n import nonlin\\nexcept ImportError as error:\\n print(error, flush=True)"
        for _ in range(2):
            interpreters.run_string(interpreters.create(), code)
        print(nonlin.relu(1.0))
    """
    refused = "nonlin cannot be imported in a sub-interpreter; import it in the main one"
    assert printed(code).splitlines() == [refused, refused, "1.0"]


def test_ml_dtypes_is_optional() -> None:
    code = """
        import sys
        sys.modules["ml_dtypes"] = None  # as if it were not installed
        import numpy as np
        import nonlin as nl
        x = np.ones((2, 3), np.float16)
        loss, grad = nl.cross_entropy_with_grad(x, [0, 1])
        print(nl.relu(x).dtype, nl.softmax(x).dtype, nl.softmax(x, where=x > 0).dtype, loss.dtype, grad.dtype)
        try:
            nl.relu(x.astype(np.longdouble))
        except TypeError:
            print("TypeError")
    """
    assert printed(code).split() == ["float16", "float16", "float16", "float32", "float16", "TypeError"]


# Warnings


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@pytest.mark.parametrize("threads", [1, 2])
def test_no_floating_point_flags(f: Function, threads: int) -> None:
    nl.set_num_threads(threads)
    for dtype in oracle.FLOATS:
        nasty = np.concatenate([oracle.special_values(dtype.type), [np.nan, -np.nan]]).astype(dtype)
        up = nasty[::-1].copy()
        for x in (nasty, np.tile(nasty, 3000), np.repeat(nasty, 2)[::2], *nasty[:, None]):
            others = up if x.size == nasty.size else np.full_like(x, 3)
            with np.errstate(all="raise"):
                f.public(*f.arguments(x, up=others))
                f.public(*f.arguments(x, up=others, grad=others))
            if f.parameters and x.size < 1000:
                for value in (0.0, np.inf, np.nan, 1e-40, 65520.0, 1e30, 1e39, 1e300, 1e-300, 10**6):
                    with np.errstate(all="raise"):
                        f.public(*f.arguments(x), **dict.fromkeys(f.parameters, value))


def every_row_function(x: np.ndarray, axis: int, targets: np.ndarray) -> None:
    y, log_y, lse = nl.softmax(x, axis), nl.log_softmax(x, axis), nl.logsumexp(x, axis)
    for f in (nl.softmax, nl.log_softmax, nl.logsumexp):
        f(x, axis, where=oracle.wide(x) > 0)
    nl.softmax_backward(x, y, axis)
    nl.log_softmax_backward(x, log_y, axis)
    nl.logsumexp_backward(lse, x, axis)
    nl.softmax_jacobian(y[:4, :4], axis)
    nl.log_softmax_jacobian(log_y[:4, :4], axis)
    zeros = np.zeros(x.shape[axis], x.dtype)
    for o in ({}, {"label_smoothing": 0.1, "z_loss": 0.1}, {"weight": zeros}):
        for reduction in ("mean", "sum", "none"):
            for t in (targets, y):
                loss = nl.cross_entropy(x, t, axis=axis, reduction=reduction, **o)
                nl.cross_entropy_with_grad(x, t, axis=axis, reduction=reduction, **o)
                nl.cross_entropy_backward(loss, x, t, axis=axis, reduction=reduction, **o)


@pytest.mark.parametrize("dtype", oracle.FLOATS, ids=str)
def test_no_floating_point_flags_of_rows(dtype: np.dtype) -> None:
    nasty = np.concatenate([oracle.special_values(dtype.type), [np.nan]]).astype(dtype)
    square = np.stack([np.roll(nasty, i) for i in range(nasty.size)])
    finite = np.where(np.isfinite(square), square, 0)
    for x in (square, finite, np.full((4, 9), -np.inf, dtype), finite[:, :1], np.tile(finite, (50, 1))):
        for axis in (0, 1):
            targets = np.arange(x.shape[1 - axis]) % min(7, x.shape[axis])
            with np.errstate(all="raise"):
                every_row_function(x, axis, targets)
    with np.errstate(all="raise"):
        assert np.isnan(nl.cross_entropy(np.zeros((2, 3), dtype), [-100, -100]))


def test_warnings_of_others_stay() -> None:
    """Flags are cleared before the caller's own arithmetic, not switched off."""
    nl.sigmoid(np.array([1e4, -1e4]))
    with pytest.warns(RuntimeWarning, match="overflow"):
        np.exp(np.array([1e4]))
