"""``pipeline.yaml`` as one frozen, checked model.

In: a file, ``--set`` pairs and the environment. Out: a `PipelineConfig`, and where each value came from.
Start with `load`; the sections are in `pipeline`, rules that span sections in `checks`.
"""
