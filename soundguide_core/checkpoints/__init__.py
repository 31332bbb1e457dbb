"""Weights on disk: which exist (registry) and how they are read without running them (safetensors_io)."""
