"""How fast a batch asks its server."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.batches.pacing import Pacer

START = 1000.0


class Line:
    """Requests that pass the pacer one at a time, as under a lock, on a clock of its own."""

    def __init__(self, pacer: Pacer, now: float = START) -> None:
        self.pacer = pacer
        self.now = now
        self.sent: list[float] = []

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += self.pacer.reserve(self.now)
            while pause := self.pacer.held(self.now):
                self.now += pause
            self.sent.append(self.now)

    def answer(self, count: int) -> None:
        for _ in range(count):
            self.send()
            self.pacer.answered(self.now)


def refused_after(requests: int, *, over: float) -> Pacer:
    """A pacer without a limit, refused with the last of some requests, with no word on when to come back."""
    pacer = Pacer()
    for place in range(requests):
        pacer.reserve(START + place * over / (requests - 1))
    pacer.limited(START + over, None)
    return pacer


class TestALimit:
    def test_without_one_nothing_waits(self) -> None:
        pacer = Pacer()
        assert [pacer.reserve(START) for _ in range(2000)] == [0.0] * 2000
        assert pacer.requests_per_minute is None

    def test_spaces_the_requests_evenly(self) -> None:
        pacer = Pacer(20)
        assert [pacer.reserve(START) for _ in range(4)] == pytest.approx([0.0, 3.0, 6.0, 9.0])

    def test_of_less_than_one_a_minute_holds_too(self) -> None:
        pacer = Pacer(0.5)
        assert [pacer.reserve(START) for _ in range(2)] == pytest.approx([0.0, 120.0])

    def test_gives_a_second_s_worth_at_once(self) -> None:
        pacer = Pacer(240)
        assert [pacer.reserve(START) for _ in range(6)] == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.25, 0.5])

    def test_gives_no_credit_for_idling(self) -> None:
        pacer = Pacer(20)
        pacer.reserve(START)
        assert [pacer.reserve(START + 3600) for _ in range(3)] == pytest.approx([0.0, 3.0, 6.0])

    @settings(max_examples=60)
    @given(
        rate=st.floats(min_value=0.5, max_value=600),
        idle=st.lists(st.floats(min_value=0, max_value=40), min_size=1, max_size=150),
    )
    def test_is_kept_in_any_minute_however_the_requests_come(self, rate: float, idle: list[float]) -> None:
        line = Line(Pacer(rate))
        for pause in idle:
            line.now += pause if pause > 35 else 0.0
            line.send()
        burst = max(1, int(rate / 60))
        for first, moment in enumerate(line.sent):
            in_window = bisect_right(line.sent, moment + 60.0 - 1e-6) - first
            assert in_window <= rate + burst


class TestA429:
    def test_holds_everything_back_as_long_as_the_server_says(self) -> None:
        pacer = Pacer()
        pacer.limited(START, 12.5)
        assert pacer.held(START) == 12.5
        assert pacer.reserve(START + 2) == 10.5

    def test_holds_back_what_has_its_place_already(self) -> None:
        pacer = Pacer(20)
        pacer.reserve(START)
        turn = START + pacer.reserve(START)
        pacer.limited(START + 1, 30.0)
        assert pacer.held(turn) == pytest.approx(28.0)

    def test_holds_nothing_back_once_the_pause_is_over(self) -> None:
        pacer = Pacer()
        pacer.limited(START, 12.5)
        assert pacer.held(START + 12.5) == pacer.reserve(START + 12.5) == 0.0

    def test_is_obeyed_for_five_minutes_at_most(self) -> None:
        pacer = Pacer()
        pacer.limited(START, 86_400.0)
        assert pacer.held(START) == 300.0

    @pytest.mark.parametrize("nothing", [None, 0.0, -1.0])
    def test_without_a_word_on_when_to_come_back_doubles_the_pause(self, nothing: float | None) -> None:
        pacer, now, pauses = Pacer(), START, []
        for _ in range(9):
            pacer.limited(now, nothing)
            pauses.append(pacer.held(now))
            now += pauses[-1]
        assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]

    def test_begins_at_a_second_again_after_an_answer(self) -> None:
        pacer = Pacer()
        pacer.limited(START, None)
        pacer.limited(START + 1, None)
        pacer.answered(START + 3)
        pacer.limited(START + 4, None)
        assert pacer.held(START + 4) == 1.0

    def test_goes_on_doubling_where_the_answer_is_to_a_request_from_before_it(self) -> None:
        pacer = Pacer()
        pacer.limited(START, None)
        pacer.answered(START + 0.5)
        pacer.limited(START + 1, None)
        assert pacer.held(START + 1) == 2.0

    def test_counts_once_with_all_that_were_on_their_way(self) -> None:
        pacer = refused_after(60, over=60.0)
        learned = pacer.requests_per_minute
        for _ in range(50):
            pacer.limited(START + 60.5, None)
        assert pacer.requests_per_minute == learned
        assert pacer.held(START + 60.5) == 0.5

    def test_that_asks_for_more_within_the_pause_prolongs_it(self) -> None:
        pacer = Pacer()
        pacer.limited(START, 2.0)
        pacer.limited(START + 1, 20.0)
        assert pacer.held(START + 1) == 20.0


class TestALearnedRate:
    def test_is_half_of_what_was_sent_in_the_last_minute(self) -> None:
        assert refused_after(101, over=60.0).requests_per_minute == pytest.approx(50, abs=1)

    def test_of_a_batch_that_has_just_begun_is_taken_from_its_first_seconds(self) -> None:
        assert refused_after(20, over=2.0).requests_per_minute == pytest.approx(300)

    def test_does_not_count_what_still_waits(self) -> None:
        pacer = Pacer()
        pacer.reserve(START)
        pacer.unreachable(START)
        for _ in range(9):
            pacer.reserve(START)
        pacer.limited(START + 0.5, None)
        assert pacer.requests_per_minute == 30

    def test_is_half_of_the_limit_where_more_was_not_allowed(self) -> None:
        pacer = Pacer(40)
        pacer.reserve(START)
        pacer.limited(START, None)
        assert pacer.requests_per_minute == 20

    def test_spaces_what_comes_after_the_pause(self) -> None:
        pacer = refused_after(5, over=60.0)
        assert pacer.requests_per_minute == pytest.approx(2.0)
        assert [pacer.reserve(START + 60) for _ in range(3)] == pytest.approx([1.0, 31.0, 61.0])

    def test_is_halved_again_by_what_is_refused_a_minute_later(self) -> None:
        pacer = refused_after(101, over=60.0)
        learned = pacer.requests_per_minute
        assert learned is not None
        pacer.limited(START + 119, None)
        assert pacer.requests_per_minute == learned
        pacer.limited(START + 125, None)
        assert pacer.requests_per_minute == learned / 2

    def test_is_never_below_one_a_minute(self) -> None:
        pacer = Pacer()
        for minute in range(30):
            pacer.limited(START + minute * 61, None)
        assert pacer.requests_per_minute == 1.0

    def test_is_never_above_the_limit_that_was_configured(self) -> None:
        pacer = Pacer(0.5)
        pacer.reserve(START)
        pacer.limited(START, None)
        assert pacer.requests_per_minute == 0.5

    def test_grows_by_a_tenth_a_minute_where_it_is_used_up(self) -> None:
        pacer = refused_after(101, over=60.0)
        line = Line(pacer, START + 61)
        learned = pacer.requests_per_minute
        assert learned is not None
        while line.now < START + 121:
            line.answer(1)
        assert pacer.requests_per_minute == pytest.approx(1.1 * learned, rel=0.02)

    def test_does_not_grow_while_nobody_tries_it(self) -> None:
        pacer = refused_after(101, over=60.0)
        learned = pacer.requests_per_minute
        pacer.reserve(START + 7200)
        assert pacer.requests_per_minute == learned

    def test_is_given_up_at_the_limit_that_was_configured(self) -> None:
        pacer = Pacer(10)
        line = Line(pacer)
        line.send()
        pacer.limited(line.now, None)
        line.answer(49)
        assert pacer.requests_per_minute == pytest.approx(9.9)
        line.answer(2)
        assert pacer.requests_per_minute == 10

    def test_is_given_up_once_twice_the_refused_rate_is_taken(self) -> None:
        pacer = refused_after(11, over=60.0)
        line = Line(pacer, START + 61)
        line.answer(140)
        assert pacer.requests_per_minute is not None
        line.answer(20)
        assert pacer.requests_per_minute is None

    @pytest.mark.parametrize("tells_when", [True, False])
    @pytest.mark.parametrize("allowed", [5, 20, 60])
    def test_comes_to_what_the_server_takes(self, allowed: int, tells_when: bool) -> None:
        """A server that counts any 60 s, and a batch that knows nothing of it."""
        line, refused = Line(Pacer()), 0
        taken: list[float] = []
        while line.now < START + 3600:
            line.send()
            recent = [moment for moment in taken[-allowed:] if moment > line.now - 60]
            if len(recent) < allowed:
                taken.append(line.now)
                line.pacer.answered(line.now)
            else:
                refused += 1
                line.pacer.limited(line.now, recent[0] + 60 - line.now if tells_when else None)
            line.now += 0.01
        later = [moment for moment in taken if moment > START + 1800]
        assert len(later) > 0.7 * allowed * 30
        assert refused < 0.2 * len(taken)


class TestAServerOutOfReach:
    def test_holds_everything_back_for_longer_each_time(self) -> None:
        pacer, now, pauses = Pacer(), START, []
        for _ in range(7):
            pacer.unreachable(now)
            pauses.append(pacer.held(now))
            now += pauses[-1]
        assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]

    def test_counts_attempts_that_fail_together_once(self) -> None:
        pacer = Pacer()
        for _ in range(50):
            pacer.unreachable(START)
        assert pacer.held(START) == pacer.reserve(START) == 1.0

    def test_is_so_since_the_first_attempt_in_vain(self) -> None:
        pacer = Pacer()
        pacer.answered(START)
        assert pacer.outage_seconds(START + 100) == 0.0
        for moment in (200, 210, 250):
            pacer.unreachable(START + moment)
        assert pacer.outage_seconds(START + 300) == 100.0

    def test_is_over_with_an_answer_and_so_is_the_pause(self) -> None:
        pacer = Pacer()
        for moment in (0, 1, 3, 7):
            pacer.unreachable(START + moment)
        pacer.answered(START + 8)
        assert pacer.outage_seconds(START + 100) == pacer.held(START + 8) == 0.0
        pacer.unreachable(START + 9)
        assert pacer.held(START + 9) == 1.0

    def test_is_over_with_a_429_too(self) -> None:
        pacer = Pacer()
        pacer.unreachable(START)
        pacer.limited(START + 10, 1.0)
        assert pacer.outage_seconds(START + 100) == 0.0

    def test_does_not_lower_the_rate(self) -> None:
        pacer = Pacer(20)
        pacer.unreachable(START)
        assert pacer.requests_per_minute == 20


class TestQuestions:
    @pytest.mark.parametrize(
        ("in_flight", "expected", "interval"),
        [
            (100, 20.0, 0.625),
            (1, 20.0, 0.625),
            (0, 20.0, 0.625),
            (100, 1.0, 0.15),
            (100, 600.0, 1.5),
            (100, None, 1.5),
            (101, 20.0, 1.25),
            (1000, 20.0, 6.25),
        ],
    )
    def test_come_as_often_as_clips_take_to_render(
        self, in_flight: int, expected: float | None, interval: float
    ) -> None:
        assert Pacer().polling_interval(in_flight=in_flight, expected_seconds=expected) == interval

    @settings(max_examples=60)
    @given(
        rate=st.floats(min_value=0.5, max_value=6000),
        idle=st.lists(st.floats(min_value=0, max_value=40), min_size=1, max_size=150),
    )
    def test_take_a_quarter_of_a_limit_at_most(self, rate: float, idle: list[float]) -> None:
        pacer, now, asked = Pacer(rate), START, list[float]()
        for pause in idle:
            now += pause if pause > 35 else 0.0
            now += pacer.reserve_question(now)
            asked.append(now)
        burst = max(1, int(rate / 240))
        for first, moment in enumerate(asked):
            assert bisect_right(asked, moment + 60.0 - 1e-6) - first <= rate / 4 + burst

    def test_take_a_quarter_of_a_learned_rate_at_most(self) -> None:
        pacer = refused_after(5, over=60.0)
        assert [pacer.reserve_question(START + 60) for _ in range(3)] == pytest.approx([0.0, 120.0, 240.0])

    def test_wait_for_nothing_without_a_limit(self) -> None:
        pacer = Pacer()
        assert [pacer.reserve_question(START) for _ in range(100)] == [0.0] * 100

    def test_take_no_place_of_the_line_while_they_wait_for_one_of_their_own(self) -> None:
        pacer = Pacer(20)
        for _ in range(10):
            pacer.reserve_question(START)
        assert pacer.reserve(START) == 0.0

    @given(expected=st.floats(min_value=0.5, max_value=225))
    def test_of_a_full_page_are_at_most_one_and_a_half_a_clip(self, expected: float) -> None:
        interval = Pacer().polling_interval(in_flight=100, expected_seconds=expected)
        assert expected / interval / 100 <= 1.5
