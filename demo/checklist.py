"""Compares two snapshots, starts a rollout on what that showed, in this process, and writes down what came of it.

``demo/run.py`` starts it with Airflow's environment variables set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(results: Path, folder: Path) -> None:
    """Run the DAG once.

    :param results: file for a JSON list of one object.
    :param folder: for the clips and the reports.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parent / "dags"))
    from demo_checklist import demo_checklist

    run = demo_checklist().test(run_conf={"folder": str(folder)})
    told = {name: run.get_task_instance(name).xcom_pull(task_ids=name) for name in ("compare", "start")}
    results.write_text(json.dumps([{"state": str(run.state), **told}]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
