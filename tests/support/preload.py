"""A library loaded before libc: it moves the clocks of a running process, and has its storage hang."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
_FORM = struct.Struct("=qqq")


class Preload:
    """What one process sees of clocks and storage; `env` is for its start."""

    def __init__(self, folder: Path) -> None:
        """Compile the library into `folder`, which takes a C compiler."""
        library = folder / "preload.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
        self._state = folder / "preload.state"
        self.wall_ms = self.elapsed_ms = 0
        self.hangs = False
        self.apply()
        self.env = {"LD_PRELOAD": str(library), "PRELOAD_STATE": str(self._state)}

    def apply(self) -> None:
        """Have the process see what stands here now."""
        # Written in place: the process has the file mapped.
        with self._state.open("r+b" if self._state.exists() else "xb") as file:
            file.write(_FORM.pack(self.wall_ms, self.elapsed_ms, self.hangs))
