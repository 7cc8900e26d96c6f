"""`python sync`, from any folder."""

from __future__ import annotations

import sys
from pathlib import Path

# `python FOLDER` puts that folder on the path; the package is found beside it.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sync.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
