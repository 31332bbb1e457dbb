"""A picture that moves with a microphone, on a page of this machine."""
