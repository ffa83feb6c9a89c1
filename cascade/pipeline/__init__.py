"""The stages in order: what would run and why, and running what is missing.

In: a config and a folder of runs. Out: one artifact for each stage. Start with `stages`.
"""
