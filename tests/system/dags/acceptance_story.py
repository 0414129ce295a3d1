"""People are asked about the clips of a comparison, by one or two, and a rollout that requires their word starts."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import dag, task

from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.operators.rollout_evidence import server_of
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import sora_acceptance

BEGIN = pendulum.datetime(2026, 1, 1)
BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"


@task
def compare(**context: Any) -> dict[str, Any]:
    """What a comparison leaves for those who look at its clips: here the candidate is A."""
    folder = Path(context["params"]["folder"])
    order = {"a": "candidate", "nonce": "5eed", "baseline": BASELINE, "candidate": CANDIDATE}
    content = json.dumps(order).encode()
    (folder / "order.json").write_bytes(content)
    sealed = {"path": str(folder / "order.json"), "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    context["ti"].xcom_push(key="order", value=sealed)
    return {
        "baseline": BASELINE,
        "candidate": CANDIDATE,
        "comparison": f"{folder}/comparison.json",
        "blind_report": f"{folder}/blind.html",
        "blind_report_sha256": f"sha256:{hashlib.sha256(b'blind').hexdigest()}",
        "server": server_of(SoraHook("sora_story")).to_dict(),
        "evidence": {"replay": "pass", "benchmark": "inconclusive"},
        "made_at": pendulum.now("UTC").isoformat(),
    }


def story(name: str, *, timeout: timedelta, **asked: Any) -> None:
    plan = Rollout(
        name,
        baseline=BASELINE,
        candidate=CANDIDATE,
        steps=[Step("10%", min_candidates=1), Step("100%", min_candidates=1)],
        requires=["replay", "acceptance"],
    )

    @dag(dag_id=name.replace("-", "_"), schedule=None, start_date=BEGIN, params={"folder": "/tmp/sora-acceptance"})
    def flow() -> None:
        compared: Any = compare()
        accepted = sora_acceptance(compared, timeout=timeout, **asked)
        SoraStartRolloutOperator(
            task_id="start", rollout=plan, evidence=[compared, accepted.output], sora_conn_id="sora_story"
        )

    flow()


# A name for each outcome: what one story starts is under way in the next.
for outcome in ("accepted", "rejected", "eleven"):
    story(
        f"acceptance-{outcome}", timeout=timedelta(minutes=5), reviewers=["admin", "op"] if outcome == "accepted" else 1
    )
story("acceptance-unanswered", timeout=timedelta(seconds=12))
