"""The house itself: links, exported names, floors, and a light command line."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("pandas", "torch", "vectorbt", "chromadb", "transformers", "langchain_core", "matplotlib", "numpy")


@pytest.mark.parametrize("name", ["agents", "memory", "envs", "strategies", "backtests"])
def test_root_link_resolves_into_the_package(name):
    link = ROOT / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / "varve" / name


@pytest.mark.parametrize(
    "module",
    [f"varve.{room}" for room in ("api", "market", "envs", "memory", "finllm", "strategies", "agents")],
)
def test_exported_names_exist_and_stand_once(module):
    room = import_module(module)
    assert len(set(room.__all__)) == len(room.__all__) > 1
    for name in room.__all__:
        assert getattr(room, name) is not None


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from varve.cli import app as cli\n"
        "try:\n    cli.app(args=['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print('LOADED', sorted(set(m.split('.')[0] for m in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    loaded = done.stdout.rpartition("LOADED")[2]
    assert not [name for name in HEAVY if f"'{name}'" in loaded]


def test_every_entry_point_loads():
    from varve import registry

    for group in registry.GROUPS:
        # Varve's own figures are computed together; metrics are other packages' alone.
        assert registry.names(group) or group == "metrics"
        for name in registry.names(group):
            assert callable(registry.load(group, name))
