"""The settings of the systems: frozen dataclasses that import nothing heavy. See common/settings.py."""
