"""A storyboard for a server that renders one scene at a time: a job for each, joined into one clip."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTerminated

from airflow_provider_sora.client.rendition import NATIVE
from airflow_provider_sora.exceptions import (
    ConfigurationError,
    SoraError,
    VideoRolledBackError,
    VideoTimeoutError,
)
from airflow_provider_sora.media.archive import is_as_described, read_sidecar
from airflow_provider_sora.media.frames import last_frame, require_av
from airflow_provider_sora.media.keeping import keep_file, require_match
from airflow_provider_sora.media.local_copies import at_hand
from airflow_provider_sora.media.stitch import join
from airflow_provider_sora.media.storage import Spooled, folder_at, spool
from airflow_provider_sora.operators.cancellation import cancel, cancel_and_close, stop_if_ended
from airflow_provider_sora.operators.interruption import Interruption
from airflow_provider_sora.operators.keeping import found_before, target_of
from airflow_provider_sora.operators.record_store import RecordStore
from airflow_provider_sora.operators.scene_records import SceneRecords, scene_name
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.arguments import refusal
from airflow_provider_sora.videos.record import Phase, SubmissionRecord
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_sora.client.polling import Outcome
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.rendering import Rendering
    from airflow_provider_sora.operators.reproduce import SoraReproduceVideoOperator
    from airflow_provider_sora.operators.storyboard import SoraStoryboardOperator
    from airflow_provider_sora.snapshots.resolution import Resolution

log = logging.getLogger(__name__)

#: Stands for a frame that is not rendered yet.
_LAST_FRAME = InputReference(name="last-frame.png", media_type="image/png", source="last frame")


@dataclass(kw_only=True)
class Stitching:
    """What a storyboard task does where its scenes are jobs of their own. Each has its own record, so that a finished
    scene is never paid for again.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param hook: the server.
    :param resubmissions: how often this attempt submitted again what the server lost.
    :param attempt_deadline: when this attempt's ``execution_timeout`` ends, in seconds since 1970; None for never.
    """

    operator: SoraStoryboardOperator | SoraReproduceVideoOperator
    context: Context
    hook: SoraHook
    resubmissions: int = 0
    attempt_deadline: float | None = None
    _under_way: list[Rendering] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._interruption = Interruption(self.context)
        self._records = SceneRecords(self.context)

    @property
    def is_on_record(self) -> bool:
        """Whether a failure was pushed already."""
        return any(scene.is_on_record for scene in self._under_way)

    @property
    def record(self) -> SubmissionRecord | None:
        """What is on record of the first scene whose job is open, None where there is none."""
        return next(iter(self._records.open().values()), None)

    def run(self, *, outcome: Outcome | None = None) -> dict[str, Any]:
        """Render the scenes that are not there yet, and join all.

        :param outcome: how waiting for one of them ended, None where this attempt has not waited.
        """
        request = self.hook.with_known_cameos(self.operator.build_request())
        scenes = self.operator.scenes_of(request)
        fingerprint = request.fingerprint(
            reference=self.operator.reference,
            environment=self.hook.environment.name,
            account=self.hook.settings.account,
        )
        goes_on = fingerprint == self._records.fingerprint
        planned = self._planned(request, goes_on=goes_on)
        if goes_on and (before := self._joined_before(planned)):
            return before
        if goes_on and self._is_taken_back(planned):
            self._take_back(planned, is_running=outcome is not None)
            return self.run()
        if outcome is None and (found := self._checked(planned, scenes, goes_on=goes_on)):
            return found
        self._cancel_what_was_changed(scenes)
        self._records.begin(fingerprint, len(scenes))
        submitted_now = [] if self._follows else self._submit_all(scenes)
        kept: list[VideoResult] = []
        for place, scene in enumerate(scenes):
            if kept and self._is_taken_back(planned):
                self._take_back(planned, is_running=True)
                return self.run()
            rendering = self._rendering(place, partial(self._continued, scene, tuple(kept)), kept)
            rendering.is_first_look = rendering.item in submitted_now
            with self._told(f"Scene {place + 1} of {len(scenes)}", kept), self._others_stopped(rendering):
                kept.append(VideoResult.from_dict(self._kept(rendering, outcome)))
            log.info("Scene %d of %d is kept: %s.", place + 1, len(scenes), (kept[-1].artifact or {}).get("uri"))
        if self._interruption.was_ended():
            raise AirflowTaskTerminated("The task was ended; its scenes are kept, and were not joined.")
        return self._join(planned, kept)

    def resume(self, outcome: Outcome) -> dict[str, Any]:
        """Go on with what the trigger told.

        :param outcome: how waiting for a scene ended.
        """
        return self.run(outcome=outcome)

    def killed(self) -> None:
        """Cancel the jobs of a task that a person ended."""
        stop_if_ended(self._interruption, self.hook, self._live)

    def _live(self) -> tuple[str, ...]:
        """The jobs of scenes that may run, without asking Airflow: this is needed in a signal's handler too."""
        latest = {scene.item: scene for scene in self._under_way}.values()
        ids = (scene.video_id or scene.submission.live_video_id for scene in latest)
        return tuple(video_id for video_id in ids if video_id is not None)

    def _kept(self, rendering: Rendering, outcome: Outcome | None) -> dict[str, Any]:
        submission = rendering.submission
        is_told = outcome is not None and submission.live_video_id == outcome.video_id
        if outcome is not None and is_told and submission.is_of_this_request:
            return rendering.resume(outcome)
        return rendering.run()

    @contextmanager
    def _told(self, name: str, kept: Sequence[VideoResult]) -> Iterator[None]:
        """Say of an error which scene it is of, and what is not lost."""
        try:
            yield
        except SoraError as error:
            safe = f" {len(kept)} scenes are kept; a retry renders only what is missing." if kept else ""
            error.args = (f"{name}: {error}{safe}", *error.args[1:])
            raise

    @contextmanager
    def _others_stopped(self, rendering: Rendering) -> Iterator[None]:
        """Where a scene cannot be rendered, the others are of no use: they are cancelled, unless a retry may help."""
        try:
            yield
        except SoraError as error:
            stays = error.retryable or (isinstance(error, VideoTimeoutError) and self.operator.on_timeout == "leave")
            for video_id in self._live():
                if video_id in (rendering.video_id, rendering.submission.live_video_id):
                    continue
                if stays:
                    log.warning("Video %s, of another scene, goes on; a retry goes on with it.", video_id)
                else:
                    cancel(self.hook, video_id, why="another scene of its clip cannot be rendered")
            raise

    def _is_taken_back(self, planned: VideoResult) -> bool:
        """Whether a rollback reaches into a clip that has begun, by the plan's ``in_flight``."""
        rollout = self.operator.rollout
        return rollout is not None and rollout.in_flight != "drain" and self.operator.is_withdrawn(planned.version)

    def _take_back(self, planned: VideoResult, *, is_running: bool) -> None:
        """Give up what the candidate rendered of the clip, so that all of it is rendered on the baseline."""
        first = self._records.load(0)
        self._records.take_back(self.hook)
        if is_running and self.operator.rollout is not None and self.operator.rollout.in_flight == "cancel":
            raise VideoRolledBackError(
                f"The rollout was rolled back while the candidate {planned.version.snapshot} rendered the scenes of "
                "this clip. Its running jobs were cancelled, where the server can; scenes that were finished are "
                "billed and not used. The plan's in_flight is cancel: a retry renders the clip on the baseline.",
                video_id=(first.result["video_id"] if first is not None else None) or "",
                code="rolled_back",
            )
        log.warning("The rollout was rolled back. All scenes are rendered anew, on the baseline, as the plan says.")

    def _cancel_what_was_changed(self, scenes: Sequence[VideoRequest]) -> None:
        """Cancel what an earlier form of this task had rendered and this one has no use for."""
        whole = RecordStore(self.context)
        record = whole.load()
        if record is not None and record.phase is not Phase.FINISHED:
            cancel_and_close(self.hook, whole, record, of="storyboard")
        self._records.cancel_open(self.hook, range(len(scenes), self._records.count))

    def _checked(self, planned: VideoResult, scenes: Sequence[VideoRequest], *, goes_on: bool) -> dict[str, Any] | None:
        """Refuse what a later scene could not be rendered with before the first one is paid for.

        :return: the finished clip of this very request, where ``overwrite="skip"`` finds one.
        """
        operator = self.operator
        require_av("Joining scenes")
        if operator.output_path is None or not operator.wait_for_completion:
            raise ConfigurationError(
                "Nothing was submitted: scenes that are rendered one by one are joined here, so the task needs an "
                "output_path and waits. Set them, or use render_as='prompt'."
            )
        if self._follows and self.hook.backend.picture is None and len(scenes) > 1:
            raise refusal(
                [
                    f"{self.hook.backend.title} takes no picture, so no scene can begin where the one before it ends: "
                    "use continuity='none'"
                ]
            )
        snapshot = self._snapshot(planned.version)
        for place, scene in enumerate(scenes):
            begins = replace(scene, input_reference=_LAST_FRAME) if place and self._follows else scene
            try:
                self.hook.render(begins).request.check(snapshot, catalog=self.hook.catalog)
            except SoraError as error:
                raise type(error)(f"Scene {place + 1}: {error}") from error
        if goes_on:
            return None
        found = found_before(self.context, planned, folder=operator.output_path, overwrite=operator.overwrite)
        if found is not None:
            self.context["ti"].xcom_push(key="version", value=found["version"])
        return found

    @property
    def _follows(self) -> bool:
        return self.operator.continuity == "last_frame"

    def _submit_all(self, scenes: Sequence[VideoRequest]) -> list[str | None]:
        """Have all scenes rendered at the same time. What is with the server, or was, is waited for afterwards.

        :return: the names of those that were submitted now.
        """
        submitted_now: list[str | None] = []
        submitted: list[VideoResult] = []
        for place, scene in enumerate(scenes):
            rendering = self._rendering(place, partial(_as_it_is, scene), submitted, waits=False)
            with self._others_stopped(rendering):
                if rendering.is_to_be_submitted:
                    rendering.run()
                    submitted_now.append(rendering.item)
            submitted.append(rendering.submission.restored())
        return submitted_now

    def _rendering(
        self,
        place: int,
        build_request: Callable[[], VideoRequest],
        before: list[VideoResult],
        *,
        waits: bool = True,
    ) -> Rendering:
        rendering = self.operator.rendering(
            self.context,
            build_request=build_request,
            item=scene_name(place),
            waits=waits,
            # An alias that moves between two scenes must not change the model in the middle of a clip.
            version=replace(before[0].version, served_model=None) if before else None,
            interruption=self._interruption,
            siblings=self._live,
            resubmissions=self.resubmissions,
            attempt_deadline=self.attempt_deadline,
        )
        self._under_way.append(rendering)
        return rendering

    def _continued(self, scene: VideoRequest, before: tuple[VideoResult, ...]) -> VideoRequest:
        """A scene that begins with the last frame of the one before it."""
        if not before or not self._follows:
            return scene
        artifact = before[-1].artifact or {}

        def make() -> bytes:
            with tempfile.TemporaryDirectory(prefix="sora-scene-") as folder:
                return last_frame(_fetched(artifact["uri"], Path(folder)))

        picture = InputReference(
            name=f"scene-{len(before)}.png",
            media_type="image/png",
            # A later version of the encoder must not make another request of it.
            source=f"last frame of {artifact['sha256']}",
            make=make,
        )
        return replace(scene, input_reference=picture)

    def _planned(self, request: VideoRequest, *, goes_on: bool) -> VideoResult:
        """What is about to be rendered; where an earlier attempt began with it, on the version that it settled."""
        first = self._records.load(0) if goes_on else None
        if first is not None:
            version = replace(first.restored(dict).version, served_model=None)
        else:
            version, _ = self.operator.choose_version(self.context, self.hook)
        return VideoResult.planned(
            version=version,
            request=request,
            snapshot=self._snapshot(version),
            account=self.hook.settings.account,
        )

    def _snapshot(self, version: Resolution) -> Snapshot:
        return self.hook.catalog.find(version.snapshot) or Snapshot(id=version.snapshot)

    def _target(self, planned: VideoResult) -> ObjectStoragePath:
        return target_of(self.context, self.operator.output_path or "", snapshot=planned.version.snapshot)

    def _joined_before(self, planned: VideoResult) -> dict[str, Any] | None:
        """The whole clip, where an earlier attempt joined it."""
        if self.operator.output_path is None:
            return None
        target = self._target(planned)
        sidecar = read_sidecar(target)
        if sidecar is None or (sidecar.get("request") or {}).get("digest") != planned.request["digest"]:
            return None
        if not is_as_described(target, sidecar):
            return None
        log.info("The clip of these scenes is kept at %s already. Nothing was submitted.", target)
        self.context["ti"].xcom_push(key="version", value=sidecar["version"])
        if self.operator.strict:
            require_match(VideoResult.from_dict(sidecar))
        return sidecar

    def _join(self, planned: VideoResult, scenes: list[VideoResult]) -> dict[str, Any]:
        ways = {way for scene in scenes for way in str(scene.request["rendered_as"]).split("+")} - {NATIVE}
        joined = VideoResult.joined(planned, scenes, rendered_as="+".join(["stitch", *sorted(ways)]))
        target = self._target(planned)
        with spool(target) as part, tempfile.TemporaryDirectory(prefix="sora-scenes-") as folder:
            clips = [_fetched((scene.artifact or {})["uri"], Path(folder)) for scene in scenes]
            how = join(clips, part)
            kept = keep_file(joined, Spooled.from_file(part), target=target)
        log.info("Joined %d scenes into %s: %g s, pictures %s.", len(scenes), target, round(how.duration, 3), how.how)
        self.context["ti"].xcom_push(key="version", value=kept.version.to_dict())
        if self.operator.strict:
            require_match(kept)
        return kept.to_dict()


def _as_it_is(scene: VideoRequest) -> VideoRequest:
    return scene


def _fetched(uri: str, folder: Path) -> Path:
    """:raises DownloadError: it cannot be read."""
    subject = "The scene, which is rendered and kept,"
    return at_hand(folder_at(uri), folder, subject=subject, advice="Try again.")
