"""Load generators and load tests.

In: a served model and a load. Out: request rates and latencies. Start with `generator`.
"""
