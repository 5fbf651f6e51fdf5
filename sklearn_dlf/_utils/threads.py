"""One thread for products that are too small for several; several threads for many rows.

A student's networks have some hundred units, and a step of training takes some hundred rows. Such a
product takes microseconds, about as long as it takes several threads to meet at its end. Where
another process has one of the processors, they wait for the thread that it holds up, and burn time
on the others while they do.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn import config_context, get_config
from threadpoolctl import ThreadpoolController

# With at most this many multiplications, a product takes about two milliseconds on one thread.
MAX_SMALL_PRODUCT = 2**26

# Threads that help all calling threads together, at most. A call for which none is left does its
# work alone.
MAX_WORKERS = 2**8


@contextmanager
def one_thread(is_small: bool = True) -> Iterator[None]:
    """Let torch use one thread in a block, if what it computes is small.

    What is set belongs to the calling thread, so that nothing changes for other threads, and is set
    back at the end. ``torch.set_num_threads`` would not do: threads that use torch for the first
    time during the block would keep its number.
    """
    if not is_small:
        yield
        return
    # The first call of torch in a thread sets its number of threads: it must not come later.
    torch.get_num_threads()
    restore = [(set_number, set_number(1)) for set_number in _setters()]
    try:
        yield
    finally:
        for set_number, earlier in restore:
            set_number(earlier)


def is_small_product(*sizes: int) -> bool:
    """Return whether a product of matrices is small, from the numbers whose product is its cost."""
    cost = 1
    for size in sizes:
        cost *= size
    return cost <= MAX_SMALL_PRODUCT


class _WorkerThreads:
    """Threads that help the calling ones, and wait for the next call when they are done.

    They do not end before the interpreter does. A thread that has used MKL takes one of its locks
    when it ends, even after Python has joined it, and a child that is forked meanwhile would wait
    for that lock forever.
    """

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Begin with no thread. They start as they are needed."""
        self.executor = ThreadPoolExecutor(MAX_WORKERS, "sklearn_dlf")


_worker_threads = _WorkerThreads()


def call_in_threads(function: Callable[[Any], None], items: Sequence[Any], n_threads: int) -> None:
    """Call a function for each item, in several threads; raise the error of the first that has one.

    The calling thread is one of them, and does all if no other can be started, as while the
    interpreter ends. Settings of scikit-learn and numpy that belong to it hold in all of them.
    After an error or an interrupt, no further item is begun.
    """
    config, floating_point = get_config(), np.geterr()
    waiting = deque(enumerate(items))
    errors: dict[int, BaseException] = {}
    caller, n_helped, changed = threading.get_ident(), 0, threading.Condition()

    def count(change):
        """Count items that other threads have begun, and not ended."""
        nonlocal n_helped
        n_helped += change if threading.get_ident() != caller else 0
        changed.notify_all()

    def work():
        with config_context(**config), np.errstate(**floating_point):
            while True:
                with changed:
                    if not waiting:
                        return
                    number, item = waiting.popleft()
                    count(1)
                try:
                    function(item)
                except BaseException as error:
                    errors[number] = error
                    waiting.clear()
                finally:
                    with changed:
                        count(-1)

    helpers: list[Future] = []
    try:
        with suppress(RuntimeError):
            for _ in range(n_threads - 1):
                helpers.append(_worker_threads.executor.submit(work))
        work()
    finally:
        for helper in helpers:
            helper.cancel()
        with changed:  # where no thread could be started, one of another call may help
            waiting.clear()
            changed.wait_for(lambda: n_helped == 0)
    if errors:
        raise errors[min(errors)]


class _OneBlasThread:
    """A context in which numpy's and scipy's products of matrices use one thread.

    Their number of threads belongs to the process. So the first block that begins sets it to one,
    and the last one that ends sets it back, unless somebody else has changed it by then.
    """

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # blocks of other threads do not end in a child
            os.register_at_fork(after_in_child=self._begin_again)

    def renew(self) -> None:
        """Begin with no block."""
        self._lock, self._n_blocks = threading.Lock(), 0
        self._earlier: list[tuple[Any, int]] = []

    def _begin_again(self) -> None:
        self._restore()
        self.renew()

    def __enter__(self) -> None:
        with self._lock:
            self._n_blocks += 1
            if self._n_blocks == 1:
                libraries = [each for each in _libraries() if each.user_api == "blas"]
                self._earlier = [(each, each.get_num_threads()) for each in libraries]
                for library in libraries:
                    _set_blas_threads(library, 1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_blocks = max(0, self._n_blocks - 1)  # a child leaves blocks of its parent
            if self._n_blocks == 0:
                self._restore()

    def _restore(self) -> None:
        for library, number in self._earlier:
            if library.get_num_threads() == 1:
                _set_blas_threads(library, number)
        self._earlier = []


one_blas_thread = _OneBlasThread()


def _set_blas_threads(library: Any, number: int) -> None:
    """Set the number of threads of a BLAS library, from whichever thread.

    Newer versions of threadpoolctl heed only the first thread that has set the number. Blocks of
    several threads agree on it here.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


@cache
def _libraries() -> list[Any]:
    """Return what controls the threads of each OpenMP and BLAS library of the process."""
    return ThreadpoolController().lib_controllers


@cache
def _setters() -> list[Callable[[int], int]]:
    """Return functions that set the calling thread's number of threads and return the earlier one.

    There is one for each OpenMP library of the process, and one for MKL, which has a number of its
    own once the user has called ``torch.set_num_threads``. A torch that uses neither has none, and
    keeps its threads.
    """
    setters: list[Callable[[int], int]] = []
    for library in _libraries():
        if library.internal_api == "openmp":
            setters.append(_openmp_setter(library))
    try:  # MKL is linked into torch
        mkl = ctypes.CDLL(torch._C.__file__).MKL_Set_Num_Threads_Local
    except (AttributeError, OSError):
        return setters
    mkl.argtypes, mkl.restype = [ctypes.c_int], ctypes.c_int
    return [*setters, mkl]


def _openmp_setter(library) -> Callable[[int], int]:
    """Return the function of one OpenMP library."""

    def set_number(number: int) -> int:
        earlier = library.get_num_threads()
        library.set_num_threads(number)
        return earlier

    return set_number
