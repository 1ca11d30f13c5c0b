"""Write and read files in folders that may have come from a stranger: no symbolic link is followed there.

Every file of a run folder is written by :func:`replace_file`. The home folder may lie behind links of its
owner's; they are resolved once, by :func:`varve.config.home`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from varve.bounded import parse_json
from varve.errors import BadFileError, StorageError, UsageError
from varve.harmless import hide, shortened
from varve.types import Json

MAX_JSON_BYTES = 64 * 2**20
"""The largest JSON file of a run folder that is read; those of a run of ten years take a hundredth of it."""

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting: a named pipe that nobody writes to would block for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make_folder(path: Path, *, mend: str = "set VARVE_HOME to a folder that can be written") -> None:
    """Make a folder and those above it where they are missing; new ones are for their owner alone (0700).

    Raises:
        StorageError: if it cannot be made.
    """
    missing = []
    above = path
    while not os.path.lexists(above):
        missing.append(above)
        above = above.parent
    try:
        for folder in reversed(missing):
            # Another process may make the same one at this moment.
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                if not folder.is_dir():
                    raise
        if not path.is_dir():
            raise NotADirectoryError(f"{above} is no folder")
    except OSError as error:
        raise StorageError(
            f"the folder {path} cannot be made: {error.strerror or error}",
            mend=mend,
        ) from error


def replace_file(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    The new file has a random name until it is whole. Where ``path`` is a symbolic link, the link is replaced
    and what it names is left alone.

    Args:
        path: the file; its folder must be there and be no link.
        data: text (written as UTF-8, without the user's key wherever it came from) or bytes.

    Raises:
        StorageError: if it cannot be written; what was there before is unharmed.
    """
    content = hide(data).encode() if isinstance(data, str) else data
    name = f".{path.name}.{secrets.token_hex(8)}.partial"
    try:
        folder = os.open(path.parent, _FOLDER)
    except OSError as error:
        why = "its folder is a symbolic link" if path.parent.is_symlink() else error.strerror or str(error)
        raise StorageError(f"{path} cannot be written: {why}", mend=_mend(path)) from error
    try:
        try:
            with os.fdopen(os.open(name, _FRESH, 0o666, dir_fd=folder), "wb") as file:
                file.write(content)
            os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            _forget(name, folder)
            raise StorageError(
                f"{path} cannot be written: {error.strerror or error}", mend=_mend(path)
            ) from error
        except BaseException:
            _forget(name, folder)
            raise
    finally:
        os.close(folder)


def read_file(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Read a regular file whole, not through a symbolic link.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read, is no regular file, or has more than ``limit`` bytes.
    """
    handle = os.open(path, _READ)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(handle)
    if len(content) > limit:
        raise OSError(f"it has more than {limit:,} bytes")
    return content


def named_path(given: str | Path) -> Path:
    """A path as a user wrote it, ``~`` resolved.

    Raises:
        UsageError: if it can be none: no such user, no home folder, too long, a zero byte in it.
    """
    try:
        path = Path(given).expanduser()
        path.is_dir()
        os.fsencode(path)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, PermissionError):
            return path
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise UsageError(
            f"{shortened(str(given), 200)!r} can be no path: {why}", mend="give the path of a file or folder"
        ) from error
    return path


def read_json(path: Path, *, mend: str) -> Json:
    """Read a JSON file of a run folder.

    Raises:
        FileNotFoundError: if there is none.
        BadFileError: if it cannot be read, is no JSON, or holds what no JSON file of Varve's holds: NaN,
            infinities, halves of characters, thousands of brackets in each other.
    """
    try:
        value: Json = parse_json(read_file(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        why = "it is a symbolic link" if path.is_symlink() else _why(error)
        raise BadFileError(f"{path} cannot be read: {why}", mend=mend) from error
    return value


def sync_files(folder: Path) -> None:
    """Bring the files of a folder, and then its entries, to the disk.

    Raises:
        OSError: if that cannot be done.
    """
    for path in sorted(folder.iterdir()):
        sync_folder(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk.

    Raises:
        OSError: if that cannot be done.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refuse_links(paths: Iterable[Path], *, mend: str) -> None:
    """Check that none of some paths is a symbolic link, before a library writes there.

    Raises:
        StorageError: naming the first that is one.
    """
    for path in paths:
        if path.is_symlink():
            raise StorageError(
                f"{path} is a symbolic link, and may lead anywhere; nothing is written through it",
                mend=mend,
            )


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, where it is there; no link is followed.

    Raises:
        StorageError: if it cannot be removed.
    """
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be removed: {error.strerror or error}", mend="see that its folder can be written"
        ) from error


def _forget(name: str, folder: int) -> None:
    # The failure that came first is the one to show.
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _mend(path: Path) -> str:
    return f"free disk space, and see that {path.parent} is a folder that can be written"


def _why(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
