"""Which model version a request means. Pure: neither Airflow nor the network."""
