"""Tensors -> checkpoints."""
