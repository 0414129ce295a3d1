"""What OpenLineage is told of a task: the files that it read and wrote, and which model version made them.

A prompt is no part of it: lineage leaves Airflow for systems with readers of their own. The request's digest names it,
for those who may read the sidecar. Nothing of OpenLineage is imported here before its provider asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import Dataset, OutputDataset

    from airflow_provider_sora.operators.telling import TellingOperator

#: OpenLineage's names for schemes that file systems spell in several ways.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "local": "file"}

#: Stores whose names are keys, without a slash at their beginning.
_BUCKET_STORES = ("s3", "gs")


def dataset_name(place: str) -> tuple[str, str] | None:
    """Namespace and name of a file, by OpenLineage's naming specification.

    Credentials and the Airflow connection are left out: they say how a file is reached, not which it is. For Azure's
    stores the specification wants the account's host, which Airflow's URLs do not have; the container stands alone.

    :param place: a path of this machine, or a URL as ``ObjectStoragePath`` takes it.
    :return: None for what is no file of a store: an address of the web, which may be signed, a list, or nothing.
    """
    if place.lstrip()[:1] in ("[", "{"):
        # Items or scenes that stand in the argument itself, with their prompts.
        return None
    scheme, separator, rest = place.strip().partition("://")
    if not separator:
        return ("file", str(Path(scheme).expanduser().absolute())) if scheme else None
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    if scheme in ("http", "https", "data"):
        return None
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    name = path if scheme in _BUCKET_STORES else f"{slash}{path}"
    return (f"{scheme}://{authority}" if authority else scheme), name or "/"


def video_facts(result: Mapping[str, Any], *, backend: str | None) -> dict[str, Any]:
    """The facet of a task that makes or fetches a video.

    :param result: the task's XCom; of a task that failed early it has few keys.
    :param backend: name of the server's profile, None where it is not known.
    """
    timing, usage = result.get("timing") or {}, result.get("usage") or {}
    return {
        **_version_facts(result.get("version") or {}),
        "backend": backend,
        "jobId": result.get("video_id"),
        "status": result.get("status"),
        "requestDigest": (result.get("request") or {}).get("digest"),
        "submissions": (result.get("attempts") or {}).get("submissions"),
        "renderSeconds": timing.get("seconds"),
        "videoSeconds": usage.get("video_seconds"),
        "quotaUnits": usage.get("quota_units"),
        "estimatedCostUsd": usage.get("estimated_cost_usd"),
        "errorCode": (result.get("error") or {}).get("code"),
    }


def cameo_facts(result: Mapping[str, Any], *, backend: str | None) -> dict[str, Any]:
    """The facet of a task that makes a character.

    :param result: the task's XCom.
    :param backend: name of the server's profile, None where it is not known.
    """
    return {
        **_version_facts(result["version"]),
        "backend": backend,
        "cameoId": result["cameo_id"],
        "renderedAs": result["rendered_as"],
        "requestDigest": result["digest"],
    }


def batch_facts(
    summary: Mapping[str, Any], *, backend: str | None, requested: str | None, rollout: str | None
) -> dict[str, Any]:
    """The facet of a batch: counts, since a night's clips are too many to be listed in an event.

    :param summary: the task's XCom.
    :param backend: name of the server's profile, None where it is not known.
    :param requested: what the author wrote as ``model``.
    :param rollout: name of the rollout that gave the snapshots, None without one.
    """
    counts = ("items", "succeeded", "failed", "left", "invalid", "snapshots", "errors")
    return {
        "requested": requested,
        "rollout": rollout,
        "backend": backend,
        **{name: summary[name] for name in counts},
        "seconds": summary["seconds"],
        "videoSeconds": summary["usage"]["video_seconds"],
        "quotaUnits": summary["usage"]["quota_units"],
        "estimatedCostUsd": summary["usage"]["estimated_cost_usd"],
        "spentUsd": summary["spent"]["estimated_cost_usd"],
        "stoppedBy": (summary["stopped"] or {}).get("by"),
        "missingParts": summary.get("missing_parts"),
    }


def lineage_of(operator: TellingOperator) -> OperatorLineage[Any, Any]:
    """What the task read and wrote, and one facet of ours.

    Airflow's provider takes what its hooks noted, or what the task declares, only where an operator names no file. So
    nothing is reported twice, and what the task declares as inlets and outlets is added here.

    :param operator: the task, after what it did.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    told = operator.outcome or {}
    read, written = _inputs(operator.reads) if _has_read(told) else [], _outputs(told)
    if read or written:
        read, written = read + _declared(operator.inlets), written + _declared(operator.outlets)
    written = _each_once(written, known=[])
    return OperatorLineage(
        inputs=_each_once(read, known=written), outputs=written, run_facets=_facets(operator, told) if told else {}
    )


def _version_facts(version: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "requested": version.get("requested"),
        "snapshot": version.get("snapshot"),
        "servedModel": version.get("served_model"),
        "reason": version.get("reason"),
        "environment": version.get("environment"),
        "variant": version.get("variant"),
        "rollout": version.get("rollout"),
    }


def _facets(operator: TellingOperator, told: Mapping[str, Any]) -> dict[str, Any]:
    from airflow_provider_sora import lineage_facets as facets

    backend = operator.backend
    if "cameo_id" in told:
        return {"sora_cameo": facets.SoraCameoRunFacet.of(cameo_facts(told, backend=backend))}
    if "manifest" not in told:
        return {"sora_video": facets.SoraVideoRunFacet.of(video_facts(told, backend=backend))}
    rollout = getattr(operator, "rollout", None)
    facts = batch_facts(
        told,
        backend=backend,
        requested=getattr(operator, "reference", None),
        rollout=None if rollout is None else rollout.name,
    )
    return {"sora_batch": facets.SoraBatchRunFacet.of(facts)}


def _has_read(told: Mapping[str, Any]) -> bool:
    """Whether what the task was to read was read: what was written in its place by mistake is no name of a file."""
    return any(name in told for name in ("manifest", "cameo_id")) or "digest" in (told.get("request") or {})


def _inputs(reads: Iterable[object]) -> list[Dataset]:
    from openlineage.client.event_v2 import InputDataset

    names = (dataset_name(place) for place in reads if isinstance(place, str))
    return [InputDataset(*name) for name in names if name is not None]


def _outputs(told: Mapping[str, Any]) -> list[Dataset]:
    """The clip, with its scenes if it was joined from some; of a batch, its manifest."""
    if "manifest" in told:
        return [output for output in [_output(told["manifest"], rows=told["items"])] if output is not None]
    artifacts = [told.get("artifact"), *(scene["artifact"] for scene in told.get("scenes", ()))]
    outputs = (_output(each["uri"], size=each["bytes"], version=each["sha256"]) for each in artifacts if each)
    return [output for output in outputs if output is not None]


def _output(
    place: str, *, rows: int | None = None, size: int | None = None, version: str | None = None
) -> OutputDataset | None:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset, output_statistics_output_dataset

    from airflow_provider_sora.lineage_facets import PRODUCER

    if (name := dataset_name(place)) is None:
        return None
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=rows, size=size, fileCount=1, producer=PRODUCER
    )
    output = OutputDataset(*name, outputFacets={"outputStatistics": statistics})
    if version is not None:
        output.facets = {"version": dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=PRODUCER)}
    return output


def _declared(assets: Iterable[Any]) -> list[Dataset]:
    from airflow.providers.openlineage.extractors.manager import ExtractorManager

    datasets = (ExtractorManager.convert_to_ol_dataset(asset) for asset in assets)
    return [dataset for dataset in datasets if dataset is not None]


def _each_once(datasets: Iterable[Dataset], *, known: Iterable[Dataset]) -> list[Dataset]:
    """Without what is there already: our own, which knows more of the file, comes before what is declared."""
    seen = {(dataset.namespace, dataset.name) for dataset in known}
    found = []
    for dataset in datasets:
        if (name := (dataset.namespace, dataset.name)) not in seen:
            seen.add(name)
            found.append(dataset)
    return found
