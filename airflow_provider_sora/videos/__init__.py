"""What is asked of a server and what came back. Pure: neither Airflow nor the network."""
