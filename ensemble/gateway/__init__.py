"""The HTTP endpoint of a server: a process of its own between HTTP clients and Triton's gRPC endpoint.

In: HTTP requests of the `/v2/...` inference protocol. Out: checked gRPC calls, and their answers as Triton's own HTTP
endpoint words them. Start with `api` for the paths, with `infer_request` for what a request may hold, with `process`
for how `cascade serve` runs it.
"""
