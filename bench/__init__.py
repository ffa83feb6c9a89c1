"""Load tests of a served pipeline, and what its figures mean: capacity, cost, comparison."""
