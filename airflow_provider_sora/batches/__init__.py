"""Many clips in one task: what is read, decided and told. Pure: neither Airflow nor the network."""
