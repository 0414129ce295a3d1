"""Idempotency keys, rate limits, served models and faults: decisions without I/O."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.emulator.errors import ApiError
from airflow_provider_sora.emulator.faults import Fault, parse_faults, pick
from airflow_provider_sora.emulator.idempotency import IdempotencyRecord, fingerprint, replayed
from airflow_provider_sora.emulator.limits import check_in_flight, check_rate
from airflow_provider_sora.emulator.served import ServedModels
from airflow_provider_sora.snapshots.catalog import Catalog

TODAY = date(2026, 1, 1)


class TestIdempotency:
    def test_a_new_key_is_a_new_request(self) -> None:
        assert replayed(None, "f") is None

    def test_the_same_request_finds_what_it_made(self) -> None:
        assert replayed(IdempotencyRecord("f", "video_1"), "f") == "video_1"

    def test_another_request_with_the_same_key_is_refused(self) -> None:
        with pytest.raises(ApiError) as raised:
            replayed(IdempotencyRecord("f", "video_1"), "g")
        assert (raised.value.status, raised.value.code) == (422, "idempotency_key_reused")

    def test_files_count_by_their_content(self) -> None:
        one = fingerprint({"prompt": "a"}, {"input_reference": [b"1"]})
        assert one != fingerprint({"prompt": "a"}, {"input_reference": [b"2"]})
        assert one == fingerprint({"prompt": "a"}, {"input_reference": [b"1"]})

    @given(st.dictionaries(st.text(), st.text() | st.integers()))
    def test_the_order_of_fields_does_not_count(self, fields: dict[str, Any]) -> None:
        assert fingerprint(fields, {}) == fingerprint(dict(reversed(fields.items())), {})


class TestRateLimits:
    def test_the_wait_ends_when_the_oldest_call_leaves_the_minute(self) -> None:
        with pytest.raises(ApiError) as raised:
            check_rate([100.0, 110.0], 130.5, per_minute=2)
        assert raised.value.headers == {"Retry-After": "30", "Retry-After-Ms": "29500"}

    def test_calls_of_more_than_a_minute_ago_do_not_count(self) -> None:
        check_rate([100.0, 110.0], 160.0, per_minute=2)

    @given(st.lists(st.floats(0, 500), max_size=20).map(sorted), st.integers(1, 5))
    def test_after_the_wait_the_call_is_accepted(self, started: list[float], limit: int) -> None:
        now = 500.0
        try:
            check_rate(started, now, per_minute=limit)
        except ApiError as error:
            later = now + int(error.headers["Retry-After"])
            check_rate(started, later, per_minute=limit)

    def test_too_many_jobs_wait_for_the_first_to_end(self) -> None:
        with pytest.raises(ApiError) as raised:
            check_in_flight([112.0, 104.5, None], 100.0, limit=3)
        assert raised.value.headers["Retry-After"] == "5"
        check_in_flight([112.0, None], 100.0, limit=3)

    def test_without_a_limit_nothing_is_refused(self) -> None:
        check_rate([1.0] * 1000, 1.0, per_minute=None)
        check_in_flight([2.0] * 1000, 1.0, limit=None)


class TestServedModels:
    models = ServedModels(Catalog.builtin(), {}, {})

    def test_an_alias_is_served_by_its_snapshot(self) -> None:
        assert self.models.resolve("sora-2", today=TODAY).id == "sora-2-2025-12-08"

    def test_an_alias_can_be_moved(self) -> None:
        moved = ServedModels(Catalog.builtin(), {"sora-2": "sora-2-2025-10-06"}, {})
        assert moved.resolve("sora-2", today=TODAY).id == "sora-2-2025-10-06"
        assert moved.describe("sora-2")["alias_of"] == "sora-2-2025-10-06"

    def test_an_unknown_model_is_refused_with_the_list_of_known_ones(self) -> None:
        with pytest.raises(ApiError, match=r"sora-2-2025-10-06, sora-2-2025-12-08.*sora-2-pro") as raised:
            self.models.resolve("sora-3", today=TODAY)
        assert (raised.value.status, raised.value.code) == (404, "model_not_found")

    def test_the_snapshots_live_on_here(self) -> None:
        assert {entry["shutdown_date"] for entry in self.models.listing()} == {None}

    def test_a_snapshot_is_refused_from_its_shutdown_date_on(self) -> None:
        dying = ServedModels(Catalog.builtin(), {}, {"sora-2-2025-10-06": date(2026, 1, 2)})
        assert dying.describe("sora-2-2025-10-06")["shutdown_date"] == "2026-01-02"
        dying.resolve("sora-2-2025-10-06", today=TODAY)
        with pytest.raises(ApiError, match="was shut down on 2026-01-02"):
            dying.resolve("sora-2-2025-10-06", today=date(2026, 1, 2))


class TestFaults:
    def test_a_fault_meets_its_route_as_often_as_armed(self) -> None:
        armed = parse_faults({"kind": "http_error", "route": "retrieve", "times": 2})
        met = []
        for route in ("create", "retrieve", "retrieve", "retrieve"):
            now, armed = pick(armed, route)
            met.append(len(now))
        assert met == [0, 1, 1, 0]
        assert armed == []

    def test_it_can_let_requests_pass_before(self) -> None:
        armed = parse_faults({"kind": "http_error", "skip": 2})
        met = []
        for _ in range(4):
            now, armed = pick(armed, "list")
            met.append(len(now))
        assert met == [0, 0, 1, 0]

    def test_null_times_meet_every_request(self) -> None:
        armed = [Fault(kind="reset", times=None)]
        assert pick(armed, "list") == (armed, armed)

    def test_a_delay_goes_together_with_one_other_fault(self) -> None:
        armed = parse_faults([{"kind": "delay"}, {"kind": "http_error"}, {"kind": "malformed"}])
        met, left = pick(armed, "list")
        assert [fault.kind for fault in met] == ["delay", "http_error"]
        assert [fault.kind for fault in left] == ["malformed"]

    def test_faults_of_jobs_meet_no_request(self) -> None:
        armed = parse_faults([{"kind": "fail_job"}, {"kind": "http_error"}])
        assert [fault.kind for fault in pick(armed, "create")[0]] == ["http_error"]
        assert [fault.kind for fault in pick(armed, None)[0]] == ["fail_job"]

    def test_a_fault_of_one_models_jobs_waits_for_its_next_one(self) -> None:
        armed = parse_faults([{"kind": "fail_job", "model": "sora-2-2025-12-08"}])
        assert pick(armed, None, model="sora-2-2025-10-06") == ([], armed)
        assert pick(armed, None, model="sora-2-2025-12-08") == (armed, [])

    def test_a_job_may_be_slow_and_its_clip_wrong_in_several_ways(self) -> None:
        kinds = ["slow_job", "freeze_clip", "mute_clip", "wrong_length"]
        met, left = pick(parse_faults([{"kind": kind} for kind in kinds]), None)
        assert [fault.kind for fault in met] == kinds
        assert left == []

    def test_of_each_kind_a_job_meets_the_first_and_it_either_fails_or_stalls(self) -> None:
        kinds = ["slow_job", "stall_job", "slow_job", "fail_job"]
        met, left = pick(parse_faults([{"kind": kind} for kind in kinds]), None)
        assert [fault.kind for fault in met] == ["slow_job", "stall_job"]
        assert [fault.kind for fault in left] == ["slow_job", "fail_job"]

    @pytest.mark.parametrize("clip", ["freeze_clip", "mute_clip", "wrong_length"])
    @pytest.mark.parametrize("ending", ["fail_job", "stall_job"])
    def test_a_fault_of_a_clip_waits_where_another_one_keeps_the_job_from_having_one(
        self, clip: str, ending: str
    ) -> None:
        armed = parse_faults([{"kind": clip, "skip": 1}, {"kind": clip}, {"kind": ending}])
        met, left = pick(armed, None)
        assert ([fault.kind for fault in met], left) == ([ending], armed[:2])
        met, left = pick(left, None)
        assert (met, [fault.skip for fault in left]) == ([armed[1]], [0])

    def test_a_fault_of_a_clip_waits_where_the_job_fails_by_itself(self) -> None:
        armed = parse_faults([{"kind": "mute_clip"}, {"kind": "slow_job"}])
        assert pick(armed, None, fails=True) == ([armed[1]], [armed[0]])

    def test_one_that_is_to_fail_a_later_job_keeps_none_from_the_clip_of_this_one(self) -> None:
        armed = parse_faults(
            [{"kind": "mute_clip"}, {"kind": "fail_job", "skip": 1}, {"kind": "stall_job", "model": "o"}]
        )
        met, left = pick(armed, None, model="sora-2-2025-12-08")
        assert [fault.kind for fault in met] == ["mute_clip"]
        assert [fault.kind for fault in left] == ["fail_job", "stall_job"]

    def test_a_slow_job_takes_twice_as_long_and_a_wrong_clip_is_half_as_long(self) -> None:
        slow, wrong = parse_faults([{"kind": "slow_job"}, {"kind": "wrong_length"}])
        assert (slow.factor, wrong.factor) == (2.0, 0.5)

    @pytest.mark.parametrize(
        ("fault", "param"),
        [
            ({"kind": "slow_job", "factor": 0}, "[0].factor"),
            ({"kind": "freeze_clip", "share": 2}, "[0].share"),
            ({"kind": "mute_clip", "route": "content"}, "route"),
            ({"kind": "fail_job", "model": 5}, "[0].model"),
            ({"kind": "explode"}, "[0].kind"),
            ({"kind": []}, "[0].kind"),
            ({"kind": "http_error", "route": "creat"}, "[0].route"),
            ({"kind": "http_error", "status": 200}, "[0].status"),
            ({"kind": "delay", "seconds": -1}, "[0].seconds"),
            ({"kind": "reset", "times": 0}, "[0].times"),
            ({"kind": "reset", "status": 500}, "status"),
            ("reset", "[0]"),
        ],
    )
    def test_a_wrong_fault_is_refused_by_its_field(self, fault: object, param: str) -> None:
        with pytest.raises(ApiError) as raised:
            parse_faults([fault])
        assert raised.value.param == param

    def test_faults_are_shown_with_the_fields_they_have(self) -> None:
        (fault,) = parse_faults({"kind": "drop_answer"})
        assert fault.to_dict() == {"kind": "drop_answer", "route": "create", "times": 1, "skip": 0}
