"""The operator that renders the same prompts on two snapshots, and says what that showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.links import SoraManifestLink, SoraReportLink
from airflow_provider_sora.operators.batch import SoraBatchOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.evaluation import Criteria

Require = Literal["pass", "no_fail"]

#: Times that a prompt can be rendered on each side.
MOST_REPEATS = 20

#: MB of a report: below the 64 MiB that Airflow's page shows.
MOST_REPORT_MB = 60


class SoraCompareSnapshotsOperator(SoraBatchOperator):
    """Renders the same prompts on two snapshots, measures the clips, and compares them pair by pair.

    Both sides get the same seed and the same parameters, beside one another in random order, so that they meet the same
    load. It is a :class:`~airflow_provider_sora.operators.batch.SoraBatchOperator`: a retry renders and measures only
    what is missing, and the limits on cost and time hold for both sides together. A job that failed is not missing: no
    retry submits it again.

    Beside the manifest are written a report, ``.html``, one that names no side, for those who are to judge by what they
    see, and all numbers, ``.json``. The task returns the summary of the batch and, of what was found, ``verdict``
    (``pass``, ``fail`` or ``inconclusive``), ``evidence`` (the same for ``replay`` and ``benchmark``, which a rollout
    may require), ``findings`` (each criterion's verdict), and where the files are: ``comparison``, ``report``,
    ``blind_report``.

    :param baseline: the snapshot in use: its id, an alias or a named version.
    :param candidate: the snapshot that may follow it.
    :param items: the prompts, as for a batch. A prompt that one side cannot render, such as a storyboard on a snapshot
        without storyboards, is listed apart and rendered on neither.
    :param output_path: folder for the clips, the manifest and the reports.
    :param repeats: how often each prompt is rendered on each side, 1 to 20. What is compared is prompts, so that more
        of these tell more than repeats do; repeats tell how alike the answers to one request are.
    :param criteria: what is allowed, and how sure one wants to be; None for the default ones.
    :param require: which verdict the task needs to succeed: ``pass``, or ``no_fail`` for any but a fail; None for none,
        so that the next task decides. The reports are written in any case.
    :param report_mb: how large a report may become, in MB, 1 to 60. Previews are left out first.
    :param min_success_rate: as for a batch, and 0 by default: a side that fails is what is to be found out.

    Further arguments are those of a batch, but for ``model``, ``unit`` and ``shard``. What an item gives as
    ``priority`` does not count here.
    """

    template_fields: Sequence[str] = (
        *(name for name in SoraBatchOperator.template_fields if name not in ("model", "shard")),
        "baseline",
        "candidate",
        "repeats",
        "require",
        "report_mb",
    )
    operator_extra_links = (SoraManifestLink(), SoraReportLink())

    def __init__(
        self,
        *,
        baseline: str,
        candidate: str,
        items: Sequence[Mapping[str, Any] | str] | str,
        output_path: str,
        repeats: int | str = 1,
        criteria: Criteria | None = None,
        require: Require | None = None,
        report_mb: float | str = 25,
        min_success_rate: float | str = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(items=items, output_path=output_path, min_success_rate=min_success_rate, **kwargs)
        self.baseline = baseline
        self.candidate = candidate
        self.repeats = repeats
        self.criteria = criteria
        self.require = require
        self.report_mb = report_mb

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin, or go on where an earlier attempt stopped.

        :param context: the task's context.
        :return: the batch's summary, and what was found.
        """
        from airflow_provider_sora.operators.comparison_attempt import ComparisonAttempt

        with no_retry_in_vain():
            self._check_arguments()
            self._attempt_under_way = ComparisonAttempt(self, context, self._limits(), repeats=self._times())
            return self._attempt_under_way.run()

    @property
    def report_bytes(self) -> int:
        """How large a report may become.

        :raises ConfigurationError: ``report_mb`` is none.
        """
        from airflow_provider_sora.exceptions import ConfigurationError
        from airflow_provider_sora.videos.arguments import number, shown

        most = number(self.report_mb, "report_mb", [])
        if most is None or not 1 <= most <= MOST_REPORT_MB:
            raise ConfigurationError(
                f"Nothing was submitted: report_mb is a number from 1 to {MOST_REPORT_MB}, not {shown(self.report_mb)}."
            )
        return int(most * 1_000_000)

    def _times(self) -> int:
        from airflow_provider_sora.exceptions import ConfigurationError
        from airflow_provider_sora.videos.arguments import shown, whole

        repeats = whole(self.repeats, "repeats", [])
        if repeats is None or not 1 <= repeats <= MOST_REPEATS:
            raise ConfigurationError(
                f"Nothing was submitted: repeats is a whole number from 1 to {MOST_REPEATS}, not {shown(self.repeats)}."
            )
        return repeats

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        return {**super()._choices(), "require": (None, *get_args(Require))}

    def _check_arguments(self) -> None:
        from airflow_provider_sora.evaluation.criteria import Criteria
        from airflow_provider_sora.exceptions import ConfigurationError
        from airflow_provider_sora.media.filters import require_filters
        from airflow_provider_sora.videos.arguments import shown

        super()._check_arguments()
        given = [name for name in ("model", "unit", "shard") if getattr(self, name) not in (None, "")]
        problems = [f"{name} is not for a comparison" for name in given]
        problems += [
            f"{side} names no snapshot" for side in ("baseline", "candidate") if not str(getattr(self, side)).strip()
        ]
        if not isinstance(self.criteria, Criteria | None):
            problems.append(f"criteria is a Criteria, not {shown(self.criteria)}")
        if problems:
            raise ConfigurationError(f"Nothing was submitted: {'; '.join(problems)}.")
        self.report_bytes  # noqa: B018  # it is refused before anything is paid for
        require_filters("Measuring clips")
