"""The request graph: written once, run inside Triton and offline alike.

In: the columns of a request. Out: the columns of the answer. Start with `request_graph`; its ops are in `ops`.
"""
