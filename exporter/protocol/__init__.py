"""The worker protocol: its schema (`v1.schema.json`), how a worker process is started, and the host's client."""
