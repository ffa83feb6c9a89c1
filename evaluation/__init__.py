"""Evaluation on the test part: the served graph compared with baselines, by ranking the whole catalogue.

In: the export and the artifacts that it was made from. Out: metrics.json and report.html. Start with `stage`.
"""
