"""Weights on disk: which exist, and how they are read without running anything that they hold.

registry          which weights exist: names, files, licences, addresses
weights           a file of any known layout => tensors and config; conversion
loading           a network from its file, frozen: built, filled, on its device. Loaders of networks call this
bounded_build     builds a network from a file's config, no larger than the file
safetensors_io    .safetensors files
header            what a SoundGuide file says of itself, read without PyTorch
safe_pickle       .pt, .pth, .bin and .pkl files; its parts are in pickles/
formats/          layouts of other programs, one module each
file_type         what a file is, by its first bytes
download          one file over HTTP
"""
