"""nano: the small language model that comes with the package; see ``docs/models/nano.md``."""
