"""One attempt of a comparison: a batch of pairs, and then what it showed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.items import InvalidItem, Item
from airflow_provider_sora.evaluation.suite import SIDES, NotComparable, in_pairs, misnamed, parted
from airflow_provider_sora.exceptions import ComparisonError, InvalidRequestError
from airflow_provider_sora.operators.batch_attempt import BatchAttempt
from airflow_provider_sora.operators.batch_plan import Clip
from airflow_provider_sora.operators.comparison_report import conclude, verdict_of
from airflow_provider_sora.operators.comparison_versions import PairedVersions, resolved
from airflow_provider_sora.operators.rollout_evidence import server_of
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Variant
from airflow_provider_sora.snapshots.resolution import Resolution

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.batches.guards import Limits
    from airflow_provider_sora.operators.comparison import SoraCompareSnapshotsOperator

log = logging.getLogger(__name__)


class ComparisonAttempt(BatchAttempt):
    """What the operator's ``execute`` does.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param limits: of the batch.
    :param repeats: how often each prompt is rendered on each side.
    """

    # They are what was to be found out: a second try of one side's failures only would hide them.
    _failures_stand = True

    def __init__(
        self, operator: SoraCompareSnapshotsOperator, context: Context, limits: Limits, *, repeats: int
    ) -> None:
        super().__init__(operator, context, limits)
        self._comparison = operator
        self._repeats = repeats
        self._suite: list[Item] = []
        self._apart: list[NotComparable] = []

    def _asked(self) -> dict[str, Any]:
        return {side: self._references[side] for side in SIDES}

    @property
    def _references(self) -> dict[Variant, str]:
        return {BASELINE: self._comparison.baseline, CANDIDATE: self._comparison.candidate}

    def _settled(self) -> dict[str, Any]:
        versions = resolved(self._hook, self._references)
        return {"versions": versions, "version": {**versions[CANDIDATE], "variant": None}}

    def _read(self) -> tuple[list[Item], list[InvalidItem]]:
        """The prompts; they become pairs once it is known what the two versions take."""
        items, invalid = super()._read()
        faulty = misnamed(items)
        self._suite = [item for item in items if item.place not in {each.place for each in faulty}]
        return self._suite, [*invalid, *faulty]

    def _versions(
        self, head: Mapping[str, Any], items: Sequence[Item]
    ) -> tuple[PairedVersions, list[Item], list[InvalidItem]]:
        self._pair = versions = PairedVersions(self._hook, head["versions"])
        snapshots = [versions.side(side)[1] for side in SIDES]
        takes_seed = "seed" in self._hook.backend.parameters and all(each.can("seed") for each in snapshots)
        pairs = in_pairs(items, repeats=self._repeats, seeded=takes_seed and self._comparison.seed in (None, ""))
        if not takes_seed:
            log.warning(
                "The server or one of the two snapshots takes no seed, so that each clip is rendered from its own: two "
                "clips of a prompt differ by chance, too."
            )
        self._places |= {pair.place: number + len(self._places) for number, pair in enumerate(pairs)}
        return versions, pairs, []

    def _suitable(self, clips: list[Clip], refused: list[InvalidItem]) -> tuple[list[Clip], list[InvalidItem]]:
        invalid, self._apart = parted(self._suite, refused)
        left_out = {each.key for each in invalid} | {each.item.key for each in self._apart}
        for each in self._apart:
            told = "%s (%s) is not compared: the %s cannot render it: %s."
            log.warning(told, each.item.key, each.item.place, each.lacks, "; ".join(each.faults))
        if self._apart and len(left_out) == len(self._suite):
            raise InvalidRequestError(
                "Nothing was submitted: there is no prompt that both snapshots can render. "
                f"{self._apart[0].item.place}: the {self._apart[0].lacks} cannot: {'; '.join(self._apart[0].faults)}."
            )
        compared = [clip for clip in clips if clip.item.fields["prompt_key"] not in left_out]
        log.info(
            "Of %s entries of %s %s are compared, which takes %s clips%s; %s cannot be rendered by one side, %s are "
            "invalid.",
            f"{self._entries:,}",
            self._source,
            f"{len(self._suite) - len(left_out):,}",
            f"{len(compared):,}",
            f" with {self._repeats:,} of each prompt on each side" if self._repeats > 1 else "",
            f"{len(self._apart):,}",
            f"{self._entries - len(self._suite) + len(left_out) - len(self._apart):,}",
        )
        return compared, invalid

    def _tell_versions(self, head: Mapping[str, Any]) -> None:
        for side in SIDES:
            self._tell_version(Resolution.from_dict(head["versions"][side]))

    def _concluded(self, summary: dict[str, Any]) -> dict[str, Any]:
        concluded = conclude(
            self._comparison,
            self._context,
            summary,
            snapshots={side: self._pair.side(side)[0].snapshot for side in SIDES},
            server=server_of(self._hook).to_dict(),
            repeats=self._repeats,
            apart=self._apart,
            hold=self._journal.hold,
            tell=lambda line: self._keep_progress({**summary, "total": summary["items"], "progress": line}),
        )
        self._keep_progress(concluded)
        if (told := verdict_of(concluded, require=self._comparison.require)) is not None:
            self._comparison.outcome = concluded
            self._context["ti"].xcom_push(key="return_value", value=concluded)
            raise ComparisonError(told)
        return concluded
