"""Contract tests for extensions, and small artifacts to test with.

A contract is a test class to inherit from, e.g. `op_contract.OpContract` for ops of the request graph.
`miniature` makes a complete release in a second or two, `feature_data` small data and features artifacts.
"""
