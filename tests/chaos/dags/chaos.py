"""One clip, or a batch of them, made by a task that may kill itself once at an exact point."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Context

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator


class MortalOperator(SoraGenerateVideoOperator):
    """The operator as it is shipped, in a process that ends by SIGKILL at the point that the run's configuration
    names, or whose clock jumps. Either happens once: the next attempt finds the marker."""

    def execute(self, context: Context) -> dict[str, Any]:
        arm(context["params"])
        return super().execute(context)

    def execute_complete(self, context: Context, event: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        arm(context["params"])
        return super().execute_complete(context, event, **kwargs)


class MortalBatchOperator(SoraBatchOperator):
    """The same of the operator for batches: the first of its clips that comes to the point ends the process of all."""

    def execute(self, context: Context) -> dict[str, Any]:
        arm(context["params"])
        return super().execute(context)


def arm(params: Mapping[str, Any]) -> None:
    """Put the fault where it is wanted."""
    marker = Path(f"{params['folder']}.happened")
    if marker.exists():
        return
    if params["clock_jump"]:
        _let_the_clock_jump(params["clock_jump"], marker)
    if not params["dies"]:
        return

    def die() -> None:
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    POINTS[params["dies"]](die)


def _around_save(die: Callable[[], None], phase: str, *, after: bool) -> None:
    from airflow_provider_sora.operators.batch_records import ItemRecord
    from airflow_provider_sora.operators.record_store import RecordStore

    def mortal(save: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def saving(self: Any, record: Any) -> None:
            if record.phase == phase and not after:
                die()
            save(self, record)
            if record.phase == phase:
                die()

        return saving

    RecordStore.save = mortal(RecordStore.save)  # type: ignore[method-assign]
    ItemRecord.save = mortal(ItemRecord.save)  # type: ignore[method-assign]


def _after_the_answer(die: Callable[[], None]) -> None:
    from airflow_provider_sora.hooks.sora import SoraHook

    create = SoraHook.create_video

    def creating(self: SoraHook, *args: Any, **kwargs: Any) -> Any:
        create(self, *args, **kwargs)
        die()

    SoraHook.create_video = creating  # type: ignore[method-assign]


def _in_the_download(die: Callable[[], None]) -> None:
    from airflow_provider_sora.hooks.sora import SoraHook

    download = SoraHook.download_video

    class Dying:
        def __init__(self, content: Any) -> None:
            self._content = content
            self.length, self.media_type = content.length, content.media_type

        def chunks(self) -> Iterator[bytes]:
            yield from self._content.chunks()
            die()

    @contextmanager
    def downloading(self: SoraHook, video_id: str) -> Iterator[Any]:
        with download(self, video_id) as content:
            yield Dying(content)

    SoraHook.download_video = downloading  # type: ignore[method-assign]


def _before_the_sidecar(die: Callable[[], None]) -> None:
    from airflow_provider_sora.media import keeping

    keeping.write_sidecar = lambda *args: die()  # type: ignore[assignment]


def _at_the_deferral(die: Callable[[], None]) -> None:
    MortalOperator.defer = lambda *args, **kwargs: die()  # type: ignore[assignment]


def _let_the_clock_jump(seconds: float, marker: Path) -> None:
    """Show this process another time of day from the first answer about its job on."""
    true_time, shift = time.time, 0.0
    # Before the modules that wait are imported: they take the clock that they find.
    time.time = lambda: true_time() + shift

    from airflow_provider_sora.client.client import SoraClient

    retrieve = SoraClient.retrieve

    def retrieving(self: SoraClient, video_id: str) -> Any:
        nonlocal shift
        answer = retrieve(self, video_id)
        marker.touch()
        shift = seconds
        return answer

    SoraClient.retrieve = retrieving  # type: ignore[method-assign]


POINTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "before intent": lambda die: _around_save(die, "intent", after=False),
    "after intent": lambda die: _around_save(die, "intent", after=True),
    "answer": _after_the_answer,
    "id stored": lambda die: _around_save(die, "submitted", after=True),
    "deferral": _at_the_deferral,
    "download": _in_the_download,
    "before sidecar": _before_the_sidecar,
    "kept": lambda die: _around_save(die, "finished", after=False),
    "before XCom": lambda die: _around_save(die, "finished", after=True),
}

PARAMS = {
    "prompt": "A lantern in the fog",
    "folder": "/tmp/sora-chaos",
    "conn_id": "",
    "variable": "",
    "dies": "",
    "clock_jump": 0.0,
}
CLIP: dict[str, Any] = {
    "task_id": "clip",
    "prompt": "{{ params.prompt }}",
    "model": "sora-2-2025-12-08",
    "seconds": 4,
    "size": "1280x720",
    "output_path": "{{ params.folder }}",
    "sora_conn_id": "{{ params.conn_id }}",
    "poll_interval": 1,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}
EDITED = {"prompt": "{{ var.value.get(params.variable) }}"}
KINDS: dict[str, dict[str, Any]] = {
    "worker": {},
    "worker_eager": {"poll_interval": 0.2},
    "worker_paced": {"poll_interval": None},
    "worker_edited": EDITED,
    "worker_resubmits": {"on_uncertain_submit": "resubmit"},
    "worker_keeps_nothing": {"output_path": None},
    "worker_keeps_nothing_and_resubmits": {"output_path": None, "on_uncertain_submit": "resubmit"},
    "worker_impatient": {"max_poll_failures": 2},
    "worker_timeout": {"job_timeout": 15, "retries": 1},
    "worker_timeout_leaves": {"job_timeout": 15, "on_timeout": "leave", "retries": 1},
    "deferred": {"deferrable": True},
    "deferred_edited": {"deferrable": True} | EDITED,
    "deferred_timeout": {"deferrable": True, "job_timeout": 15, "retries": 1},
    "deferred_timeout_leaves": {"deferrable": True, "job_timeout": 15, "on_timeout": "leave", "retries": 1},
    "deferred_execution_timeout": {"deferrable": True, "execution_timeout": timedelta(seconds=15)},
}
MAPPED: dict[str, dict[str, Any]] = {
    "worker_twins": {},
    "deferred_twins": {"deferrable": True},
}

BATCHES: dict[str, dict[str, Any]] = {
    "worker_batch": {},
    "worker_batch_resubmits": {"on_uncertain_submit": "resubmit"},
    "worker_batch_timeout": {"execution_timeout": timedelta(seconds=30)},
}

for kind, options in KINDS.items():
    with DAG(f"chaos_{kind}", schedule=None, start_date=pendulum.datetime(2026, 1, 1), params=PARAMS):
        MortalOperator(**CLIP | options)

for kind, options in MAPPED.items():
    with DAG(f"chaos_{kind}", schedule=None, start_date=pendulum.datetime(2026, 1, 1), params=PARAMS):
        # The same prompt twice: nothing but the map index tells the two apart.
        given = CLIP | options
        prompt = given.pop("prompt")
        MortalOperator.partial(**given).expand(prompt=[prompt, prompt])

for kind, options in BATCHES.items():
    with DAG(f"chaos_{kind}", schedule=None, start_date=pendulum.datetime(2026, 1, 1), params=PARAMS):
        MortalBatchOperator(
            **CLIP
            | {
                "items": [{"key": f"clip-{number}"} for number in range(6)],
                "prompt": "{{ params.prompt }}, {{ item.key }}",
                "max_in_flight": 3,
                "poll_interval": None,
            }
            | options
        )
