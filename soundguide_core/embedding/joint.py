"""One space for sound, text and picture.

S. H. Lee et al., "Sound-Guided Semantic Image Manipulation", CVPR 2022, section 3.1: a sound encoder in the frozen space of
a picture and text model. Axes: B batch, F frames, N samples, W windows, D dims, K labels.
"""
