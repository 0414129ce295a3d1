"""Baseline and candidate on the same prompts: what is compared, what is allowed, and what follows. Pure."""

from airflow_provider_sora.evaluation.criteria import Criteria

__all__ = ["Criteria"]
