"""Pixel diffusion: the networks, what they make of a noisy picture, and the loop that samples with them."""
