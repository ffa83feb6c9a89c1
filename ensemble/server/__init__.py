"""Starts, watches and stops Triton.

In: a model repository and a `ServerConfig`. Out: a running server on known ports. Start with `server`; the process
itself is started by `triton_process`.
"""
