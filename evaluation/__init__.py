"""Evaluation on the test part: the served graph beside baselines, on full ranking over the catalogue."""
