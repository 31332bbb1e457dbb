"""From a file or a host's tensor to a result, one file per system: what the commands and the nodes call."""
