"""Operators for many clips in one task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_sora.batches.shards import shard
from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.links import SoraManifestLink
from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator
from airflow_provider_sora.operators.telling import TellingOperator
from airflow_provider_sora.videos.arguments import GENERATION_ARGUMENTS

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink, Context

    from airflow_provider_sora.batches.guards import Limits
    from airflow_provider_sora.operators.batch_attempt import BatchAttempt

__all__ = ["SoraBatchOperator", "SoraMergeBatchesOperator", "shard"]

OnLimit = Literal["fail", "partial"]
OnInvalid = Literal["fail", "skip"]
OnEmpty = Literal["succeed", "fail"]


class SoraBatchOperator(SoraGenerateVideoOperator):
    """Renders many clips in one task and one worker slot: a loop submits, asks for and fetches them.

    Each clip has its record in a journal beside the output, so that a retry, whatever ended the attempt before it,
    renders and fetches only what is missing, and nothing is paid for twice. The task returns a summary; the manifest
    that it names has an entry for each item.

    The arguments of :class:`~airflow_provider_sora.operators.generation.SoraGenerateVideoOperator` are what holds for
    the items that do not give their own.

    :param items: a list of mappings or prompts, the output of a task, or the path of a manifest: ``.jsonl``,
        ``.json``, ``.csv`` or ``.parquet`` at any place that Airflow reads. An item gives arguments of generation, and
        may give a ``key``, which names it, a ``priority``, the higher the sooner, and fields of its own.
    :param output_path: folder for the files, the manifest and the journal.
    :param prompt: for items without one; a Jinja template in which ``item`` is the item at hand. One that mentions
        ``item.prompt`` holds for all items. What a manifest says is never taken as a template.
    :param unit: with a rollout as ``model``, what must stay together on one snapshot: a Jinja template in which
        ``item`` is the item at hand, such as ``{{ item.campaign }}``. None for the rollout's own ``unit``, else each
        item by its key.
    :param shard: which part of the items this task renders; ``.expand(shard=shard(4))`` has four tasks share them.
    :param max_in_flight: jobs that are with the server at the same time, 1 to 1,000.
    :param requests_per_minute: submissions and questions, at most; None for as many as the server bears, which its
        429s tell.
    :param item_retries: how often a clip that failed in passing is submitted again, 0 to 10. What a content policy
        refused never is.
    :param max_cost_usd: what the batch may cost by the catalogue's prices, retries included; None for no limit.
    :param max_quota_units: how much quota it may take; None for no limit.
    :param max_failure_rate: share of the items begun that may fail, below which the batch goes on; None for no limit.
    :param failure_sample: items that must have begun before that is judged.
    :param deadline: time from the first attempt's beginning, a timedelta or seconds, after which nothing more is
        submitted; what is in flight is finished. None for none.
    :param on_limit: at any of these limits, ``fail`` once what is in flight is kept, or ``partial``: succeed with what
        there is. With ``fail`` a batch that would cost too much is refused before anything is paid for.
    :param on_invalid: where items cannot be rendered as they are written, ``fail`` before anything is paid for, with
        all of them, or ``skip`` them.
    :param on_empty: where there are no items, ``succeed`` or ``fail``.
    :param min_success_rate: share of the clips that ended which must have succeeded for the task to succeed, 0 to 1.
        All that succeeded is kept in either case.

    ``wait_for_completion`` and ``deferrable`` are not for batches: the task waits, in its worker.
    """

    template_fields: Sequence[str] = (
        # These are made for each item.
        *(name for name in SoraGenerateVideoOperator.template_fields if name not in ("prompt", "unit")),
        "items",
        "shard",
        "max_in_flight",
        "requests_per_minute",
        "item_retries",
        "max_cost_usd",
        "max_quota_units",
        "max_failure_rate",
        "failure_sample",
        "deadline",
        "on_limit",
        "on_invalid",
        "on_empty",
        "min_success_rate",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **SoraGenerateVideoOperator.template_fields_renderers,
        "items": "json",
    }
    operator_extra_links: Collection[BaseOperatorLink] = (SoraManifestLink(),)

    def __init__(
        self,
        *,
        items: Sequence[Mapping[str, Any] | str] | str,
        output_path: str,
        prompt: str = "",
        shard: Mapping[str, int] | None = None,
        max_in_flight: int | str = 20,
        requests_per_minute: float | str | None = None,
        item_retries: int | str = 2,
        max_cost_usd: float | str | None = None,
        max_quota_units: float | str | None = None,
        max_failure_rate: float | str | None = None,
        failure_sample: int | str = 20,
        deadline: timedelta | float | str | None = None,
        on_limit: OnLimit = "fail",
        on_invalid: OnInvalid = "fail",
        on_empty: OnEmpty = "succeed",
        min_success_rate: float | str = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prompt=prompt, output_path=output_path, **kwargs)
        self.items = items
        self.shard = shard
        self.max_in_flight = max_in_flight
        self.requests_per_minute = requests_per_minute
        self.item_retries = item_retries
        self.max_cost_usd = max_cost_usd
        self.max_quota_units = max_quota_units
        self.max_failure_rate = max_failure_rate
        self.failure_sample = failure_sample
        self.deadline = deadline
        self.on_limit = on_limit
        self.on_invalid = on_invalid
        self.on_empty = on_empty
        self.min_success_rate = min_success_rate
        self._attempt_under_way: BatchAttempt | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin, or go on where an earlier attempt stopped.

        :param context: the task's context.
        :return: the summary.
        """
        from airflow_provider_sora.operators.batch_attempt import BatchAttempt

        with no_retry_in_vain():
            self._check_arguments()
            self._attempt_under_way = BatchAttempt(self, context, self._limits())
            return self._attempt_under_way.run()

    def on_kill(self) -> None:
        """Cancel the jobs of a task that a person ended; leave them where only the worker ends."""
        if self._attempt_under_way is not None:
            self._attempt_under_way.killed()

    @property
    def reads(self) -> tuple[object, ...]:
        """The manifest of the items; what single items begin from is too much for an event."""
        return (self.items,)

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments of generation for items that do not give their own."""
        return {name: getattr(self, name) for name in GENERATION_ARGUMENTS}

    def _limits(self) -> Limits:
        from airflow_provider_sora.batches.guards import check_limits

        deadline = self.deadline
        return check_limits(
            max_in_flight=self.max_in_flight,
            requests_per_minute=self.requests_per_minute,
            item_retries=self.item_retries,
            max_cost_usd=self.max_cost_usd,
            max_quota_units=self.max_quota_units,
            max_failure_rate=self.max_failure_rate,
            failure_sample=self.failure_sample,
            min_success_rate=self.min_success_rate,
            deadline_seconds=deadline.total_seconds() if isinstance(deadline, timedelta) else deadline,
        )

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        return {
            **super()._choices(),
            "on_limit": get_args(OnLimit),
            "on_invalid": get_args(OnInvalid),
            "on_empty": get_args(OnEmpty),
        }

    def _check_arguments(self) -> None:
        from airflow_provider_sora.exceptions import ConfigurationError

        super()._check_arguments()
        if not self.wait_for_completion:
            raise ConfigurationError(
                "Nothing was submitted: a batch waits for its clips; leave out wait_for_completion."
            )


class SoraMergeBatchesOperator(TellingOperator):
    """Joins the manifests of batches that ran side by side, and judges them as one.

    A batch task that was killed leaves no output. Nobody knows then how many of all clips succeeded, so with such a
    part missing the task fails, once it has joined the others, unless ``min_success_rate`` is 0: that takes what there
    is. The summary counts them under ``missing_parts``.

    :param batches: the outputs of the batch tasks, or the paths of their manifests.
    :param output_path: folder for the joined manifest.
    :param parts: how many batches there must be, such as 4 for those of ``shard(4)``: of mapped tasks Airflow gives
        the outputs that are there, and does not tell how many are not. None for as many as ``batches`` lists, of which
        one without an output is missing.
    :param min_success_rate: share of the clips that ended which must have succeeded for the task to succeed, 0 to 1.
        The manifest is written in either case.
    """

    template_fields: Sequence[str] = ("batches", "output_path", "parts", "min_success_rate")
    template_fields_renderers: ClassVar[dict[str, str]] = {"batches": "json"}
    ui_color = SoraGenerateVideoOperator.ui_color
    operator_extra_links = (SoraManifestLink(),)

    def __init__(
        self,
        *,
        batches: Sequence[Mapping[str, Any] | str | None],
        output_path: str,
        parts: int | str | None = None,
        min_success_rate: float | str = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batches = batches
        self.output_path = output_path
        self.parts = parts
        self.min_success_rate = min_success_rate
        self.joined: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[object, ...]:
        """The manifests that were joined."""
        return self.joined

    def execute(self, context: Context) -> dict[str, Any]:
        """Join them.

        :param context: the task's context.
        :return: a summary of all, of the same form as a batch's, with ``missing_parts``.
        """
        from airflow_provider_sora.operators.batch_merge import merge

        with no_retry_in_vain():
            return merge(self, context)
