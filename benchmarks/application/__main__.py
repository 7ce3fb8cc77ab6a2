"""``python -m benchmarks.application NAME``: measure the application in ``example/``.

Each module beside this one is a measurement, named after what it measures. It has a
``main(arguments)``, which prints its figures beside their bounds and returns the exit
status: 0 where all are met. ``NAME --help`` lists its options.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

from benchmarks import application


def measurements() -> list[str]:
    """Return the names of all measurements."""
    found = (module.name for module in pkgutil.iter_modules(application.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main() -> int:
    """Run the measurement that is named; without a name, say which there are."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in measurements():
        print(f"{__doc__}\nThere are: {', '.join(measurements())}")
        return 0 if name in {"", "--help", "-h"} else 2
    module = importlib.import_module(f"benchmarks.application.{name}")
    return int(module.main(arguments))


if __name__ == "__main__":
    sys.exit(main())
