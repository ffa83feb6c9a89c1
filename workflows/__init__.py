"""Raw interactions -> tensors."""
