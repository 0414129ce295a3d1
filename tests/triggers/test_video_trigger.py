"""The trigger asks until a job is final, and tells it in one event."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from emulator_process import EmulatorProcess
from task_double import over_the_wire

from airflow_provider_sora import task_states
from airflow_provider_sora.client.polling import Outcome, Verdict
from airflow_provider_sora.exceptions import ConnectionUnavailableError
from airflow_provider_sora.hooks import connections
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.triggers import video
from airflow_provider_sora.triggers.video import SoraVideoTrigger
from airflow_provider_sora.videos.request import VideoRequest

#: Longer than any job of the hurried emulator, and no burden for a test.
HELD = 0.6


def submit(prompt: str = "A kite in May") -> str:
    return SoraHook().create_video(VideoRequest(prompt=prompt, seconds=4), snapshot="sora-2-2025-12-08").id


def trigger(video_id: str, **arguments: Any) -> SoraVideoTrigger:
    now = time.time()
    defaults: dict[str, Any] = {
        "sora_conn_id": "sora_default",
        "video_id": video_id,
        "submitted_at": now,
        "deadline": now + 20,
        "expected_seconds": None,
        "poll_interval": 0.05,
        "max_poll_failures": 10,
        "attempt_deadline": None,
        "first_look": 0.0,
        "not_before": 0.0,
        "owns_job": True,
    }
    return SoraVideoTrigger(**{**defaults, **arguments})


def events_of(wanted: SoraVideoTrigger) -> list[dict[str, Any]]:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in wanted.run()]

    return [over_the_wire(event.payload) for event in asyncio.run(collect())]


def outcome_of(wanted: SoraVideoTrigger) -> Outcome:
    (event,) = events_of(wanted)
    assert set(event) == {"outcome"}
    return Outcome.from_dict(event["outcome"])


def test_it_is_made_again_from_what_it_stores() -> None:
    path, kwargs = trigger("video_1").serialize()
    module, _, name = path.rpartition(".")
    assert (module, name) == (SoraVideoTrigger.__module__, SoraVideoTrigger.__name__)
    assert SoraVideoTrigger(**over_the_wire(kwargs)).serialize() == (path, kwargs)


def test_a_completed_job_is_told_once_without_its_prompt(sora: EmulatorProcess) -> None:
    video_id = submit()
    (event,) = events_of(trigger(video_id))
    outcome = Outcome.from_dict(event["outcome"])
    assert outcome.verdict is Verdict.COMPLETED
    assert outcome.job is not None
    assert (outcome.job.id, outcome.job.model) == (video_id, "sora-2-2025-12-08")
    assert "May" not in str(event)
    assert "sk-quick" not in str(event)


def test_the_event_is_held_back_until_it_may_come(sora: EmulatorProcess) -> None:
    not_before = time.time() + HELD
    assert outcome_of(trigger(submit(), not_before=not_before)).verdict is Verdict.COMPLETED
    assert time.time() >= not_before


def test_a_failure_is_held_back_too(sora: EmulatorProcess) -> None:
    not_before = time.time() + HELD
    assert (
        "error"
        in events_of(trigger("video_1", sora_conn_id="sora_missing", max_poll_failures=1, not_before=not_before))[0]
    )
    assert time.time() >= not_before


def test_an_event_is_not_held_back_for_hours_by_a_clock_that_was_far_ahead(
    sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "SHORTEST_DEFERRAL", HELD)
    held = trigger(submit(), not_before=time.time() + 7200, first_look=time.time() + 7200)
    assert outcome_of(held).verdict is Verdict.COMPLETED


def test_an_api_server_that_is_away_for_a_while_does_not_end_the_wait(
    sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = iter([OSError("API server away"), ConnectionUnavailableError("Airflow did not answer")])
    really_read = connections.aread_connection

    async def read(conn_id: str) -> Any:
        if (trouble := next(reads, None)) is not None:
            raise trouble
        return await really_read(conn_id)

    monkeypatch.setattr(connections, "aread_connection", read)
    assert outcome_of(trigger(submit())).verdict is Verdict.COMPLETED


@pytest.mark.parametrize(
    ("extra", "expected"), [({"tiemout": 3}, "unknown extras: tiemout"), ({"read_timeout": "soon"}, "read_timeout")]
)
def test_a_connection_that_cannot_be_used_is_an_event(
    extra: dict[str, Any], expected: str, sora: EmulatorProcess, connect: Any
) -> None:
    connect(sora.base_url, **extra)
    (event,) = events_of(trigger("video_1"))
    assert event["retryable"] is False
    assert expected in event["error"]


def test_a_failed_job_is_told_with_its_reason(sora: EmulatorProcess) -> None:
    outcome = outcome_of(trigger(submit("A [moderated] kite")))
    assert (outcome.verdict, outcome.code) == (Verdict.FAILED, "moderation_blocked")


def test_a_job_that_takes_too_long_is_told_at_its_deadline(sora: EmulatorProcess) -> None:
    sora.arm({"kind": "stall_job"})
    before = sora.stats()["jobs"]["cancelled"]
    video_id, deadline = submit(), time.time() + 0.4
    outcome = outcome_of(trigger(video_id, deadline=deadline))
    assert outcome.verdict is Verdict.TIMED_OUT
    assert deadline <= time.time() < deadline + 2
    assert sora.stats()["jobs"]["cancelled"] == before


def test_a_triggerer_that_takes_over_late_asks_once_more_before_it_gives_up(sora: EmulatorProcess) -> None:
    ready, past = submit(), time.time() - 3600
    assert outcome_of(trigger(ready)).verdict is Verdict.COMPLETED
    late = trigger(ready, submitted_at=past, deadline=past + 60)
    assert outcome_of(late).verdict is Verdict.COMPLETED


@pytest.mark.parametrize("fault", [{"kind": "http_error", "status": 503}, {"kind": "reset"}, {"kind": "malformed"}])
def test_it_survives_passing_trouble(fault: dict[str, Any], sora: EmulatorProcess) -> None:
    video_id = submit()
    sora.arm({**fault, "route": "retrieve", "times": 2})
    assert outcome_of(trigger(video_id)).verdict is Verdict.COMPLETED
    assert sora.armed() == []


def test_trouble_that_does_not_pass_is_told(sora: EmulatorProcess) -> None:
    video_id = submit()
    sora.arm({"kind": "http_error", "route": "retrieve", "status": 503, "times": None})
    outcome = outcome_of(trigger(video_id, poll_interval=0.01, max_poll_failures=3))
    assert outcome.verdict is Verdict.UNREACHABLE


def test_a_job_that_the_server_lost_is_told(sora: EmulatorProcess) -> None:
    assert outcome_of(trigger("video_none")).verdict is Verdict.LOST


def test_many_jobs_are_waited_for_at_the_same_time(sora: EmulatorProcess) -> None:
    videos = [submit() for _ in range(10)]
    not_before = time.time() + HELD

    async def all_of_them() -> list[TriggerEvent]:
        async def first(video_id: str) -> TriggerEvent:
            return await anext(aiter(trigger(video_id, not_before=not_before).run()))

        return list(await asyncio.gather(*map(first, videos)))

    begun = time.monotonic()
    events = asyncio.run(all_of_them())
    assert [event.payload["outcome"]["video_id"] for event in events] == videos
    assert time.monotonic() - begun < 10 * HELD


class TestAKill:
    """Airflow calls ``on_kill`` of a trigger that it takes away, and cancels a call that takes longer than a second."""

    @pytest.fixture
    def stalled(self, sora: EmulatorProcess) -> str:
        """A job that never ends."""
        sora.arm({"kind": "stall_job"})
        return submit()

    @staticmethod
    def kill(wanted: SoraVideoTrigger, *, cancelled_after: float | None = None) -> None:
        wanted.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)

        async def kill() -> None:
            killing = asyncio.create_task(wanted.on_kill())
            if cancelled_after is not None:
                await asyncio.sleep(cancelled_after)
                killing.cancel()
            await asyncio.wait([killing])
            await asyncio.gather(*video._killings)

        asyncio.run(kill())

    def test_cancels_the_job_of_a_task_that_a_person_ended(
        self, sora: EmulatorProcess, stalled: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_states, "has_ended", lambda **_: True)
        cancelled = sora.stats()["jobs"]["cancelled"]
        self.kill(trigger(stalled))
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 1

    def test_goes_on_where_airflow_gives_it_up_in_the_middle(
        self, sora: EmulatorProcess, stalled: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_states, "has_ended", lambda **_: True)
        cancelled = sora.stats()["jobs"]["cancelled"]
        sora.arm({"kind": "delay", "route": "delete", "seconds": 1})
        self.kill(trigger(stalled), cancelled_after=0.3)
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 1

    def test_leaves_the_job_of_a_task_that_another_triggerer_took_over(
        self, sora: EmulatorProcess, stalled: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_states, "has_ended", lambda **_: False)
        deletes = sora.stats()["requests"].get("delete", 0)
        self.kill(trigger(stalled))
        assert sora.stats()["requests"].get("delete", 0) == deletes

    def test_of_a_task_that_succeeded_elsewhere_leaves_its_video(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_states, "has_ended", lambda **_: True)
        video_id = submit()
        assert outcome_of(trigger(video_id)).verdict is Verdict.COMPLETED
        self.kill(trigger(video_id))
        assert SoraHook().get_video(video_id).id == video_id

    @pytest.mark.parametrize("whose", ["another task's", "nobody's"])
    def test_cancels_no_job_that_is_not_its_own(
        self, whose: str, sora: EmulatorProcess, stalled: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_states, "has_ended", lambda **_: True)
        deletes = sora.stats()["requests"].get("delete", 0)
        if whose == "another task's":
            self.kill(trigger(stalled, owns_job=False))
        else:
            asyncio.run(trigger(stalled).on_kill())
        assert sora.stats()["requests"].get("delete", 0) == deletes
