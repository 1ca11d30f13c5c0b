"""nano: the small language model that comes with the package; see ``docs/nano.md``."""
