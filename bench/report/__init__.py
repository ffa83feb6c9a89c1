"""The report of a load test.

In: the measurements of `bench.load`. Out: text, JSON and an HTML page with plots. Start with `results`.
"""
