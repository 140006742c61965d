# For mypy, to which the folder configs/ is a package beside this one.
from pathlib import Path
from typing import Any

from configs import base as base

FOLDER: Path

def __getattr__(name: str) -> Any: ...
