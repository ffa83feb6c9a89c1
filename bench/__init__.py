"""Load tests of the served model, comparison with the stock stack, and sizing of deployments.

In: an exported pipeline or a running server. Out: rates, latencies, CPU, memory. Start with `run`.
"""
