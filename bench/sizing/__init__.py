"""Sizing of a deployment.

In: a few measured figures. Out: number of machines, cost and memory. Start with `formulas`.
"""
