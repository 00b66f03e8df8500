"""Write the sample data again: ``python -m wwc_eval.data.samples sample_data/``."""

from __future__ import annotations

import argparse
import sys

from wwc_eval.data.samples import write_samples
from wwc_eval.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Write the files and name them; exit status 1 where that is not possible."""
    parser = argparse.ArgumentParser(
        prog="python -m wwc_eval.data.samples", description="Write the sample data and their dictionaries."
    )
    parser.add_argument("folder", help="where the files are to stand, such as sample_data/")
    try:
        written = write_samples(parser.parse_args(arguments).folder)
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
