"""Starting, watching and stopping a real Triton.

In: a model repository and a `ServerConfig`. Out: a running server on known ports. Start with `server`.
"""
