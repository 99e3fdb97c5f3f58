import numpy as np
import pytest

from canemo.networks.engines.timing import (
    FEWEST_ROUNDS,
    MOST_ROUNDS,
    MOST_SECONDS,
    are_told_apart,
    measure_spread,
    time_in_turn,
)


class Clock:
    """A clock that runs move on, by as long as they say they take."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def __call__(self):
        return self.now

    def run(self, name, draw):
        def go():
            self.order.append(name)
            self.now += draw()

        return go


def noisy(seconds, rng, *, busy):
    """Take so long, and much longer wherever the machine is busy."""
    return lambda: seconds * rng.lognormal(0, 0.1) * (6.0 if busy() else 1.0)


def test_runs_are_timed_in_turn():
    clock = Clock()
    seconds = time_in_turn([clock.run("a", lambda: 1.0), clock.run("b", lambda: 2.0)], clock=clock)
    np.testing.assert_array_equal(seconds, np.tile([1.0, 2.0], (FEWEST_ROUNDS, 1)))
    assert clock.order == ["a", "b"] * FEWEST_ROUNDS


def test_faster_one_wins_although_a_quarter_of_all_times_is_six_times_too_long():
    def race(seed):
        rng, clock = np.random.default_rng(seed), Clock()
        slow, fast = (
            noisy(seconds, rng, busy=lambda: rng.random() < 1 / 4) for seconds in (1.0, 0.6)
        )
        return time_in_turn([clock.run("slow", slow), clock.run("fast", fast)], clock=clock)

    races = [race(seed) for seed in range(100)]
    wrong = sum(np.median(seconds, axis=0).argmin() == 0 for seconds in races)
    wrong_at_once = sum(seconds[0].argmin() == 0 for seconds in races)
    assert wrong <= 2 < 10 < wrong_at_once


def test_machine_that_is_busy_for_whole_rounds_does_not_hide_the_faster_one():
    rng, clock = np.random.default_rng(0), Clock()
    busy = lambda: len(clock.order) % 8 < 4  # noqa: E731 - two rounds busy, two quiet
    runs = [
        clock.run(name, noisy(seconds, rng, busy=busy))
        for name, seconds in (("slow", 0.5), ("fast", 0.35))
    ]
    seconds = time_in_turn(runs, clock=clock)
    assert are_told_apart(seconds)
    assert len(seconds) < MOST_ROUNDS
    assert np.median(seconds, axis=0).argmin() == 1


def test_more_rounds_are_taken_the_noisier_the_times():
    def count_rounds(noise):
        rng, clock = np.random.default_rng(1), Clock()
        runs = [
            clock.run("slow", lambda: 0.5 * rng.lognormal(0, noise)),
            clock.run("fast", lambda: 0.4 * rng.lognormal(0, noise)),
        ]
        return len(time_in_turn(runs, clock=clock))

    assert count_rounds(0.0) == FEWEST_ROUNDS < count_rounds(0.3)


def test_runs_that_are_alike_need_no_telling_apart_and_others_have_a_bound():
    clock = Clock()
    alike = [clock.run("a", lambda: 1.0), clock.run("b", lambda: 1.01)]
    assert len(time_in_turn(alike, clock=clock)) == FEWEST_ROUNDS
    rng = np.random.default_rng(0)
    wild = [clock.run("", lambda: 0.1 * rng.lognormal(0, 1)) for _ in range(2)]
    rounds = [len(time_in_turn(wild, clock=clock)) for _ in range(10)]
    assert max(rounds) == MOST_ROUNDS
    long = [clock.run("", lambda: MOST_SECONDS * rng.lognormal(0, 1)) for _ in range(2)]
    assert len(time_in_turn(long, clock=clock)) == FEWEST_ROUNDS


def test_one_run_alone_is_told_apart():
    assert are_told_apart(np.array([[1.0], [2.0], [9.0]]))


def test_spread_is_that_of_half_the_times():
    assert measure_spread(np.array([1.0, 2.0, 3.0])) == pytest.approx(0.25)
    assert measure_spread(np.full(5, 2.0)) == 0
    assert measure_spread(np.array([1.0, 1.0, 1.0, 1.0, 50.0])) == 0
