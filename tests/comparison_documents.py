"""Comparisons as their JSON has them, made by hand, and pictures of their clips."""

from __future__ import annotations

from typing import Any

from airflow_provider_sora.reports.pictures import PairPictures

BASELINE = "sora-2-2025-10-06"
CANDIDATE = "sora-2-2025-12-08"

#: The smallest files that a browser takes for a picture; not one that it can show.
JPEG = b"\xff\xd8\xff\xe0" + bytes(200)
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(400)

#: What becomes of a text that a page takes for its own.
HOSTILE = (
    "<img src=x onerror=\"document.title='hacked'\"><script>alert('hacked')</script> $x^2$ {{ 7*7 }} </style> --> ]]>"
)


def measurement(**changes: Any) -> dict[str, Any]:
    """What was measured of a clip.

    :param changes: in place of what a good one has.
    """
    return {
        "asked_seconds": 8.0,
        "asked_cuts": [],
        "duration": 8.0,
        "width": 1280,
        "height": 720,
        "fps": 24.0,
        "audio": True,
        "mismatches": [],
        "av_offset": 0.02,
        "av_end_offset": 0.03,
        "blur": 4.1,
        "blur_p90": 5.2,
        "spatial": 61.0,
        "spatial_max": 70.0,
        "temporal": 9.5,
        "temporal_max": 12.0,
        "motion": 3.2,
        "motion_jitter": 0.21,
        "frozen": [],
        "black": [],
        "cuts": [],
        "cuts_missing": [],
        "cuts_unexpected": [],
        "loudness": -19.4,
        "true_peak": -3.1,
        "clipped_share": 0.0,
        "silent": [],
        "absent": {},
        **changes,
    }


def side(key: str, name: str, *, seconds: float | None, repeat: int = 1, **changes: Any) -> dict[str, Any]:
    """What became of a prompt on one side.

    :param key: of the prompt.
    :param name: ``baseline`` or ``candidate``.
    :param seconds: of rendering; None for a clip that failed.
    :param repeat: number of the repeat.
    :param changes: in place of other parts; ``measurement`` is that of the clip.
    """
    snapshot = BASELINE if name == "baseline" else CANDIDATE
    entry = f"{key}.{name}.{repeat}"
    is_there = seconds is not None
    return {
        "entry": entry,
        "status": "completed" if is_there else "failed",
        "error": None
        if is_there
        else {"code": "server_error", "message": "The server broke off.", "job": "failed; it is not billed"},
        "artifact": {"uri": f"s3://videos/{snapshot}/{entry}.mp4", "bytes": 1234, "sha256": f"sha256:{'0' * 64}"}
        if is_there
        else None,
        "timing": {"submitted_at": None, "completed_at": None, "seconds": seconds, "queue_seconds": 1.25},
        "attempts": {"submissions": 1, "first_attempt_failed": not is_there},
        "usage": {"video_seconds": 8, "quota_units": 0.8, "estimated_cost_usd": 0.83 if is_there else 0.0},
        "served_model": snapshot,
        "measurement": measurement() if is_there else None,
        **changes,
    }


def pair(key: str, *, prompt: str = "A kite over the sea", repeat: int = 1, **sides: dict[str, Any]) -> dict[str, Any]:
    """A pair of clips.

    :param key: of the prompt.
    :param prompt: what was asked for.
    :param repeat: number of the repeat.
    :param sides: ``baseline`` and ``candidate``, in place of good ones.
    """
    return {
        "key": key,
        "repeat": repeat,
        "prompt": prompt,
        "request": {"prompt": prompt, "seconds": 8, "size": "1280x720", "seed": 7, "style": None},
        "baseline": side(key, "baseline", seconds=53.17, repeat=repeat),
        "candidate": side(key, "candidate", seconds=61.39, repeat=repeat),
        **sides,
    }


def finding(name: str, **changes: Any) -> dict[str, Any]:
    """A finding.

    :param name: of its metric.
    :param changes: in place of those of a ratio that passes.
    """
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "group": "replay",
        "unit": "",
        "scale": "ratio",
        "baseline": 4.1,
        "candidate": 4.4,
        "pairs": 38,
        "worse": 20,
        "better": 15,
        "same": 3,
        "difference": {"estimate": 1.04, "lower": 0.98, "upper": 1.1},
        "limit": 0.25,
        "p_value": 0.9,
        "verdict": "pass",
        "message": f"The candidate's {name} is as it should be.",
        "needed": None,
        **changes,
    }


def document(pairs: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """A comparison.

    :param pairs: of clips; None for two good ones.
    :param changes: in place of other parts.
    """
    pairs = [pair("kite"), pair("boat", prompt="A boat in the storm")] if pairs is None else pairs
    reliability = {
        "seconds_per_10s": 66.46,
        "first_progress_seconds": 7.77,
        "queue_seconds": 1.25,
        "success_rate": [38, 40],
        "first_attempt_rate": [36, 40],
        "rescued": [2, 4],
        "same_bytes_on_repeat": None,
        "spread": 1.31,
    }
    return {
        "format": 1,
        "baseline": BASELINE,
        "candidate": CANDIDATE,
        "made_at": "2026-11-23T02:00:00.000Z",
        "made_by": {"dag_id": "migration", "run_id": "manual__1", "task_id": "compare", "map_index": -1},
        "manifest": "s3://videos/migration.jsonl",
        "suite": {
            "prompts": len(pairs),
            "compared": len(pairs),
            "repeats": 1,
            "seed": 0,
            "not_comparable": [],
            "unfinished": [],
        },
        "criteria": {"alpha": 0.05, "min_prompts": 20, "limits": {}},
        "verdict": "pass",
        "evidence": {"replay": "pass", "benchmark": "pass"},
        "doubts": [],
        "multiplicity": ["A criterion fails by Holm's rule."],
        "findings": [finding("blur"), finding("render_ratio", group="benchmark")],
        "reliability": {"baseline": reliability, "candidate": {**reliability, "seconds_per_10s": 76.74}},
        "pairs": pairs,
        **changes,
    }


def pictures(whole: dict[str, Any], *, sheet: bytes = JPEG, film: bytes = MP4) -> dict[str, PairPictures]:
    """Pictures of every clip of a comparison; those of the two sides differ.

    :param whole: the comparison.
    :param sheet: the beginning of each sheet.
    :param film: the beginning of each preview.
    """

    def of(data: bytes, name: str, each: dict[str, Any]) -> bytes | None:
        return data + each[name]["entry"].encode() if each[name]["artifact"] else None

    return {
        f"{each['key']}.{each['repeat']}": PairPictures(
            baseline_sheet=of(sheet, "baseline", each),
            candidate_sheet=of(sheet, "candidate", each),
            baseline_preview=of(film, "baseline", each),
            candidate_preview=of(film, "candidate", each),
        )
        for each in whole["pairs"]
    }
