"""Parts of safe_pickle: the opcode machine, the resolver of names, arrays and tensors, torch's two containers."""
