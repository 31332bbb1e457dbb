"""What the parts of a separated mixture are called: no file of weights says it, and every published one has these."""

STEMS = ("drums", "bass", "other", "vocals")  # in Hybrid Demucs's order
