"""The whole of ``pipeline.yaml`` as one frozen model.

In: a file, ``--set`` pairs and the environment. Out: a `PipelineConfig`, and where each value came from.
Start with `pipeline`; rules that span sections are in `checks`.
"""
