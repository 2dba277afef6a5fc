"""Keep what a training run leaves on disk, so that a kill at any moment loses nothing that was once complete.

Owns the layout of a run directory, atomic writing, and the checks that tell a damaged file from a good one.
Takes dictionaries of tensors and JSON values; gives them back unchanged. Never knows what a model, a tokenizer
or an optimiser is, and never unpickles: a file that was tampered with can raise `RunError`, but can't run code.

    runs/NAME/
      config.json                written last while preparing: its presence makes the directory a run
      metrics.jsonl              one JSON object per line, in the order of the steps
      tensorboard/
      checkpoints/step-00000100/ *.safetensors and state.json
      last.json  best.json       pointers to a folder of checkpoints/
      lock                       held by the process that trains; the system lets go of it when that ends
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from filelock import FileLock, Timeout

from ifog.errors import RunError
from ifog.writing import TEMPORARY, sync_directory, write_atomically, write_synced

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Checkpoint", "RunDirectory", "Which"]

Which = Literal["last", "best"]

_FOLDER = re.compile(r"step-\d{8,}(-\d+)?")
# What a preparation that was killed may have left: such a directory can be prepared again.
_PREPARED = {
    "tokenizer.json", "train.ids", "validation.ids", "encoding.json", "train.examples", "validation.examples",
    "checkpoints", "tensorboard", "metrics.jsonl", "lock",
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on from the end of one step.

    Attributes:
        step: Number of completed steps.
        tensors: File stem (`"model"`, `"optimizer"`, ...) to named tensors.
        state: JSON values.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any] = field(default_factory=dict[str, Any])


class RunDirectory:
    """A directory that holds one training run; make one with `create` or `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config: dict[str, Any] | None = None

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """Make the directory of a new run.

        Raises:
            RunError: The path already holds a run, other files, or can't be made.
        """
        run = cls(Path(path))
        if (run.path / "config.json").exists():
            raise RunError(
                f"{run.path} already holds a run. Continue it with `ifog resume {run.path}`, "
                f"choose another directory with --out, or remove this one."
            )
        if run.path.exists() and not run.path.is_dir():
            raise RunError(f"{run.path} is a file; a run needs a directory of its own. Choose another with --out.")
        foreign = sorted(p.name for p in run.path.glob("*") if p.name not in _PREPARED and TEMPORARY not in p.name)
        if foreign:
            raise RunError(
                f"{run.path} holds files that are no part of a run (such as {foreign[0]}); "
                f"a run needs a directory of its own. Choose another with --out."
            )
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{run.path} can't be made: {error.strerror}. Choose another directory with --out."
            ) from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """Open the directory of a run that was prepared.

        Raises:
            RunError: There is no run here.
        """
        run = cls(Path(path))
        if not run.path.exists():
            raise RunError(f"{run.path} doesn't exist; give the directory that `ifog train` wrote, such as runs/NAME.")
        if not (run.path / "config.json").is_file():
            raise RunError(
                f"{run.path} is not a run: it has no config.json. Give the directory that `ifog train` wrote, "
                f"such as runs/NAME; if the training was stopped while it prepared its data, start it again."
            )
        return run

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """No other process trains in this directory meanwhile.

        Raises:
            RunError: One does already.
        """
        lock = FileLock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"{self.path} is being trained by another process; wait until that ends, or stop it with Ctrl-C."
            ) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration, read once."""
        if self._config is None:
            self._config = self.read_json("config.json")
        return self._config

    @property
    def tensorboard(self) -> Path:
        """The folder for TensorBoard's event files."""
        return self.path / "tensorboard"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.json, which makes the directory a run: do it after everything else is prepared."""
        self._config = dict(config)
        self.write_json("config.json", self._config)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one JSON object atomically under the run directory."""
        write_atomically(self.path / name, _to_json(value, indent=2))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one JSON object of the run directory.

        Raises:
            RunError: The file is missing or damaged.
        """
        return _read_object(self.path / name)

    # Checkpoints

    def has_checkpoint(self, which: Which = "last") -> bool:
        """Whether a checkpoint was ever completed."""
        return (self.path / f"{which}.json").is_file()

    def save(self, checkpoint: Checkpoint, *, best: bool = False) -> Path:
        """Write a checkpoint as the last one, and as the best one too where `best`; drop those no pointer names.

        At every moment `last.json` names a complete checkpoint: the new one is written and synced under a
        temporary name before the pointer is replaced.

        Raises:
            RunError: The disk is full or can't be written; the checkpoints from before stay valid.
        """
        folder = self._free_folder(checkpoint.step)
        temporary = folder.with_name(folder.name + TEMPORARY)
        try:
            _write_folder(temporary, checkpoint)
            temporary.rename(folder)
            sync_directory(folder.parent)
            pointer = {"folder": folder.name, "step": checkpoint.step}
            for which in ("last", "best") if best else ("last",):
                self.write_json(f"{which}.json", pointer)
        except OSError as error:
            self._drop_unnamed()
            raise RunError(
                f"the checkpoint of step {checkpoint.step} can't be written to {folder.parent}: "
                f"{error.strerror or error}. The checkpoint from before is still valid; free some space, "
                f"then go on with `ifog resume {self.path}`."
            ) from error
        self._drop_unnamed()
        return folder

    def load(self, which: Which = "last") -> Checkpoint:
        """Read the last or the best checkpoint, its tensors on the CPU.

        Raises:
            RunError: There is none, or a file of it is missing, truncated or damaged.
        """
        folder = self._named_folder(which)
        for _ in range(3):
            try:
                return _read_folder(folder)
            except RunError:
                # A training process may have replaced the checkpoint while it was read here.
                newer = self._named_folder(which)
                if newer == folder:
                    raise
                folder = newer
        return _read_folder(folder)

    def _named_folder(self, which: Which) -> Path:
        pointer = self.path / f"{which}.json"
        if not pointer.is_file():
            raise RunError(
                f"{self.path} has no {which} checkpoint yet; `ifog resume {self.path}` trains until there is one."
            )
        name = _read_object(pointer).get("folder")
        if not isinstance(name, str) or not _FOLDER.fullmatch(name):
            raise RunError(f"{pointer} is damaged: it names {name!r} in place of a folder of checkpoints/.")
        return self.path / "checkpoints" / name

    def _names_in_use(self) -> set[str]:
        return {self._named_folder(which).name for which in ("last", "best") if self.has_checkpoint(which)}

    def _free_folder(self, step: int) -> Path:
        """A folder for this step: one in use is never touched, one that a kill left without pointer is removed."""
        used = self._names_in_use()
        base = self.path / "checkpoints" / f"step-{step:08d}"
        folder, number = base, 1
        while folder.name in used:
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        for leftover in (folder, folder.with_name(folder.name + TEMPORARY)):
            shutil.rmtree(leftover, ignore_errors=True)
        return folder

    def _drop_unnamed(self) -> None:
        used = self._names_in_use()
        for folder in (self.path / "checkpoints").glob("*"):
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)

    # Metrics

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl; a number that is not finite is written as null.

        Raises:
            RunError: The disk is full or can't be written.
        """
        path = self.path / "metrics.jsonl"
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        try:
            with path.open("ab") as file:
                file.write(_to_json(finite) + b"\n")
        except OSError as error:
            raise RunError(
                f"{path} can't be written: {error.strerror or error}. The last checkpoint is valid; "
                f"free some space, then go on with `ifog resume {self.path}`."
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read every complete line of metrics.jsonl (a line being written right now is left out)."""
        return [record for record, _ in self._metrics()]

    def cut_metrics(self, step: int) -> None:
        """Drop what was recorded after `step`, so that a resumed run writes each step once."""
        end = 0
        for record, end_of_line in self._metrics():
            if not isinstance(record.get("step"), int) or record["step"] > step:
                break
            end = end_of_line
        path = self.path / "metrics.jsonl"
        if path.exists():
            os.truncate(path, end)

    def _metrics(self) -> list[tuple[dict[str, Any], int]]:
        """Every record with the file offset at which its line ends."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        records: list[tuple[dict[str, Any], int]] = []
        end = 0
        for line in path.read_bytes().splitlines(keepends=True):
            end += len(line)
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                if line.endswith(b"\n"):  # only the last line may be cut short by a kill
                    raise RunError(
                        f"{path} is damaged at byte {end - len(line)}: a line is no JSON object. "
                        "Remove that line; the rest stays."
                    )
                break
            records.append((cast("dict[str, Any]", record), end))
        return records


def _to_json(value: Mapping[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path} is missing: the run directory is incomplete. Restore it, or train anew.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} can't be read: {error}. Restore it from a copy, or train anew.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: it holds a {type(value).__name__} in place of a JSON object.")
    return cast("dict[str, Any]", value)


def _write_folder(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save

    folder.mkdir(parents=True)
    files: dict[str, dict[str, int]] = {}
    for stem, tensors in checkpoint.tensors.items():
        content = save(_separate(tensors))
        files[stem] = {"bytes": len(content), "crc32": zlib.crc32(content)}
        write_synced(folder / f"{stem}.safetensors", content)
    body = {"step": checkpoint.step, "files": files, "state": checkpoint.state}
    write_synced(folder / "state.json", _to_json({"crc32": zlib.crc32(_to_json(body)), "body": body}))
    sync_directory(folder)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors no two of which share memory, as safetensors wants them (tied weights do share)."""
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        if storage in seen:
            plain = plain.clone()
        seen.add(storage)
        separate[name] = plain
    return separate


def _read_folder(folder: Path) -> Checkpoint:
    if not folder.is_dir():
        raise RunError(f"{folder} is missing, though a pointer names it: the run directory is incomplete.")
    envelope = _read_object(folder / "state.json")
    try:
        body: dict[str, Any] = envelope["body"]
        if envelope["crc32"] != zlib.crc32(_to_json(body)):
            raise RunError(f"{folder / 'state.json'} is damaged: its checksum differs from its content.")
        files: dict[str, dict[str, int]] = body["files"]
        tensors = {stem: _read_tensors(folder / f"{stem}.safetensors", entry) for stem, entry in files.items()}
        return Checkpoint(body["step"], tensors, body["state"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder / 'state.json'} is damaged: {error!r}. Restore it from a copy.") from error


def _read_tensors(path: Path, entry: Mapping[str, int]) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror}. The checkpoint is incomplete; restore it.") from error
    if len(content) != entry["bytes"]:
        raise RunError(
            f"{path} has {len(content)} bytes, {entry['bytes']} were written: the file is truncated or was replaced. "
            f"Restore it from a copy, or train anew."
        )
    if zlib.crc32(content) != entry["crc32"]:
        raise RunError(f"{path} is damaged: its checksum differs from the one in state.json. Restore it from a copy.")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path} is not a safetensors file: {error}. Restore it from a copy.") from error
