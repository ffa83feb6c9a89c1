"""What goes over the wire.

In: the raw tensors of requests. Out: checked columns for the graph, and responses from its outputs. Start with
`inputs` for what a request may hold, `request_batching` for how requests share a pass, `wire` for data types.
"""
