"""The parts of benchmarks/spark.py.

`models` runs in the project's environment, which has TensorFlow and Keras; `session`, `arms`, `measure` and
`python_arms` run in an environment with PySpark, made by `environment`; `report` writes the page and the plot.
"""
