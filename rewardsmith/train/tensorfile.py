"""Named arrays and text in one safetensors file, written whole and read back verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rewardsmith.store.atomic import write_bytes

_KEY = "rewardsmith"


class TensorFile(NamedTuple):
    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write atomically, with a checksum over everything.

    Raises: RunError: the disk is full or the folder cannot be written.
    """
    whole = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    # One key: safetensors writes several in a different order every time, and equal contents shall be equal files.
    header = json.dumps({**metadata, "sha256": _checksum(whole, metadata)}, sort_keys=True)
    write_bytes(path, save(whole, {_KEY: header}))


def read_tensors(path: Path, *, format: str) -> TensorFile:
    """Read a file of the given `metadata["format"]`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged or of another format.
    """
    data = path.read_bytes()
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])["__metadata__"][_KEY]
        metadata = json.loads(header)
        if not isinstance(metadata, dict):
            raise TypeError("its metadata is no object")
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    claimed = metadata.pop("sha256", "")
    if metadata.get("format") != format:
        raise ValueError(f"{path} has format {metadata.get('format')!r}, expected {format!r}")
    if claimed != _checksum(arrays, metadata):
        raise ValueError(f"{path} is damaged: its checksum does not match")
    return TensorFile(arrays, metadata)


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
