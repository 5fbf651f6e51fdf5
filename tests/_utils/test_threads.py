"""One thread for small products: set for a block, and set back."""

import copy
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from sklearn_dlf import DLFRegressor
from sklearn_dlf._estimators.update_mixin import RegressorUpdateMixin
from sklearn_dlf._fitting.plain_training import PlainTraining
from sklearn_dlf._updating.value_adaptation import ValueAdapter
from sklearn_dlf._updating.value_update import ValueUpdate
from sklearn_dlf._utils import threads
from sklearn_dlf._utils.threads import call_in_threads, one_blas_thread, one_thread
from sklearn_dlf.ensembles import FittedEnsemble


def blas_threads():
    """Return the number of threads of each BLAS library."""
    return [each.get_num_threads() for each in threads._libraries() if each.user_api == "blas"]


def in_thread(function):
    """Return what a function returns in a new thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def three_threads():
    """Set torch and BLAS to three threads, and back after the test."""
    before, libraries = torch.get_num_threads(), threads._libraries()
    numbers = [each.get_num_threads() for each in libraries]
    torch.set_num_threads(3)
    for each in libraries:
        each.set_num_threads(3)
    yield
    torch.set_num_threads(before)
    for each, number in zip(libraries, numbers, strict=True):
        each.set_num_threads(number)


@pytest.mark.usefixtures("three_threads")
class TestThreads:
    def test_a_block_has_one_thread_and_leaves_what_was_set(self):
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3

    def test_large_products_keep_their_threads(self):
        with one_thread(is_small=False):
            assert torch.get_num_threads() == 3

    def test_an_error_leaves_what_was_set(self):
        with pytest.raises(ZeroDivisionError), one_thread(), one_blas_thread:
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 3
        assert set(blas_threads()) <= {3}

    def test_other_threads_keep_theirs(self):
        def enter():
            with one_thread():
                return in_thread(torch.get_num_threads)

        assert in_thread(enter) == 3

    def test_a_block_in_a_new_thread_has_one_thread(self):
        def enter():
            with one_thread():
                return torch.get_num_threads()

        assert in_thread(enter) == 1

    def test_mkl_has_one_thread_after_a_call_of_torch(self):
        for set_number in threads._setters():
            with one_thread():
                assert set_number(1) == 1

    def test_blas_is_set_back_when_the_last_block_ends(self):
        first, second = threading.Event(), threading.Event()

        def hold():
            with one_blas_thread:
                first.set()
                second.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        first.wait(10)
        with one_blas_thread:
            second.set()
            thread.join()
            inside = blas_threads()
        assert set(inside) <= {1}
        assert set(blas_threads()) <= {3}

    def test_what_somebody_else_sets_meanwhile_stays(self):
        with one_blas_thread:
            for each in threads._libraries():
                each.set_num_threads(2)
        assert set(blas_threads()) <= {2}

    def test_training_has_one_thread_and_the_teacher_all(self, monkeypatch):
        seen = {}

        def note(name):
            seen[name] = torch.get_num_threads(), *blas_threads()

        def member(X):
            note("teacher")
            return X[:, 0]

        X = np.random.RandomState(0).randn(60, 2)
        student = DLFRegressor(hidden_layer_sizes=5, max_iter=1, random_state=0, q=1)
        step = PlainTraining._step

        def noted_step(self, *arguments):
            note("training")
            return step(self, *arguments)

        monkeypatch.setattr(PlainTraining, "_step", noted_step)
        members = FittedEnsemble([member, lambda X: X[:, 1], lambda X: -X[:, 0]], outputs="values")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            student.fit(X, ensemble=members)
        assert set(seen["training"]) == {1}
        assert set(seen["teacher"]) == {3}
        assert (torch.get_num_threads(), *blas_threads()) == seen["teacher"]

    def test_updates_have_one_thread(self, student, friedman, monkeypatch):
        X, y = friedman
        seen = []

        def noted(function):
            def call(*arguments, **options):
                seen.append(blas_threads())
                return function(*arguments, **options)

            return call

        for owner, name in (
            (RegressorUpdateMixin, "_make_update"),
            (RegressorUpdateMixin, "_add_rows"),
            (ValueUpdate, "_find_posterior"),
            (ValueAdapter, "adapt"),
        ):
            monkeypatch.setattr(owner, name, noted(getattr(owner, name)))
        updated = copy.deepcopy(student).update(X[:20], y[:20])
        updated.predict(X)
        student.adapt(X[:20], -y[:20])
        assert len(seen) >= 4
        assert {number for numbers in seen for number in numbers} <= {1}
        assert set(blas_threads()) <= {3}


class TestCallInThreads:
    def test_each_item_is_taken_once(self):
        taken = []
        call_in_threads(taken.append, range(1000), 4)
        assert sorted(taken) == list(range(1000))

    def test_several_threads_take_items(self):
        both = threading.Barrier(2)  # passed by two threads that meet
        found = []

        def meet(item):
            both.wait(60)
            found.append(threading.get_ident())

        call_in_threads(meet, range(2), 2)
        assert len(set(found)) == 2
        assert threading.get_ident() in found

    def test_threads_do_not_end(self):
        """A process that forks while a thread ends may leave its child with a lock of MKL."""
        found = set()

        def note(item):
            time.sleep(0.01)
            found.add(threading.current_thread())

        for _ in range(3):
            call_in_threads(note, range(4), 2)
        time.sleep(0.1)
        assert all(thread.is_alive() for thread in found)

    def test_the_first_item_with_an_error_is_named(self):
        second = threading.Event()

        def fail(item):
            if item == 1:
                second.set()
                raise KeyError(item)
            second.wait(60)
            raise KeyError(item)

        with pytest.raises(KeyError, match="0"):
            call_in_threads(fail, range(100), 2)

    def test_no_item_is_begun_after_an_interrupt(self):
        begun = []

        def interrupted(item):
            begun.append(item)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            call_in_threads(interrupted, range(100), 2)
        assert len(begun) <= 2

    def test_a_call_within_a_call_ends(self):
        found = []

        def inner(item):
            call_in_threads(found.append, range(10), 3)

        call_in_threads(inner, range(10), 3)
        assert sorted(found) == sorted([*range(10)] * 10)

    def test_more_threads_than_there_are(self):
        found = []
        call_in_threads(found.append, range(3), 2 * threads.MAX_WORKERS)
        assert sorted(found) == [0, 1, 2]

    def test_items_that_another_calls_thread_has_taken_are_waited_for(self, monkeypatch):
        """A thread that cannot be started leaves its work to those of other calls."""
        executor = threads._worker_threads.executor
        submit, taken = executor.submit, threading.Event()

        def leave_to_another(work):
            submit(work)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(executor, "submit", leave_to_another)
        done = []

        def slowly(item):
            if threading.get_ident() == caller:
                taken.wait(60)
            else:
                taken.set()
                time.sleep(0.1)
            done.append(item)

        caller = threading.get_ident()
        call_in_threads(slowly, range(2), 2)
        assert sorted(done) == [0, 1]

    def test_no_item_is_begun_after_an_interrupt_of_the_start(self, monkeypatch):
        executor = threads._worker_threads.executor
        submit, started, begun = executor.submit, [], []

        def interrupted(work):
            if started:
                raise KeyboardInterrupt
            started.append(submit(work))
            return started[0]

        def note(item):
            begun.append(item)
            time.sleep(0.05)

        monkeypatch.setattr(executor, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call_in_threads(note, range(40), 3)
        n_begun = len(begun)
        time.sleep(0.2)
        assert len(begun) == n_begun < 40
