"""What a figure was measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("varve", "numpy", "pandas", "vectorbt", "chromadb", "langchain-core", "gymnasium")


def describe(*more: str) -> str:
    """Versions (of ``more`` packages too), cores and load, one line each."""
    versions = ", ".join(f"{name} {_version(name)}" for name in (*PACKAGES, *more))
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"Python {platform.python_version()}, {versions}\n{os.cpu_count()} cores, load averages {load}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
