"""What goes over the wire.

In: raw tensors of requests. Out: checked columns for the graph, and the answers cut up again. Start with `wire`.
"""
