"""Serving: from trained models to recommendations from Triton.

In: the artifacts of all stages, and requests. Out: a model repository, a running server, and answers. Start with
`graph.request_graph` for the path of a request, with `client` for how to send one.
"""
