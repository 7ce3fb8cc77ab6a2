"""Other people's scripts in ``static/vendor``: fetched once, pinned, and checked.

``python example/pages/vendor.py`` asks npm for the packages, compares each with the
SHA-512 that stands here, and puts the files that the pages load, their licences and
THIRD-PARTY-NOTICES.md into place. They are in the repository: nothing is fetched when
the site is installed or built, and a test compares them with the hashes below. To take
another version change its line, and the hashes that the command then prints.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).resolve().parent / "static" / "vendor"


@dataclass(frozen=True)
class Package:
    """A package of npm; ``integrity`` is of its archive, as npm writes it.

    ``files`` are its files by the path in the archive, each with its SHA-256 in Base64.
    Of one that comes ``within`` the script of another, the licence alone is kept.
    """

    name: str
    version: str
    license: str
    home: str
    integrity: str
    files: dict[str, str]
    within: str = ""

    @property
    def folder(self) -> Path:
        return VENDOR / self.name

    @property
    def license_text(self) -> str:
        (name,) = (path for path in self.files if path.startswith("LICENSE"))
        return (self.folder / name).read_text("utf-8").strip()


PACKAGES = (
    Package(
        "htmx.org",
        "2.0.11",
        "0BSD",
        "https://htmx.org",
        "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFv"
        "BTqjnIMCgELTNt636dtamA==",
        {
            "dist/htmx.min.js": "1v3HXyBOa976mbab8ebUrGm4o2T3eSn0XBNHa0AA9xc=",
            "LICENSE": "09JFb3ZBTyRWEEZg69Za/xwEzXlmuUK9q9Y/PNsxajg=",
        },
    ),
    Package(
        "tus-js-client",
        "4.3.1",
        "MIT",
        "https://github.com/tus/tus-js-client",
        "sha512-ZLeYmjrkaU1fUsKbIi8JML52uAocjEZtBx4DKjRrqzrZa0O4MYwT6db+oqePlspV"
        "+FxXJAyFBc/L5gwUi2OFsg==",
        {
            "dist/tus.min.js": "I3DeQ8V5aXYN/auE4rUKZ1xUWbkeTI+Anm/aD4N2yJI=",
            "LICENSE": "LsNy4Tf6ZZOKZVHpq6o9PqIfXr05j8oAoTNU6ogeZTk=",
        },
    ),
    # What stands in tus.min.js: the versions whose sources its source map quotes, and
    # what Babel puts in of regenerator.
    Package(
        "base64-js",
        "1.5.1",
        "MIT",
        "https://github.com/beatgammit/base64-js",
        "sha512-AKpaYlHn8t4SVbOHCy+b5+KKgvR4vrsD8vbvrbiQJps7fKDTkjkDry6ji0rUJjC0"
        "kzbNePLwzxq8iypo41qeWA==",
        {"LICENSE": "WzciTAgM3Ml8hxralxwiTpkmNw/nTxG1Oaoc+fOxrKE="},
        within="tus-js-client",
    ),
    Package(
        "browser-pack",
        "6.1.0",
        "MIT",
        "https://github.com/browserify/browser-pack",
        "sha512-erYug8XoqzU3IfcU8fUgyHqyOXqIE4tUTTQ+7mqUjQlvnXkOO6OlT9c/ZoJVHYoA"
        "aqGxr09CN53G7XIsO4KtWA==",
        {"LICENSE": "Q1pnIseGsKVvvnOHAo8dnT86LQ+2FbuP7hGHJ8P1m3s="},
        within="tus-js-client",
    ),
    Package(
        "buffer",
        "5.2.1",
        "MIT",
        "https://github.com/feross/buffer",
        "sha512-c+Ko0loDaFfuPWiL02ls9Xd3GO3cPVmUobQ6t3rXNUk304u6hGq+8N/kFi+QEIKh"
        "zK3uwolVhLzszmfLmMLnqg==",
        {"LICENSE": "Brr6Rf2tJXm6DkOwybLGKQKHyZxCA8MAJUpGKzijB/Y="},
        within="tus-js-client",
    ),
    Package(
        "ieee754",
        "1.2.1",
        "BSD-3-Clause",
        "https://github.com/feross/ieee754",
        "sha512-dcyqhDvX1C46lXZcVqCpK+FtMRQVdIMN6/Df5js2zouUsqG7I6sFxitIC+7KYK29"
        "KdXOLHdu9zL4sFnoVQnqaA==",
        {"LICENSE": "GNRUZroyU96uBGZ+JnqR6o3oVI8YwRJSZNHJ2ygZTME="},
        within="tus-js-client",
    ),
    Package(
        "js-base64",
        "3.7.7",
        "BSD-3-Clause",
        "https://github.com/dankogai/js-base64",
        "sha512-7rCnleh0z2CkXhH67J8K1Ytz0b2Y+yxTPL+/KOJoa20hfnVQ/3/T6W/KflYI4bRH"
        "RagNeXeU2bkNGI3v1oS/lw==",
        {"LICENSE.md": "/PBqrLNu4pI3EQ1rOp+9YpboWtQyQmOr9filz7VwbIE="},
        within="tus-js-client",
    ),
    Package(
        "querystringify",
        "2.2.0",
        "MIT",
        "https://github.com/unshiftio/querystringify",
        "sha512-FIqgj2EUvTa7R50u0rGsyTftzjYmv/a3hO345bZNrqabNqjtgiDMgmo4mkUjd+nz"
        "U5oF3dClKqFIPUKybUyqoQ==",
        {"LICENSE": "OypqJoqoFd7BIdYUJF4DtcaNsfBE1bUl42231dx/ucM="},
        within="tus-js-client",
    ),
    Package(
        "regenerator-runtime",
        "0.14.1",
        "MIT",
        "https://github.com/facebook/regenerator",
        "sha512-dYnhHh0nJoMfnkZs6GmmhFknAGRrLznOu5nc9ML+EJxGvrx6H7teuevqVqCuPcPK"
        "//3eDrrjQhehXVx9cnkGdw==",
        {"LICENSE": "UYh6PUcFGsL84SEFYuW5/ggwqKj6vrJywtWG7rGKBf0="},
        within="tus-js-client",
    ),
    Package(
        "requires-port",
        "1.0.0",
        "MIT",
        "https://github.com/unshiftio/requires-port",
        "sha512-KigOCHcocU3XODJxsu8i/j8T9tzT4adHiecwORRQ0ZZFcp7ahwXuRU1m+yuO90C5"
        "ZUyGeGfocHDI14M3L3yDAQ==",
        {"LICENSE": "OypqJoqoFd7BIdYUJF4DtcaNsfBE1bUl42231dx/ucM="},
        within="tus-js-client",
    ),
    Package(
        "url-parse",
        "1.5.10",
        "MIT",
        "https://github.com/unshiftio/url-parse",
        "sha512-WypcfiRhfeUP9vvF0j6rw0J3hrWrw6iZv3+22h6iRMJ/8z1Tj6XfLP4DsUix5MhM"
        "PnXpiHDoKyoZ/bdCkwBCiQ==",
        {"LICENSE": "OypqJoqoFd7BIdYUJF4DtcaNsfBE1bUl42231dx/ucM="},
        within="tus-js-client",
    ),
)


def integrity(data: bytes) -> str:
    """Return the SHA-512 of an archive as npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file in Base64."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def fetch(package: Package, directory: Path) -> bytes:
    """Return the archive of the package; raises ValueError unless it is the right one.

    npm and its registry are those of this machine; no address stands here.
    """
    wanted = f"{package.name}@{package.version}"
    done = subprocess.run(
        ["npm", "pack", wanted, "--silent", "--ignore-scripts"],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    )
    data = (directory / done.stdout.split()[-1]).read_bytes()
    if integrity(data) != package.integrity:
        raise ValueError(f"{wanted} has {integrity(data)}, not {package.integrity}")
    return data


def unpack(package: Package, archive: Path) -> list[str]:
    """Put the files of the package into place; return what is wrong with any."""
    wrong = []
    with tarfile.open(archive) as tar:
        for path, sha256 in package.files.items():
            member = tar.extractfile(f"package/{path}")
            if member is None:
                raise ValueError(f"{package.name} has no file {path}")
            # Scripts name a map for debuggers that is not here.
            data = b"".join(
                line
                for line in member.read().splitlines(keepends=True)
                if not line.startswith(b"//# sourceMappingURL")
            )
            found = digest(data)
            if found != sha256:
                wrong.append(f"{package.name} {path}: {found}")
                continue
            package.folder.mkdir(parents=True, exist_ok=True)
            (package.folder / Path(path).name).write_bytes(data)
    return wrong


def notices() -> str:
    """Return THIRD-PARTY-NOTICES.md, with the licences as the packages have them."""
    parts = [
        "# Third-party notices\n\n"
        "Scripts of others that the pages of the example load, unchanged but for the\n"
        "references to their source maps. `example/pages/vendor.py` fetched them.\n"
    ]
    for package in PACKAGES:
        within = f" Within {package.within}." if package.within else ""
        parts.append(
            f"\n## {package.name} {package.version} ({package.license})\n\n"
            f"<{package.home}>{within}\n\n```text\n{package.license_text}\n```\n"
        )
    return "".join(parts)


def main() -> int:
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as made:
        for package in PACKAGES:
            archive = Path(made, "archive.tgz")
            archive.write_bytes(fetch(package, Path(made)))
            wrong += unpack(package, archive)
    if wrong:
        print("The hashes of these files are others:", *wrong, sep="\n")
        return 1
    (VENDOR / "THIRD-PARTY-NOTICES.md").write_text(notices(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
