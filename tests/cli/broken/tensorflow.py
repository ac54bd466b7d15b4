"""What a TensorFlow looks like that does not fit the machine; on PYTHONPATH it comes before the real one."""

raise ImportError("this TensorFlow was built for another processor")
