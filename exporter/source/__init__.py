"""What is converted: opening a source, deriving its signatures, tracing and freezing it.

TensorFlow lives here, in every module but `keras_file`, `tfjs_document` and `tfjs_weights`.
"""
