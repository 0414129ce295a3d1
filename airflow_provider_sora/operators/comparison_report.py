"""What a finished comparison becomes: measurements, numbers, and the reports."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.summary import ItemOutcome
from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.evaluation.comparison import compare
from airflow_provider_sora.evaluation.metrics import BY_NAME
from airflow_provider_sora.evaluation.pairs import Pair, Side
from airflow_provider_sora.evaluation.suite import OWN_FIELDS, PROMPT_KEY, REPEAT, SIDE, SIDES, NotComparable
from airflow_provider_sora.exceptions import DownloadError
from airflow_provider_sora.media.manifests import read_manifest
from airflow_provider_sora.media.storage import folder_at, not_stored, open_to_read, put_if_absent, store_bytes
from airflow_provider_sora.operators.batch_records import batch_file
from airflow_provider_sora.operators.comparison_looks import Looks
from airflow_provider_sora.operators.rollout_ledger import made_by
from airflow_provider_sora.reports.blind_numbers import blind_numbers
from airflow_provider_sora.reports.html import render
from airflow_provider_sora.reports.names import report_name, thumbnails_name
from airflow_provider_sora.reports.overview import looks_worse
from airflow_provider_sora.reports.pictures import PairPictures, pair_name
from airflow_provider_sora.reports.sides import Blind, columns
from airflow_provider_sora.reports.thumbnails import thumbnails
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Variant
from airflow_provider_sora.timestamps import isoformat

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_sora.operators.comparison import SoraCompareSnapshotsOperator

log = logging.getLogger(__name__)

#: Folder of what was measured, below the output.
MEASUREMENTS_FOLDER = ".sora-comparisons"

_CLIPS_ARE_SAFE = (
    "The clips are rendered, measured and kept: nothing has to be paid again. See that the place can be written, and "
    "clear the task."
)


def conclude(
    operator: SoraCompareSnapshotsOperator,
    context: Context,
    summary: Mapping[str, Any],
    *,
    snapshots: Mapping[Variant, str],
    server: Mapping[str, str],
    repeats: int,
    apart: Sequence[NotComparable],
    hold: Callable[[], None],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Measure the clips of a finished batch, compare them, and write what that showed.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param summary: of the batch.
    :param snapshots: ids, by sides.
    :param server: ``host`` and ``environment``, for whoever asks where this was found out.
    :param repeats: how often each prompt was rendered on each side.
    :param apart: prompts that one side cannot render.
    :param hold: is called each time before anything is written, and raises where another attempt of the task took
        over meanwhile.
    :param tell: is given how far the measuring is, every few seconds.
    :return: the summary, and what was found.
    :raises DownloadError: a clip cannot be read, or something cannot be stored.
    """
    folder = operator.output_path or ""
    entries, invalid = _sorted_out(read_manifest(summary["manifest"]))
    looks = Looks(batch_file(context, f"{folder}/{MEASUREMENTS_FOLDER}", suffix="clips"), entries, tell=tell)
    pairs = list(_pairs(entries, looks))
    criteria = operator.criteria or Criteria()
    comparison = compare(pairs, criteria, lacking=sum(each.lacks == CANDIDATE for each in apart))
    document = comparison.to_dict()
    document |= {
        "compared": comparison.compared,
        "baseline": snapshots[BASELINE],
        "candidate": snapshots[CANDIDATE],
        "server": dict(server),
        "lenient": list(criteria.lenient),
        "made_at": _made_at(entries),
        "made_by": made_by(context),
        "manifest": summary["manifest"],
        "suite": {
            **document["suite"],
            "repeats": repeats,
            "not_comparable": [_told_apart(each) for each in apart],
            "invalid": invalid,
        },
    }
    pictures = looks.pictures(document, room=operator.report_bytes)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    files = _Files(context, folder)
    hold()
    blind = files.sealed_order(snapshots)
    shown = partial(render, document, pictures, base_url=_base_url(), limit_bytes=operator.report_bytes)
    contents = {"report": shown(blind=None), "blind_report": shown(blind=blind)}
    if (first := thumbnails(_sheets(document, pictures, blind))) is not None:
        contents["thumbnails"] = first
    hold()
    files.write("comparison.json", text.encode(errors="backslashreplace"))
    reports: dict[str, str] = {}
    for name, content in contents.items():
        reports[name] = files.write_shown(name, content)
        reports[f"{name}_sha256"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
    context["ti"].xcom_push(key="order", value={"path": str(files.path("order.json")), "sha256": blind.digest})
    _tell(document, reports["report"])
    return {
        **summary,
        "baseline": document["baseline"],
        "candidate": document["candidate"],
        "made_at": document["made_at"],
        "server": document["server"],
        "compared": document["suite"]["compared"],
        "lenient": document["lenient"],
        "verdict": document["verdict"],
        "evidence": document["evidence"],
        "findings": {finding["name"]: finding["verdict"] for finding in document["findings"]},
        "comparison": str(files.path("comparison.json")),
        "blind_numbers": blind_numbers(document, blind),
        **reports,
    }


def verdict_of(concluded: Mapping[str, Any], *, require: str | None) -> str | None:
    """Why a comparison is not what its task requires; None where it is.

    :param concluded: of :func:`conclude`.
    :param require: the operator's argument.
    """
    verdict = concluded["verdict"]
    if require is None or verdict == "pass" or (require == "no_fail" and verdict != "fail"):
        return None
    named = [BY_NAME[name].label for name, each in concluded["findings"].items() if each == verdict]
    by = f" by {', '.join(named)}" if named else ", for the reasons in its log"
    return (
        f"The comparison of {concluded['candidate']} with {concluded['baseline']} is {verdict}{by}, "
        f"and require is {require!r}. All clips are kept and billed; {concluded['report']} shows them. A retry would "
        "find the same: change the suite or the criteria, and run it anew."
    )


class _Files:
    """The files of a comparison, beside its manifest."""

    def __init__(self, context: Context, folder: str) -> None:
        self._context = context
        self._folder = folder

    def path(self, suffix: str) -> ObjectStoragePath:
        return batch_file(self._context, self._folder, suffix=suffix)

    def write(self, suffix: str, content: bytes) -> None:
        store_bytes(self.path(suffix), content, media_type="application/json", consequence=_CLIPS_ARE_SAFE)

    def write_shown(self, what: str, content: bytes) -> str:
        """Write what a page shows: a ``report``, a ``blind_report`` or ``thumbnails``."""
        task = made_by(self._context)
        if what == "thumbnails":
            name, media_type = thumbnails_name(**task), "image/jpeg"
        else:
            name, media_type = report_name(**task, blind=what == "blind_report"), "text/html; charset=utf-8"
        target = folder_at(self._folder) / name
        store_bytes(target, content, media_type=media_type, consequence=_CLIPS_ARE_SAFE)
        return str(target)

    def sealed_order(self, snapshots: Mapping[Variant, str]) -> Blind:
        """Which side the blind report calls A: drawn once for two snapshots, and the same in each attempt."""
        target = self.path("order.json")
        named: dict[str, str] = {side: snapshots[side] for side in SIDES}
        drawn = {"a": secrets.choice(SIDES), "nonce": secrets.token_hex(16), **named}
        content = json.dumps(drawn).encode()
        try:
            if not put_if_absent(target, content):
                with open_to_read(target) as file:
                    kept = file.read()
                if all(json.loads(kept).get(side) == snapshots[side] for side in SIDES):
                    content = kept
                else:
                    store_bytes(target, content, media_type="application/json", consequence=_CLIPS_ARE_SAFE)
            a: Variant = CANDIDATE if json.loads(content)["a"] == CANDIDATE else BASELINE
        except DownloadError:
            raise
        except Exception as error:
            raise not_stored(target, error, _CLIPS_ARE_SAFE) from error
        return Blind(a=a, digest=f"sha256:{hashlib.sha256(content).hexdigest()}")


def _sorted_out(manifest: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """The clips of this comparison, and the items that could not be rendered as they are written."""
    entries, invalid = [], []
    for entry in manifest:
        if entry["outcome"] == ItemOutcome.INVALID:
            told = (entry.get("error") or {}).get("message")
            invalid.append({"key": entry["key"], "place": entry["place"], "message": told})
        elif all(name in entry["labels"] for name in OWN_FIELDS):
            entries.append(entry)
    return entries, invalid


def _made_at(entries: Sequence[Mapping[str, Any]]) -> str:
    """When the oldest clip was made: whoever clears an old task finds out nothing new."""
    ends = [entry["timing"]["completed_at"] for entry in entries if entry["timing"]["completed_at"] is not None]
    return min(ends) if ends else isoformat(datetime.now(UTC))


def _pairs(entries: Sequence[Mapping[str, Any]], looks: Looks) -> Iterator[Pair]:
    sides: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
    for entry in entries:
        labels = entry["labels"]
        sides.setdefault((labels[PROMPT_KEY], labels[REPEAT]), {})[labels[SIDE]] = entry
    for (key, repeat), found in sorted(sides.items()):
        baseline, candidate = (found[side] for side in SIDES)
        # What a limit kept from being begun has no request, and a blind report must not tell which side that is.
        request = max((baseline["request"], candidate["request"]), key=lambda each: each.get("digest") is not None)
        yield Pair(
            key=key,
            prompt=request["prompt"] or "",
            request=request,
            repeat=repeat,
            baseline=Side(entry=baseline, measurement=looks.measurement(baseline)),
            candidate=Side(entry=candidate, measurement=looks.measurement(candidate)),
        )


def _sheets(
    document: Mapping[str, Any], pictures: Mapping[str, PairPictures], blind: Blind
) -> list[tuple[bytes | None, bytes | None]]:
    """Of A and of B, in the order of the suite, which says nothing of what was found; of each pair, so that it has the
    number that the report gives it."""
    found = []
    for pair in document["pairs"]:
        shown = pictures.get(pair_name(pair["key"], pair["repeat"]), PairPictures())
        of = {BASELINE: shown.baseline_sheet, CANDIDATE: shown.candidate_sheet}
        a, b = (column.side for column in columns(blind))
        found.append((of[a], of[b]))
    return found


def _told_apart(each: NotComparable) -> dict[str, Any]:
    item = each.item
    return {
        "key": item.key,
        "place": item.place,
        "prompt": item.fields.get("prompt"),
        "lacks": each.lacks,
        "faults": list(each.faults),
    }


def _labels(findings: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(finding["label"] for finding in findings)


def _base_url() -> str | None:
    from airflow.sdk import conf

    return conf.get("api", "base_url", fallback=None) or None


def _tell(document: Mapping[str, Any], report: str) -> None:
    """What is not as it should be, a line each; all else is in the report."""
    findings: dict[str, list[Any]] = {}
    for finding in document["findings"]:
        findings.setdefault(finding["verdict"], []).append(finding)
    for doubt in document["doubts"]:
        log.warning("%s", doubt)
    undecided = findings.get("inconclusive", [])
    unsure = [finding for finding in undecided if finding["difference"] is not None and not looks_worse(finding)]
    for finding in (*findings.get("fail", ()), *(each for each in undecided if each not in unsure)):
        log.warning("%s: %s. %s", finding["verdict"], finding["label"], finding["message"])
    if unsure:
        known = [finding["needed"] for finding in unsure if finding["needed"]]
        settled = "all" if len(known) == len(unsure) else f"{len(known):,} of them"
        log.warning(
            "inconclusive, and none of them looks worse than allowed: %s.%s",
            _labels(unsure),
            f" With about {max(known):,} prompts like these {settled} would be settled." if known else "",
        )
    for verdict in ("pass", "told"):
        if same := findings.get(verdict):
            log.info("%s: %s.", verdict, _labels(same))
    for finding in findings.get("absent", ()):
        log.info("absent: %s", finding["message"])
    log.info(
        "%s compared with %s on %s prompts: %s (replay %s, benchmark %s). Report: %s",
        document["candidate"],
        document["baseline"],
        f"{document['suite']['compared']:,}",
        document["verdict"],
        document["evidence"]["replay"],
        document["evidence"]["benchmark"],
        report,
    )
