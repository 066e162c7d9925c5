"""Threads, instruction sets and build configuration."""

import contextlib
import operator
from collections.abc import Iterator

from . import _core

__all__ = [
    "get_num_threads",
    "num_threads",
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
        By default the least of the environment variables ``NONLIN_NUM_THREADS`` and ``OMP_NUM_THREADS``, the CPUs that
        the process may run on, and the CPU quota of its control group.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the largest number of threads that one call uses.

    Results do not depend on it, not even in their last bit.

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
    count = operator.index(n)
    if count < 1:
        raise ValueError(f"n is {n}; it takes an integer of 1 or more")
    _core.set_num_threads(min(count, 2**16))


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use at most `n` threads in a ``with`` block.

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
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


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
