"""Another release every moment, under load: does each answer come whole from the release that it names?

In: two releases that are kept. Out: failed requests, wrong answers, latency in a swap and beside it, memory. Start
with `swap`.
"""
