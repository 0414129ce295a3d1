"""Rows of Airflow's metadata database, as its tasks leave them, for pages that show thousands of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import MetaData, Table, create_engine, insert, select

from airflow_provider_sora.media.archive import artifact_name

#: When the first run began; each following one begins a day later.
FIRST_RUN = datetime(2026, 11, 1, 2, tzinfo=UTC)


class MetadataRows:
    """Writes rows.

    :param database_url: a PostgreSQL database that Airflow has prepared, without a driver.
    """

    def __init__(self, database_url: str) -> None:
        self.engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg2:"))
        self._metadata = MetaData()

    def table(self, name: str) -> Table:
        """A table, as it is in the database.

        :param name: of the table.
        """
        return Table(name, self._metadata, autoload_with=self.engine)

    def write(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows.

        :param table: name of the table.
        :param rows: their columns.
        """
        with self.engine.begin() as connection:
            connection.execute(insert(self.table(table)), list(rows))

    def dag(self, dag_id: str | None = None) -> str:
        """A DAG that nobody has to parse.

        :param dag_id: its id; None for a new one.
        """
        dag_id = dag_id or f"dag_{uuid4().hex[:8]}"
        bundles = self.table("dag_bundle")
        with self.engine.begin() as connection:
            if connection.execute(select(bundles.c.name).where(bundles.c.name == "rows")).first() is None:
                connection.execute(insert(bundles).values(name="rows", active=True))
        self.write(
            "dag",
            [
                {
                    "dag_id": dag_id,
                    "is_paused": False,
                    "is_stale": False,
                    "bundle_name": "rows",
                    "timetable_type": "airflow.timetables.simple.NullTimetable",
                    "partition_mapper_info": {},
                    "max_active_tasks": 16,
                    "max_consecutive_failed_dag_runs": 0,
                    "has_task_concurrency_limits": False,
                }
            ],
        )
        return dag_id

    def runs(self, dag_id: str, count: int = 1, *, first: datetime = FIRST_RUN) -> list[tuple[int, str]]:
        """Runs of a DAG, one a day.

        :param dag_id: the DAG.
        :param count: of runs.
        :param first: when the first one began.
        :return: the number in the database and the id of each.
        """
        moments = [first + timedelta(days=number) for number in range(count)]
        self.write(
            "dag_run",
            [
                {
                    "dag_id": dag_id,
                    "run_id": f"scheduled__{moment.isoformat()}",
                    "run_type": "scheduled",
                    "run_after": moment,
                    "logical_date": moment,
                    "start_date": moment,
                    "state": "success",
                }
                for moment in moments
            ],
        )
        runs = self.table("dag_run")
        with self.engine.begin() as connection:
            found = connection.execute(
                select(runs.c.id, runs.c.run_id).where(runs.c.dag_id == dag_id).order_by(runs.c.id)
            )
            return [(row.id, row.run_id) for row in found][-count:]

    def tasks(
        self,
        dag_id: str,
        run: tuple[int, str],
        results: Iterable[Mapping[str, Any] | None],
        *,
        task_id: str = "render",
        state: str = "success",
        operator: str = "SoraGenerateVideoOperator",
        at: datetime = FIRST_RUN,
        has_returned: bool = True,
    ) -> None:
        """Task instances of one task, and what they left: ``version`` and ``return_value``.

        :param dag_id: the DAG.
        :param run: what :meth:`runs` gave.
        :param results: what each returned, None where it left nothing; more than one are mapped.
        :param task_id: the task.
        :param state: of the task instances.
        :param operator: name of its class.
        :param at: when.
        :param has_returned: whether they came as far as their ``return_value``.
        """
        results = list(results)
        number, run_id = run
        indexes = [-1] if len(results) == 1 else range(len(results))
        self.write(
            "task_instance",
            [
                {
                    "id": str(uuid4()),
                    "task_id": task_id,
                    "dag_id": dag_id,
                    "run_id": run_id,
                    "map_index": index,
                    "try_number": 1,
                    "pool": "default_pool",
                    "pool_slots": 1,
                    "state": state,
                    "operator": operator,
                    "start_date": at,
                    "end_date": None if state in ("running", "deferred") else at + timedelta(minutes=1),
                }
                for index in indexes
            ],
        )
        left = [
            {
                "dag_run_id": number,
                "task_id": task_id,
                "map_index": index,
                "key": key,
                "dag_id": dag_id,
                "run_id": run_id,
                "value": value,
                "timestamp": at,
            }
            for index, result in zip(indexes, results, strict=True)
            if result is not None
            for key, value in (("version", result["version"]), ("return_value", result if has_returned else None))
            if value is not None
        ]
        if left:
            self.write("xcom", left)

    def task_state(
        self,
        dag_id: str,
        run: tuple[int, str],
        key: str,
        value: object,
        *,
        task_id: str = "render",
        map_index: int = -1,
    ) -> None:
        """An entry of a task's state store.

        :param dag_id: the DAG.
        :param run: what :meth:`runs` gave.
        :param key: of the entry.
        :param value: of the entry, for JSON.
        :param task_id: the task.
        :param map_index: of a mapped task.
        """
        self.write(
            "task_state_store",
            [
                {
                    "dag_run_id": run[0],
                    "task_id": task_id,
                    "map_index": map_index,
                    "key": key,
                    "dag_id": dag_id,
                    "run_id": run[1],
                    "value": json.dumps(value),
                    "updated_at": FIRST_RUN,
                }
            ],
        )

    def asset(self, name: str, uri: str, group: str) -> int:
        """An asset.

        :param name: its name.
        :param uri: its URI.
        :param group: its group.
        :return: its number in the database.
        """
        now = datetime.now(UTC)
        assets = self.table("asset")
        row = {"name": name, "uri": uri, "group": group, "extra": {}, "created_at": now, "updated_at": now}
        with self.engine.begin() as connection:
            number: int = connection.execute(insert(assets).values(row).returning(assets.c.id)).scalar_one()
        return number

    def events(self, asset_id: int, extras: Iterable[Mapping[str, Any]], *, dag_id: str | None = None) -> None:
        """Events of an asset, a minute apart.

        :param asset_id: its number.
        :param extras: what each carries.
        :param dag_id: the DAG that made them, None for the REST API.
        """
        self.write(
            "asset_event",
            [
                {
                    "asset_id": asset_id,
                    "extra": dict(extra),
                    "source_dag_id": dag_id,
                    "source_map_index": -1,
                    "timestamp": FIRST_RUN + timedelta(minutes=number),
                }
                for number, extra in enumerate(extras)
            ],
        )


def result(**changes: Any) -> dict[str, Any]:
    """What a task that made a video returns.

    :param changes: ``snapshot``, ``variant``, ``rollout``, ``status``, ``prompt``, ``artifact``, ``error``,
        ``completed_at``, ``cost`` in place of those of a finished clip that no rollout assigned.
    """
    given = {
        "snapshot": "sora-2-2025-12-08",
        "variant": None,
        "rollout": None,
        "status": "completed",
        "prompt": "A kite",
        "artifact": None,
        "error": None,
        "completed_at": "2026-11-01T02:01:00.000Z",
        "cost": 0.4,
        **changes,
    }
    return {
        "video_id": f"video_{uuid4().hex}",
        "status": given["status"],
        "version": {
            "requested": "stable",
            "snapshot": given["snapshot"],
            "served_model": given["snapshot"],
            "reason": "NAMED",
            "environment": "development",
            "variant": given["variant"],
            "rollout": given["rollout"],
            "resolved_at": "2026-11-01T02:00:00.000Z",
            "shutdown_date": None,
        },
        "request": {
            "prompt": given["prompt"],
            "seconds": 4,
            "size": "1280x720",
            "seed": 7,
            "style": None,
            "cameos": [],
            "rendered_as": "native",
            "digest": "sha256:0",
            "served_seed": 7,
            "sent_prompt": None,
            "extra_body": {},
        },
        "timing": {
            "submitted_at": "2026-11-01T02:00:01.000Z",
            "completed_at": given["completed_at"] if given["status"] == "completed" else None,
            "seconds": 41.2 if given["status"] == "completed" else None,
        },
        "usage": {"video_seconds": 4, "quota_units": 0.4, "estimated_cost_usd": given["cost"]},
        "attempts": {"submissions": 1, "first_attempt_failed": False},
        "artifact": given["artifact"],
        "warnings": [],
        "error": given["error"],
    }


def manifest_name(dag_id: str, run: tuple[int, str], task_id: str) -> str:
    """How a batch calls its result manifest: no other file is read for it."""
    return artifact_name(dag_id=dag_id, run_id=run[1], task_id=task_id, map_index=-1, snapshot="batch", suffix="jsonl")
