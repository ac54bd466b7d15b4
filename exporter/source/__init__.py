"""What is converted: opening a source, deriving its signatures, tracing and freezing it. TensorFlow lives here."""
