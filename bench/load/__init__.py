"""Who sends the load, and how.

In: a served model and a load. Out: rates and latencies. Start with `generator`.
"""
