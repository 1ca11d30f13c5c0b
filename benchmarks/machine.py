"""What a figure was measured on."""

import os
import platform
from importlib.metadata import version

PACKAGES = ("varve", "numpy", "pandas", "vectorbt", "chromadb", "langchain-core", "gymnasium")


def describe() -> str:
    """Versions, cores and load, one line each."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"Python {platform.python_version()}, {versions}\n{os.cpu_count()} cores, load averages {load}"
