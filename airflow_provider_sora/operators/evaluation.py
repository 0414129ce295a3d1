"""Operators that look after versions: compare two, render a video again on its own, and watch how long they live."""

from airflow_provider_sora.operators.comparison import SoraCompareSnapshotsOperator
from airflow_provider_sora.operators.reproduce import SoraReproduceVideoOperator
from airflow_provider_sora.operators.snapshot_watch import SoraSnapshotWatchOperator

__all__ = ["SoraCompareSnapshotsOperator", "SoraReproduceVideoOperator", "SoraSnapshotWatchOperator"]
