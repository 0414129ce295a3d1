"""An Apache Airflow provider for versioned video generation over the ``/v1/videos`` protocol."""

__version__ = "0.1.0"
