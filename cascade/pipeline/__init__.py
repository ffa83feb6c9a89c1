"""Running the stages of the pipeline, in one process or in several workers.

In: a config and a folder of runs. Out: one artifact for each stage. Start with `stages`.
"""
