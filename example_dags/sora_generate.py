"""One clip on a pinned snapshot, kept with its provenance.

Needs the connection ``sora_default`` (``sora-emulator`` prints one for the embedded emulator). The folder for the files
is the Airflow variable ``sora_output_path``: a local path, or ``s3://connection@bucket/prefix``.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import Param, dag, task

from airflow_provider_sora.operators.video import SoraGenerateVideoOperator


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    params={
        "prompt": Param("A paper boat crosses a puddle at dawn, macro lens", type="string", minLength=1),
        "snapshot": Param("sora-2-2025-12-08", type="string"),
    },
    doc_md=__doc__,
    tags=["sora"],
)
def sora_generate():
    render = SoraGenerateVideoOperator(
        task_id="render",
        prompt="{{ params.prompt }}",
        model="{{ params.snapshot }}",
        seconds=10,
        size="1280x720",
        seed=7,
        output_path="{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/{{ dag_run.run_after | ds }}",
        retries=2,
    )

    @task
    def report(result: dict[str, Any]) -> str:
        """What a later task can know of a clip: everything is in the XCom."""
        version, artifact = result["version"], result["artifact"]
        return f"{artifact['uri']} was made by {version['snapshot']} ({version['reason']})"

    report(render.output)


sora_generate()
