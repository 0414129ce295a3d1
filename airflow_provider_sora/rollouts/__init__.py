"""From one snapshot to the next by steps, and back: who gets which one, what the nights showed, and what follows."""

from airflow_provider_sora.rollouts.plan import Rollout, Step

__all__ = ["Rollout", "Step"]
