"""Runs the example DAG a few times in this process and writes down what its tasks left in XCom.

``demo/run.py`` starts it with Airflow's environment variables set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent


def main(runs: list[dict[str, Any]], results: Path) -> None:
    """Run the DAG once for each entry.

    :param runs: each with ``conf`` for the DAG run and ``environment`` for ``DEPLOY_ENV``.
    :param results: file for a JSON list: state of the run, and XComs of the task ``render``.
    """
    sys.path.insert(0, str(REPOSITORY / "example_dags"))
    import sora_generate

    dag = sora_generate.sora_generate()
    found = []
    for run in runs:
        os.environ["DEPLOY_ENV"] = run["environment"]
        dag_run = dag.test(run_conf=run["conf"])
        render = dag_run.get_task_instance("render")
        pulled = {key: render.xcom_pull(task_ids="render", key=key) for key in ("version", "return_value")}
        found.append({"state": str(dag_run.state), "xcom": pulled})
        results.write_text(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
