"""Operators for videos: generate one, from a prompt, from scenes or from another video, and fetch one."""

from airflow_provider_sora.operators.derived import (
    SoraEditVideoOperator,
    SoraExtendVideoOperator,
    SoraRemixVideoOperator,
)
from airflow_provider_sora.operators.download import SoraDownloadVideoOperator
from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator
from airflow_provider_sora.operators.storyboard import SoraStoryboardOperator

__all__ = [
    "SoraDownloadVideoOperator",
    "SoraEditVideoOperator",
    "SoraExtendVideoOperator",
    "SoraGenerateVideoOperator",
    "SoraRemixVideoOperator",
    "SoraStoryboardOperator",
]
