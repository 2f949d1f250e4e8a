"""A builder's thread of its own, and what is done for it by the thread that waits."""

from __future__ import annotations

import threading

import pytest

from trtbuild.trt.apart import apart, outside


def test_work_runs_in_another_thread_and_calls_come_back_in_order() -> None:
    seen: list[tuple[int, int]] = []
    workers: list[int] = []

    def work() -> None:
        workers.append(threading.get_ident())
        for number in range(1000):
            outside(lambda n: seen.append((n, threading.get_ident())), number)

    apart(work)
    here = threading.get_ident()
    assert workers != [here]
    assert seen == [(number, here) for number in range(1000)]


def test_calls_from_several_threads_of_the_builder_are_all_made() -> None:
    seen: list[int] = []

    def work() -> None:
        def talk(base: int) -> None:
            for number in range(200):
                outside(seen.append, base + number)

        threads = [threading.Thread(target=talk, args=(base,)) for base in (0, 1000, 2000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    apart(work)
    assert sorted(seen) == [base + n for base in (0, 1000, 2000) for n in range(200)]


def test_errors_go_to_whoever_called() -> None:
    def fail() -> None:
        raise ValueError("outside")

    def work() -> None:
        with pytest.raises(ValueError, match="outside"):
            outside(fail)
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        apart(work)


def test_without_a_builder_a_call_is_made_at_once() -> None:
    seen: list[int] = []
    outside(seen.append, 1)
    assert seen == [1]
