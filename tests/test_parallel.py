import gc
import threading
import time
from contextlib import closing

import pytest

from canemo.parallel import read_ahead


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "read_ahead"]


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.005)


def counted(numbers, made):
    for number in numbers:
        made.append(number)
        yield number


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_items_come_in_their_order_and_the_thread_ends(size):
    assert list(read_ahead(range(500), size)) == list(range(500))
    assert threads() == []


def test_nothing_gives_nothing():
    assert list(read_ahead([], 4)) == []


def test_nothing_starts_before_the_first_item_is_asked_for():
    made = []
    waiting = read_ahead(counted(range(5), made), 2)
    assert (made, threads()) == ([], [])
    waiting.close()
    assert made == []


def test_items_are_made_while_the_caller_is_busy_and_no_more_than_asked_for():
    made = []
    with closing(read_ahead(counted(range(100), made), 3)) as items:
        assert next(items) == 0
        wait_until(lambda: len(made) == 5)  # one taken, three that wait, one that finds no room
        time.sleep(0.05)
        assert made == [0, 1, 2, 3, 4]


def test_items_that_wait_weigh_no_more_than_allowed_but_one_always_may():
    made = []
    items = read_ahead(counted([10, 60, 60, 10], made), 8, weigh=lambda n: n, max_weight=50)
    with closing(items):
        assert next(items) == 10
        wait_until(lambda: made == [10, 60, 60])  # too heavy for any company
        time.sleep(0.05)
        assert made == [10, 60, 60]
        assert list(items) == [60, 60, 10]


def test_exception_comes_after_the_items_before_it_with_its_own_traceback():
    def failing():
        yield from range(3)
        raise ValueError("the fourth")

    items = read_ahead(failing(), 10)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth") as caught:
        next(items)
    assert "failing" in [entry.name for entry in caught.traceback]
    assert threads() == []


def test_keyboard_interrupt_of_the_source_reaches_the_caller():
    def interrupted():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(read_ahead(interrupted(), 2))


def test_caller_that_stops_early_ends_the_thread_at_the_item_in_the_making():
    made = []

    def endless():
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    with closing(read_ahead(endless(), 2)) as items:
        assert [next(items), next(items)] == [0, 1]
    assert threads() == []
    count = len(made)
    time.sleep(0.05)
    assert len(made) == count <= 6


def test_caller_that_fails_ends_the_thread_too():
    def fail():
        with closing(read_ahead(range(99), 2)) as items:
            raise RuntimeError(f"busy with {next(items)}")

    with pytest.raises(RuntimeError, match="busy with 0"):
        fail()
    assert threads() == []


def test_forgotten_iteration_ends_its_thread():
    items = read_ahead(iter(range(99)), 2)
    next(items)
    assert len(threads()) == 1
    del items
    gc.collect()
    assert threads() == []


def test_items_taken_are_let_go():
    class Item:
        alive = 0

        def __init__(self):
            Item.alive += 1

        def __del__(self):
            Item.alive -= 1

    most = 0
    for item in read_ahead((Item() for _ in range(200)), 3):
        del item
        most = max(most, Item.alive)
    assert most <= 6
    assert Item.alive == 0
