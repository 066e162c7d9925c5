"""Settings of the whole library: threads, reuse of memory, instruction sets and build configuration."""

import contextlib
import operator
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from . import _core

__all__ = [
    "get_num_threads",
    "num_threads",
    "reuse_buffers",
    "set_num_threads",
    "show_config",
    "simd_target",
    "simd_targets",
]


def get_num_threads() -> int:
    """Return the largest number of threads that one call uses.

    Returns
    -------
    int
        The limit of the innermost `num_threads` block, else of the process: by default the least of the environment
        variables ``NONLIN_NUM_THREADS`` and ``OMP_NUM_THREADS``, the CPUs that the process might run on when nonlin was
        imported, and the CPU quota of its control group.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.get_num_threads() >= 1
    True
    """
    return _core.context_limit.get(None) or _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the largest number of threads that one call uses, for the process or for the `num_threads` block around it.

    Results do not depend on it, not even in their last bit. Small calls always use one thread, and so do calls made while
    the call of another thread uses the others.

    Parameters
    ----------
    n : int
        1 or more.

    Raises
    ------
    ValueError
        If `n` is below 1.
    TypeError
        If `n` is no integer.

    Examples
    --------
    >>> import nonlin as nl
    >>> before = nl.get_num_threads()
    >>> nl.set_num_threads(1)
    >>> nl.get_num_threads()
    1
    >>> nl.set_num_threads(before)
    """
    count = _checked_count(n)
    if _core.context_limit.get(None) is None:
        _core.set_num_threads(count)
    else:
        _core.context_limit.set(count)


def _checked_count(n: int) -> int:
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"n is {n!r}; it takes an integer of 1 or more") from None
    if count < 1:
        raise ValueError(f"n is {n}; it takes an integer of 1 or more")
    return min(count, 2**16)


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use at most `n` threads in a ``with`` block.

    The limit holds in the current context, like `numpy.errstate`: for calls of this thread, and for asyncio tasks and calls
    of `asyncio.to_thread` started inside. Other threads keep their own limit.

    Parameters
    ----------
    n : int
        1 or more.

    Raises
    ------
    ValueError
        If `n` is below 1.
    TypeError
        If `n` is no integer.

    Examples
    --------
    >>> import nonlin as nl
    >>> with nl.num_threads(1):
    ...     nl.get_num_threads()
    1
    """
    token: Any = _core.limit_context(_checked_count(n))
    try:
        yield
    finally:
        _core.context_limit.reset(token)


class reuse_buffers:
    """Keep the memory of all large freed arrays, and hand it out again.

    The operating system provides fresh memory page by page, when it is first written, which may cost several times what an
    operation does. Without this, results of 256 KiB and more, and no other arrays, have memory of such results freed
    before. At most 256 MiB of it wait in a process, all but 32 MiB of which are the system's whenever it needs memory; the
    environment variable ``NONLIN_KEPT_BYTES`` sets another bound, and 0 keeps nothing.

    With this, the memory of all freed arrays of 1 MiB and more serves later ones, of NumPy and of nonlin alike, up to
    `max_bytes`.

    As a context manager, it lasts as long as the ``with`` block; a plain call switches it on, for good or until `close`. At
    the end, the kept memory is given back; arrays still in use stay valid, and their memory is given back when they are
    freed. Blocks nest, each with a bound and memory of its own.

    It sets NumPy's data handler (NEP 49), which is a context variable: it holds for arrays made by the calling thread, and
    by asyncio tasks and calls of `asyncio.to_thread` started inside. Other threads need a call of their own. Arrays may be
    freed in any thread.

    Parameters
    ----------
    max_bytes : int, default 2**30
        The most memory to keep, 0 or more. Beyond it, the memory freed first is given back. Arrays in use do not count.
        With 0, no memory is kept, of results neither.

    Raises
    ------
    ValueError
        If `max_bytes` is negative, or if a ``with`` block begins after `close`.
    TypeError
        If `max_bytes` is no integer.

    References
    ----------
    Picus (2021), NEP 49 - Data allocation strategies.

    Examples
    --------
    >>> import numpy as np, nonlin as nl
    >>> x = np.ones((1000, 1000))
    >>> with nl.reuse_buffers(max_bytes=2**28):
    ...     for _ in range(10):
    ...         x = nl.tanh(x)
    >>> x.shape
    (1000, 1000)
    """

    def __init__(self, max_bytes: int = 2**30) -> None:
        try:
            limit = operator.index(max_bytes)
        except TypeError:
            raise TypeError(f"max_bytes is {max_bytes!r}; it takes an integer of 0 or more") from None
        if limit < 0:
            raise ValueError(f"max_bytes is {limit}; it takes an integer of 0 or more")
        self._handler = _core.reusing_handler(min(limit, sys.maxsize))
        self._before = _core.data_handler()
        self._closed = False
        _core.set_data_handler(self._handler)

    def close(self) -> None:
        """Stop, and give back the kept memory. A further call only stops it in its own thread."""
        self._closed = True
        _core.close_handler(self._handler)
        # Elsewhere, in another thread or in a block that outlives this one, the closed handler acts like NumPy's own.
        if _core.data_handler() is self._handler:
            _core.set_data_handler(self._before)

    def __enter__(self) -> Self:
        """Return the object itself."""
        if self._closed:
            raise ValueError("this reuse_buffers is closed; call reuse_buffers again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def simd_target() -> str:
    """Return the name of the instruction set in use.

    Returns
    -------
    str
        Highway's name, as in ``"AVX2"``. The environment variable ``NONLIN_SIMD_TARGET`` forces another one.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.simd_target() in nl.simd_targets()
    True
    """
    return _core.simd_target()


def simd_targets() -> list[str]:
    """Return the names of the instruction sets that this build and this CPU could use, the best first.

    Returns
    -------
    list of str
        Highway's names.

    Examples
    --------
    >>> import nonlin as nl
    >>> len(nl.simd_targets()) >= 1
    True
    """
    return _core.simd_targets()


def show_config() -> None:
    """Print the version, instruction sets, threads, compiler and libraries.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.show_config()  # doctest: +ELLIPSIS
    nonlin ...
    """
    config = _core.config()
    print(f"nonlin {config.pop('version')}")
    for key, value in config.items():
        print(f"  {key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
