"""Python worker programs: each is `python -m exporter.workers.<name>` and speaks the worker protocol."""
