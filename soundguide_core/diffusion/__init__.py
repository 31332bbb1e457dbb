"""Pixel diffusion: the networks, and later the loop that samples with them."""
