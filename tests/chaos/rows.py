"""Every fault of the suite: what happens to a run, and what must be left of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaos.scene import Scene

from airflow_provider_sora.client.transport import ATTEMPTS

#: A server on which a clip takes 4 s, 20 s, 40 s, or for ever.
QUICK, SLOW, SLOWER, ENDLESS = 4.0, 0.8, 0.4, 0.01

Play = Callable[[Scene], None]


def undisturbed(scene: Scene) -> None:
    """Start the run and wait for its end."""
    scene.begin()
    scene.wait_for_end()


@dataclass(frozen=True, kw_only=True)
class Row:
    """
    One fault.

    :param id: its name for ``pytest -k``.
    :param fault: what happens, for readers of the table.
    :param kind: which DAG.
    :param play: does it, and waits for the end of the run.
    :param dies: the point at which the task kills itself once.
    :param clock_jump: seconds by which the clock of the task's process jumps once.
    :param backend: ``sora`` honours an idempotency key and cancels; ``openai`` does neither.
    :param time_scale: how fast the server is.
    :param keeps_jobs: whether the server's jobs survive its restart.
    :param paid: jobs that should be paid for.
    :param kept: videos that should be kept.
    :param left_running: jobs that run on, where the server or the task's own arguments want it so.
    :param lost: videos that nobody has, where the protocol does not tell of them.
    :param states: how the task instances should end.
    :param says: what the task's log should tell.
    :param note: what the table adds.
    :param alone_with_triggerer: whether no other deferred run may be there meanwhile.
    :param airflow: which Airflow of its own it needs, ``two-triggerers`` or ``celery``; empty for the shared one.
    """

    id: str
    fault: str
    kind: str
    play: Play = undisturbed
    dies: str = ""
    clock_jump: float = 0.0
    backend: str = "sora"
    time_scale: float = QUICK
    keeps_jobs: bool = False
    paid: int = 1
    kept: int = 1
    left_running: int = 0
    lost: int = 0
    states: tuple[str, ...] = ("success",)
    says: str = ""
    note: str = ""
    alone_with_triggerer: bool = False
    airflow: str = ""

    @property
    def mode(self) -> str:
        """``worker`` or ``deferred``."""
        return self.kind.partition("_")[0]

    @property
    def full_only(self) -> bool:
        """Whether it is in the full form only: an Airflow of its own takes a while to start."""
        return bool(self.airflow)


ROWS: list[Row] = []


def _row(id: str, fault: str, *, kinds: tuple[str, ...] = ("worker",), **rest: Any) -> None:
    for kind in kinds:
        ROWS.append(Row(id=f"{id}-{kind}" if len(kinds) > 1 else id, fault=fault, kind=kind, **rest))


BOTH = ("worker", "deferred")
FAILED = ("failed",)

# --- kill -9 ---


def _kill_while_polling(scene: Scene) -> None:
    scene.begin()
    scene.wait_until_polling()
    scene.kill_task()
    scene.wait_for_end()


def _lose_worker_while_polling(scene: Scene) -> None:
    scene.begin()
    scene.wait_until_polling()
    scene.kill_task(with_worker=True)
    scene.wait_for_end()


def _kill_while_the_create_waits(scene: Scene) -> None:
    scene.server.arm({"kind": "delay", "route": "create", "seconds": 20})
    scene.begin()
    scene.wait_for_requests("create")
    scene.kill_task()
    scene.wait_for_end()


def _kill_triggerer(scene: Scene) -> None:
    scene.begin()
    scene.wait_until_in_triggerer()
    scene.stack.kill("triggerer")
    scene.stack.restart("triggerer")
    scene.wait_for_end()


def _freeze_triggerer(scene: Scene) -> None:
    stack = scene.stack
    stack.kill("triggerer-2")
    scene.begin()
    # The first triggerer has it: there is no other.
    scene.until("trigger at work", lambda: scene.server.stats()["requests"].get("retrieve"))
    stack.restart("triggerer-2")
    stack.freeze("triggerer")
    try:
        asked = scene.server.stats()["requests"]["retrieve"]
        frozen_until = time.monotonic() + 50
        scene.wait_for_requests("retrieve", asked + 2)
        scene.until("end of 50 s", lambda: time.monotonic() > frozen_until)
    finally:
        stack.thaw("triggerer")
    scene.wait_for_end()


_row("killed-while-polling", "kill -9 of the task while it polls", play=_kill_while_polling, time_scale=SLOW)
_row(
    "worker-lost-while-polling",
    "kill -9 of the worker and its task while it polls",
    play=_lose_worker_while_polling,
    time_scale=SLOW,
)
_row("killed-before-intent", "kill -9 before the intent is on record", dies="before intent")
_row("killed-after-intent", "kill -9 after the intent, before the request", dies="after intent")
_row(
    "killed-after-intent-openai",
    "kill -9 after the intent, before the request",
    dies="after intent",
    backend="openai",
    paid=0,
    kept=0,
    states=FAILED,
    says="Look for a job of",
    note="the server cannot tell: the task fails, and says what to look for",
)
_row(
    "killed-after-intent-openai-resubmits",
    'kill -9 after the intent, before the request; `on_uncertain_submit="resubmit"`',
    kinds=("worker_resubmits",),
    dies="after intent",
    backend="openai",
)
_row("killed-while-create-waits", "kill -9 while the create waits for its answer", play=_kill_while_the_create_waits)
_row("killed-before-the-id", "kill -9 after the answer, before the id is on record", dies="answer", kinds=BOTH)
_row(
    "killed-before-the-id-openai",
    "kill -9 after the answer, before the id is on record",
    dies="answer",
    backend="openai",
    says="Found the job whose answer was lost",
    note="found in the server's list",
)
_row("killed-after-the-id", "kill -9 after the id is on record", dies="id stored", kinds=BOTH)
_row(
    "killed-at-deferral",
    "kill -9 when the task defers, before Airflow knows of it",
    kinds=("deferred",),
    dies="deferral",
    time_scale=SLOW,
)
_row("killed-mid-download", "kill -9 in the download", dies="download", kinds=BOTH)
_row("killed-before-sidecar", "kill -9 between the file and its sidecar", dies="before sidecar")
_row("killed-when-kept", "kill -9 after the file is kept, before this is on record", dies="kept", kinds=BOTH)
_row("killed-before-xcom", "kill -9 before the XCom", dies="before XCom", kinds=BOTH)
_row(
    "triggerer-killed",
    "kill -9 of the triggerer, and its restart",
    kinds=("deferred",),
    play=_kill_triggerer,
    time_scale=SLOW,
    alone_with_triggerer=True,
)

_row(
    "triggerer-frozen",
    "a triggerer stands still for 50 s, and another one takes over",
    kinds=("deferred",),
    play=_freeze_triggerer,
    time_scale=0.16,
    airflow="two-triggerers",
)

# --- Celery ---


def _kill_celery_worker(scene: Scene) -> None:
    scene.begin()
    scene.wait_until_polling()
    worker = scene.kill_worker()
    try:
        # The first to the dead worker, the second when Redis gives that one up, the third by Airflow's retry.
        scene.wait_for_deliveries(3)
        scene.wait_for_end()
    finally:
        scene.stack.restart(worker)


def _be_delivered_twice(scene: Scene) -> None:
    scene.begin()
    scene.wait_for_deliveries(2)
    scene.wait_for_end()


_row(
    "celery-undisturbed",
    "`CeleryExecutor`: nothing happens",
    kinds=BOTH,
    time_scale=SLOW,
    airflow="celery",
)
_row(
    "celery-delivered-twice",
    "`CeleryExecutor`: the broker delivers the task a second time while it polls",
    play=_be_delivered_twice,
    time_scale=SLOWER,
    airflow="celery",
    note="Airflow refuses the second delivery",
)
_row(
    "celery-worker-killed",
    "`CeleryExecutor`: kill -9 of one of two workers, and of its task while it polls",
    play=_kill_celery_worker,
    time_scale=SLOW,
    airflow="celery",
    says="going on with it",
    note="the broker delivers it again, which Airflow refuses; a retry goes on with the job",
)

# --- people ---


def _mark_failed(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.mark("failed")
    scene.wait_for_end()


def _mark_one_failed(scene: Scene) -> None:
    scene.begin()
    for map_index in (0, 1):
        scene.wait_until_in_triggerer(map_index=map_index)
    scene.mark("failed", map_index=0)
    scene.wait_for_end()


def _stop_run(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.stop_run()
    scene.wait_for_end()


def _clear(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.clear()
    scene.wait_for_end()


def _clear_after_success(scene: Scene) -> None:
    undisturbed(scene)
    scene.clear()
    scene.wait_for_end()
    assert scene.task()["try_number"] == 2


def _edit_and_clear(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.prompt("Two lanterns in the fog")
    scene.clear()
    scene.wait_for_end()


def _until_waiting(scene: Scene) -> None:
    if scene.kind.startswith("deferred"):
        scene.wait_until_in_triggerer()
    else:
        scene.wait_until_polling()


def _mark_failed_while_the_create_waits(scene: Scene) -> None:
    scene.server.arm({"kind": "delay", "route": "create", "seconds": 3})
    scene.begin()
    scene.wait_for_requests("create")
    scene.mark("failed")
    scene.until("job", lambda: scene.server.stats()["jobs"]["created"])
    scene.wait_for_end()


def _mark_failed_without_triggerer(scene: Scene) -> None:
    scene.stack.kill("triggerer")
    try:
        scene.begin()
        scene.wait_for_state("deferred")
        scene.mark("failed")
    finally:
        scene.stack.restart("triggerer")
    scene.wait_for_end()


_CANCELLED: dict[str, Any] = {"kept": 0, "states": FAILED, "time_scale": ENDLESS, "note": "cancelled at the server"}
_row(
    "marked-failed",
    "the task is marked failed while it waits",
    play=_mark_failed,
    kinds=("worker_eager", "deferred"),
    **_CANCELLED,
)
_row(
    "marked-failed-openai",
    "the task is marked failed while it waits",
    play=_mark_failed,
    kinds=("worker_eager", "deferred"),
    backend="openai",
    left_running=1,
    says="this server cannot cancel",
    **_CANCELLED | {"note": "left running: the server cannot cancel, and the log says so"},
)
_row(
    "marked-failed-without-triggerer",
    "the task is marked failed after it was deferred, before a triggerer took it",
    kinds=("deferred",),
    play=_mark_failed_without_triggerer,
    alone_with_triggerer=True,
    left_running=1,
    **_CANCELLED
    | {"note": "nothing of the task runs that could cancel: its record names the job, and clearing it goes on with it"},
)
_row(
    "marked-failed-in-create",
    "the task is marked failed while the create waits for its answer",
    play=_mark_failed_while_the_create_waits,
    **_CANCELLED,
)
_row(
    "marked-failed-mapped",
    "one of two mapped tasks is marked failed while both wait",
    kinds=("deferred_twins",),
    play=_mark_one_failed,
    time_scale=SLOWER,
    paid=2,
    states=("failed", "success"),
    note="the one is cancelled at the server, the other kept",
)
_row("run-stopped", "the DAG run is marked failed while it waits", play=_stop_run, kinds=BOTH, **_CANCELLED)
_row("cleared", "the task is cleared while it waits", play=_clear, kinds=BOTH, time_scale=SLOW)
_row("cleared-after-success", "the task is cleared after its success", play=_clear_after_success)
_row(
    "edited-and-cleared",
    "the prompt is edited and the task cleared while it waits",
    kinds=("worker_edited", "deferred_edited"),
    play=_edit_and_clear,
    time_scale=SLOWER,
    paid=2,
    note="the old job is cancelled at the server",
)

# --- answers that do not come ---


def _armed(*faults: dict[str, Any]) -> Play:
    def play(scene: Scene) -> None:
        scene.server.arm(*faults)
        undisturbed(scene)

    return play


_DROP = {"kind": "drop_answer", "route": "create"}
_CUT = {"kind": "truncate", "route": "create"}
_REFUSED = {"kind": "rate_limit", "route": "create", "retry_after": 0.2}


def _refuse_all_of_an_attempt(scene: Scene) -> None:
    scene.server.arm(_REFUSED | {"times": ATTEMPTS})
    undisturbed(scene)
    assert scene.task()["try_number"] == 2


_row("answer-dropped", "the answer to the create is lost", play=_armed(_DROP))
_row(
    "answer-malformed",
    "the answer to the create is an HTML page",
    play=_armed({"kind": "malformed", "handled": True, "route": "create"}),
)
_row(
    "create-reset",
    "the connection breaks before the create is handled",
    play=_armed({"kind": "reset", "route": "create"}),
)
_row(
    "create-429",
    "three creates in a row are answered with 429",
    play=_armed(_REFUSED | {"times": 3}),
    note="sent again in the same attempt",
)
_row(
    "create-429-often",
    "all creates of an attempt are answered with 429",
    play=_refuse_all_of_an_attempt,
    note="a retry submits",
)
_row(
    "answer-truncated",
    "the answer to the create ends in the middle",
    play=_armed(_CUT),
)
_row(
    "answer-truncated-openai",
    "the answer to the create ends in the middle",
    play=_armed(_CUT),
    backend="openai",
    note="found in the server's list",
)
_row(
    "answer-dropped-openai",
    "the answer to the create is lost",
    play=_armed(_DROP),
    backend="openai",
    note="found in the server's list",
)
_row(
    "answers-dropped-twins-openai",
    "the answers to two creates of mapped tasks with one prompt are lost",
    kinds=("worker_twins", "deferred_twins"),
    play=_armed(_DROP | {"times": 2}),
    backend="openai",
    paid=2,
    kept=2,
    states=("success", "success"),
    note="found in the server's list; each task takes its own",
)
_row(
    "answer-dropped-openai-keeps-nothing",
    "the answer to the create is lost; no `output_path`",
    kinds=("worker_keeps_nothing",),
    play=_armed(_DROP),
    backend="openai",
    kept=0,
    lost=1,
    states=FAILED,
    says="Look for a job of",
    note="no place for a claim, so no job is taken: the task fails, and says what to look for",
)
_row(
    "answer-dropped-openai-resubmits",
    'the answer to the create is lost; no `output_path`, `on_uncertain_submit="resubmit"`',
    kinds=("worker_keeps_nothing_and_resubmits",),
    play=_armed(_DROP),
    backend="openai",
    paid=2,
    kept=0,
    lost=1,
    note="paid twice, as asked for",
)

# --- a server in trouble ---

for _name, _fault in {
    "429": {"kind": "rate_limit"},
    "503": {"kind": "http_error", "status": 503},
    "resets": {"kind": "reset"},
    "malformed": {"kind": "malformed"},
}.items():
    _words = {"429": "429", "503": "503", "resets": "a reset connection", "malformed": "an HTML page"}[_name]
    _row(
        f"storm-of-{_name}",
        f"three questions in a row are answered with {_words}",
        play=_armed(_fault | {"route": "retrieve", "times": 3}),
        kinds=BOTH,
    )


def _lose_job(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.server.lose_jobs()
    scene.wait_for_end()


def _lose_job_twice(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.server.lose_jobs()
    scene.until("second job", lambda: scene.server.stats()["jobs"]["created"] == 2)
    scene.server.lose_jobs()
    scene.wait_for_end()
    assert scene.task()["try_number"] == 2


def _restart_server(scene: Scene) -> None:
    scene.begin()
    _until_waiting(scene)
    scene.kill_server()
    scene.wait_for_end()


_row(
    "server-silent",
    "more failures in a row than `max_poll_failures`",
    kinds=("worker_impatient",),
    play=_armed({"kind": "http_error", "status": 503, "route": "retrieve", "times": 3}),
    time_scale=SLOW,
    note="a retry goes on with the job",
)
_row("truncated", "a download ends early", play=_armed({"kind": "truncate"}))
_row("truncated-often", "all downloads of an attempt end early", play=_armed({"kind": "truncate", "times": 3}))
_row(
    "jobs-lost",
    "the server forgets the job",
    play=_lose_job,
    kinds=BOTH,
    time_scale=SLOW,
    paid=2,
    note="submitted again once",
)
_row(
    "jobs-lost-twice",
    "the server forgets the job, and the one that was submitted for it",
    play=_lose_job_twice,
    kinds=BOTH,
    time_scale=SLOW,
    paid=3,
    note="submitted again once; then the attempt fails, and its retry submits anew",
)
_row(
    "server-killed-keeps-nothing",
    "kill -9 of the server, which keeps its jobs in memory, and its restart",
    play=_restart_server,
    kinds=BOTH,
    time_scale=SLOW,
    paid=2,
    note="submitted again once",
)
_row(
    "server-killed",
    "kill -9 of the server, which keeps its jobs on disk, and its restart",
    play=_restart_server,
    kinds=BOTH,
    time_scale=SLOW,
    keeps_jobs=True,
)

# --- time ---

_row(
    "timeout-cancel",
    "`job_timeout` passes",
    kinds=("worker_timeout", "deferred_timeout"),
    **_CANCELLED | {"says": "job_timeout"},
)
_row(
    "timeout-leave",
    '`job_timeout` passes, `on_timeout="leave"`',
    kinds=("worker_timeout_leaves", "deferred_timeout_leaves"),
    left_running=1,
    **_CANCELLED | {"note": "left running, as asked for"},
)
_row(
    "timeout-across-attempts",
    "kill -9 while it polls; then `job_timeout` passes",
    kinds=("worker_timeout",),
    play=_kill_while_polling,
    **_CANCELLED,
)
_row(
    "execution-timeout",
    "`execution_timeout` of the attempt passes while it is deferred",
    kinds=("deferred_execution_timeout",),
    time_scale=SLOW,
    note="a retry goes on with the job",
)
for _name, _fault, _seconds in (
    ("forwards", "the task's clock jumps six hours forwards while it polls", 6 * 3600.0),
    ("backwards", "the task's clock jumps an hour backwards while it polls", -3600.0),
):
    _row(
        f"clock-jumps-{_name}",
        _fault,
        kinds=("worker_paced",),
        clock_jump=_seconds,
        time_scale=SLOWER,
    )

# --- batches ---


def _batch_row(id: str, fault: str, *, paid: int = 6, kept: int = 6, kinds: tuple[str, ...] = (), **rest: Any) -> None:
    """A row of a batch of six clips, of which three are in flight at a time."""
    _row(f"batch-{id}", f"a batch: {fault}", kinds=kinds or ("worker_batch",), paid=paid, kept=kept, **rest)


_batch_row("killed-while-polling", "kill -9 of the task while it polls", play=_kill_while_polling, time_scale=SLOW)
_batch_row(
    "worker-lost-while-polling",
    "kill -9 of the worker and its task while it polls",
    play=_lose_worker_while_polling,
    time_scale=SLOW,
)
_batch_row("killed-after-intent", "kill -9 after the first intent, before its request", dies="after intent")
_batch_row("killed-before-the-id", "kill -9 after the first answer, before its id is on record", dies="answer")
_batch_row(
    "killed-before-the-id-openai",
    "kill -9 after the first answer, before its id is on record",
    kinds=("worker_batch_resubmits",),
    dies="answer",
    backend="openai",
    note="those that arrived are found in the server's list",
)
_batch_row("killed-after-the-id", "kill -9 after the first id is on record", dies="id stored")
_batch_row("killed-mid-download", "kill -9 in the first download", dies="download")
_batch_row("killed-before-sidecar", "kill -9 between the first file and its sidecar", dies="before sidecar")
_batch_row("killed-when-kept", "kill -9 after the first file is kept, before this is on record", dies="kept")
_batch_row(
    "answers-dropped", "the answers to two creates are lost", play=_armed(_DROP | {"times": 2}), note="asked for again"
)
_batch_row("create-429-often", "nine creates are answered with 429", play=_armed(_REFUSED | {"times": 9}))
_batch_row("cleared", "the task is cleared while it waits", play=_clear, time_scale=SLOW)
_batch_row(
    "server-killed",
    "kill -9 of the server, which keeps its jobs on disk, and its restart",
    play=_restart_server,
    time_scale=SLOW,
    keeps_jobs=True,
)
_batch_row(
    "execution-timeout",
    "`execution_timeout` of the attempt passes",
    kinds=("worker_batch_timeout",),
    time_scale=SLOW,
    note="it ends before, in order; a retry goes on with the jobs",
)
_batch_row("marked-failed", "the task is marked failed while it waits", play=_mark_failed, **_CANCELLED | {"paid": 3})
_batch_row("run-stopped", "the DAG run is marked failed while it waits", play=_stop_run, **_CANCELLED | {"paid": 3})
_batch_row(
    "marked-failed-openai",
    "the task is marked failed while it waits",
    play=_mark_failed,
    backend="openai",
    left_running=3,
    says="this server cannot cancel",
    **_CANCELLED | {"paid": 3, "note": "left running: the server cannot cancel, and the log says so"},
)
