"""Image generators: StyleGAN2 in plain torch, its discriminator and the arithmetic of its latents."""
