"""Checkpoints -> operators -> Triton."""
