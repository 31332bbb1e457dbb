"""Hearing in words: networks that say over time which sounds there are, behind one protocol (words.py)."""
