"""The request graph: written once, run inside Triton and offline alike.

In: columns of a request. Out: columns of the answer. Start with `request_graph`; the operators are in `ops`.
"""
