"""Setting aside what a bad version made."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.sdk import BaseOperator

from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.operators.telling import tell_outlets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.rollouts.exposure import Variant
    from airflow_provider_sora.rollouts.plan import Rollout

log = logging.getLogger(__name__)

Mode = Literal["mark", "move"]
OnEmpty = Literal["warn", "fail"]

#: Characters of a reason: it is in each sidecar and in the output.
LONGEST_REASON = 500


class SoraQuarantineVideosOperator(BaseOperator):
    """Sets aside all videos that an arm of a rollout made, and lists what renders them again.

    A video counts by its sidecar; without one by what a manifest or a task's output says, and then only if the file has
    the size and the hash on record. All else is left alone, and told. A retry goes on where the attempt before it
    stopped.

    The task returns counts and the paths of two files: ``manifest`` tells of each video, ``items`` is what
    ``SoraBatchOperator`` takes as its ``items``: ``items=quarantine.output["items"]``. Events of its outlets carry the
    same.

    :param videos: where to look: outputs of tasks that made a video or a batch, paths of result manifests, videos,
        sidecars or folders, which are walked; one of them or a list.
    :param reason: why, for the people who find them; up to 500 characters.
    :param rollout: the plan, or its name. With the plan only what its own snapshot made counts.
    :param variant: the arm, ``candidate`` or ``baseline``.
    :param rollout_id: of one run through the plan; None for each of this name.
    :param snapshot: id of a snapshot, in the place of a rollout: all that it made.
    :param mode: ``mark`` leaves a video where it is, with a ``quarantine`` in its sidecar; ``move`` also puts both into
        another folder.
    :param quarantine_path: that folder, for ``move``: a local path or any object storage URL.
    :param items_path: folder for the two files; None for ``quarantine_path``.
    :param on_empty: where no video of that arm is found, as with a mistyped folder or name, ``warn`` and succeed, or
        ``fail``.
    """

    template_fields: Sequence[str] = (
        "videos",
        "reason",
        "rollout",
        "variant",
        "rollout_id",
        "snapshot",
        "mode",
        "quarantine_path",
        "items_path",
        "on_empty",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"videos": "json"}
    ui_color = "#e5e0ff"

    def __init__(
        self,
        *,
        videos: Mapping[str, Any] | Sequence[Any] | str,
        reason: str,
        rollout: Rollout | str | None = None,
        variant: Variant = "candidate",
        rollout_id: str | None = None,
        snapshot: str | None = None,
        mode: Mode = "mark",
        quarantine_path: str | None = None,
        items_path: str | None = None,
        on_empty: OnEmpty = "warn",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.videos = videos
        self.reason = reason
        self.rollout = rollout
        self.variant = variant
        self.rollout_id = rollout_id
        self.snapshot = snapshot
        self.mode = mode
        self.quarantine_path = quarantine_path
        self.items_path = items_path
        self.on_empty = on_empty

    def execute(self, context: Context) -> dict[str, Any]:
        """Find the videos, set them aside, and tell.

        :param context: the task's context.
        :return: counts, and the paths of the two files.
        """
        with no_retry_in_vain():
            self._check_arguments()
            summary = self._set_aside(context)
        # For `items=quarantine.output["items"]`: Airflow takes what is in brackets for the key of an XCom.
        context["ti"].xcom_push(key="items", value=summary["items"])
        tell_outlets(self, context, summary)
        return summary

    def _set_aside(self, context: Context) -> dict[str, Any]:
        from airflow_provider_sora.exceptions import ConfigurationError
        from airflow_provider_sora.media.archive import artifact_name
        from airflow_provider_sora.media.artifact_search import Search
        from airflow_provider_sora.media.quarantine import Quarantine, read_entries, write_lines
        from airflow_provider_sora.media.storage import check_writable
        from airflow_provider_sora.operators.rollout_ledger import made_by
        from airflow_provider_sora.rollouts.artifacts import Entry, Fate, Selection, rerendered, summary_of
        from airflow_provider_sora.timestamps import isoformat

        selection = Selection.of(self.rollout, variant=self.variant, rollout_id=self.rollout_id, snapshot=self.snapshot)
        folder = check_writable(self.quarantine_path) if self.quarantine_path else None
        files = check_writable(self.items_path or self.quarantine_path or "")
        by = made_by(context)
        manifest, items = (
            files / artifact_name(**by, snapshot=what, suffix="jsonl") for what in ("quarantine", "items")
        )
        found = Search(selection=selection).find(self.videos, earlier=read_entries(manifest))
        if self.on_empty == "fail" and not found.videos:
            raise ConfigurationError(
                f"Nothing was set aside: no video was found, and {found.empty_sources:,} of the places to look gave "
                "nothing at all. See that `videos`, `rollout` and `variant` are as they should be; with "
                'on_empty="warn" the task succeeds all the same.'
            )
        # On record before anything is moved: a retry does not find in a folder what is not there any more.
        write_lines(manifest, (Entry(video=video, fate=Fate.PLANNED).to_dict() for video in found.videos))
        quarantine = Quarantine(
            selection=selection, reason=self.reason, at=isoformat(datetime.now(UTC)), by=by, folder=folder
        )
        entries, again = rerendered(quarantine.set_aside(found.videos))
        write_lines(items, again)
        write_lines(manifest, (entry.to_dict() for entry in entries))
        summary: dict[str, Any] = {
            "rollout": selection.rollout,
            "rollout_id": selection.rollout_id,
            "variant": selection.variant if selection.rollout else None,
            "snapshot": selection.snapshot,
            "mode": self.mode,
            "reason": self.reason,
            **summary_of(entries),
            "without_video": found.without_video,
            "empty_sources": found.empty_sources,
            "manifest": str(manifest),
            "items": str(items),
        }
        self._tell(summary)
        return summary

    def _tell(self, summary: Mapping[str, Any]) -> None:
        log.info(
            "%s of %s videos were set aside (%s), %s before; %s can be rendered again by %s. Manifest: %s",
            *(f"{summary[name]:,}" for name in ("set_aside", "videos")),
            "moved" if self.mode == "move" else "marked",
            *(f"{summary[name]:,}" for name in ("already", "rerenderable")),
            summary["items"],
            summary["manifest"],
        )
        if summary["left"] or summary["not_rerenderable"]:
            log.warning(
                "%s videos were left alone, and %s cannot be rendered again by a batch: the manifest says why of each.",
                f"{summary['left']:,}",
                f"{summary['not_rerenderable']:,}",
            )
        if not summary["videos"] or summary["empty_sources"]:
            log.warning(
                "%s videos were found, and %s of the places to look gave nothing at all: see that `videos`, `rollout` "
                "and `variant` are as they should be.",
                f"{summary['videos']:,}",
                f"{summary['empty_sources']:,}",
            )

    def _check_arguments(self) -> None:
        from airflow_provider_sora.exceptions import ConfigurationError

        problems: list[str] = []
        if self.mode not in get_args(Mode):
            problems.append(f"mode is one of {', '.join(get_args(Mode))}, not {self.mode!r}")
        elif (self.mode == "move") != bool(self.quarantine_path):
            problems.append('quarantine_path is the folder for mode="move", and for that alone')
        if self.on_empty not in get_args(OnEmpty):
            problems.append(f"on_empty is one of {', '.join(get_args(OnEmpty))}, not {self.on_empty!r}")
        if not (self.quarantine_path or self.items_path):
            problems.append("items_path names the folder for the manifests: give it")
        if not isinstance(self.reason, str) or not 0 < len(self.reason.strip()) <= LONGEST_REASON:
            problems.append(f"reason says in 1 to {LONGEST_REASON} characters why")
        if problems:
            raise ConfigurationError(f"Nothing was set aside: {'; '.join(problems)}.")
