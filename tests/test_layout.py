"""The house itself: links, exported names, floors, and a light command line."""

import ast
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


ROOMS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "varve").rglob("__init__.py")
)


@pytest.mark.parametrize("module", ["varve.api", *ROOMS])
def test_exported_names_exist_and_stand_once(module):
    room = import_module(module)
    names = getattr(room, "__all__", [])
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(room, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_the_face_of_a_room_exports_names_and_does_nothing_else(room):
    tree = ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    for node in tree.body[1:]:
        exports = isinstance(node, ast.Assign) and node.targets[0].id in (
            "_HOMES", "__all__", "__getattr__", "__version__",
        )  # fmt: skip
        assert exports or isinstance(node, ast.Import | ast.ImportFrom | ast.If), ast.dump(node)[:80]


def test_no_folder_has_more_than_14_files_and_no_file_more_than_about_400_lines():
    tops = [ROOT / name for name in ("varve", "tests", "docs", "benchmarks")]
    for folder in (one for top in tops for one in (top, *top.rglob("*/"))):
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".pyc"]
        assert len(files) <= 14, f"{folder.relative_to(ROOT)} has {len(files)} files"
    for path in (ROOT / "varve").rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= 410, f"{path.relative_to(ROOT)} has {lines} lines"


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
