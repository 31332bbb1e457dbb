"""Parts of safe_pickle: the opcode machine, what names mean, arrays and tensors, torch's two containers."""
