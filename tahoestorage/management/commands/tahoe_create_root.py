"""``manage.py tahoe_create_root``: make the root directory of a site's files."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from tahoestorage.config.options import help_on
from tahoestorage.config.settings import Options, backends, read_options
from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import NotEnoughServers, TahoeStorageError
from tahoestorage.management.secretfile import new_secret_file
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    errors_of,
    storage_on_grid,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import quorum
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.serverfacts import ServerRules

ADVICE = """\
This cap is the only key to the files that will be kept below it. Whoever loses it
loses all of them; whoever has it can read, change and delete them. Keep a copy in a
safe place, and keep it out of version control."""

FAILED = 1
BACKENDS = (
    "tahoestorage.storage.TahoeStorage",
    "tahoestorage.backends.tahoe.TahoeStorage",
)


class Command(StoreCommand):
    """Make a root directory, and print its cap or write it to a file, this once."""

    help = (
        "Makes the root directory on the grid and prints the setting to add. The cap "
        "in it is a secret: it is shown here only, or written to a file. Whoever loses "
        "it loses all files: keep a copy in a safe place."
    )
    examples = (
        "manage.py tahoe_create_root --output root.cap  # the cap goes to a file",
        "manage.py tahoe_create_root                    # the cap is printed",
        "manage.py tahoe_create_root --mark             # of other tools' directories",
    )
    statuses = (
        (0, "done"),
        (FAILED, "there is no new root, and why is said"),
        (USAGE, "wrong arguments"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="write the cap to this new file, for the owner alone to read",
        )
        parser.add_argument(
            "--base-url",
            help=f"{help_on('base_url')}, instead of TAHOE_STORAGE_BASE_URL",
        )
        parser.add_argument(
            "--format",
            choices=["SDMF", "MDMF"],
            help=f"{help_on('directory_format')}, instead of "
            "TAHOE_STORAGE_DIRECTORY_FORMAT",
        )
        parser.add_argument(
            "--mark",
            nargs="?",
            const="default",
            metavar="ALIAS",
            help="make no root: put the hidden file that each new directory has into "
            "the empty directories of this storage (default: default). Nothing else "
            "may write to it meanwhile",
        )

    def handle(
        self,
        *,
        output: Path | None,
        base_url: str | None,
        format: str | None,
        mark: str | None,
        **options: Any,
    ) -> None:
        if mark is not None:
            self._mark(mark)
            return
        given = {"base_url": base_url, "directory_format": format}
        given_by_the_default_storage = gateway_of_the_default_storage()
        try:
            site = read_options(
                {**given_by_the_default_storage, **_without_none(given)}
            )
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if output is None:
            uri = create_root(site)
            self.stdout.write(f"TAHOE_STORAGE_BASE_CAP = {quoted(uri)}")
        else:
            output = Path(os.path.abspath(output.expanduser()))
            with new_secret_file(output) as write:
                write(create_root(site))
            self.stdout.write(f"TAHOE_STORAGE_BASE_CAP_FILE = {quoted(str(output))}")
            if given_by_the_default_storage:
                query = f"base_cap_file={quote(str(output))}"
                self.stderr.write(f"In STORAGE_URL, instead of that setting: {query}")
        self.stderr.write(ADVICE, self.style.WARNING)
        # A file that is set, and is made only now, was no root before.
        if site.has_root and (output is None or output != site.base_cap_file):
            self.stderr.write(
                "A root cap is set already. This is another root, and it is empty.",
                self.style.WARNING,
            )

    def _mark(self, alias: str) -> None:
        """Put the marker into each empty directory of a storage."""
        try:
            storage = storage_on_grid(alias, FAILED)
            with (
                errors_of(alias, FAILED),
                storage.directories.gateways.first_alone(),
            ):
                count = marked(storage)
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Run it again: directories that are marked stay so.",
                returncode=INTERRUPTED,
            ) from None
        directories = "directory was" if count == 1 else "directories were"
        self.stdout.write(f"{count} empty {directories} marked.")


def marked(storage: TahoeStorage) -> int:
    """Put the marker into each empty directory; return how many there were."""
    count = 0
    pending: list[tuple[str, ...]] = [()]
    seen: set[bytes] = set()
    while pending:
        path = pending.pop()
        response = storage.directories.fetch(path)
        directory = response.directory
        # A directory may be in itself.
        if directory.namespace.identity in seen:
            continue
        seen.add(directory.namespace.identity)
        if directory.write is not None:
            count += storage.links.mark(directory, "/".join(path) or "the root")
        for name, entry in response.listing.items():
            if entry.kind is EntryKind.DIRECTORY:
                pending.append((*path, name))
    return count


def gateway_of_the_default_storage() -> dict[str, Any]:
    """Return the option ``base_url`` of the default storage, if it has that.

    STORAGE_URL sets it where that names a grid; it goes before the settings.
    """
    default = backends().get("default", {})
    if default.get("BACKEND") not in BACKENDS:
        return {}
    return _without_none({"base_url": default.get("OPTIONS", {}).get("base_url")})


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def create_root(site: Options) -> str:
    """Return the write cap of a new root, a secret.

    Raises CommandError, which says what to do next.
    """
    gateway = Gateway(
        site.base_url,
        connect_timeout=site.connect_timeout,
        read_timeout=site.read_timeout,
        min_rate=site.min_rate,
        retries=site.retries,
    )
    try:
        with closing(gateway):
            servers = gateway.servers()
            if servers is not None and not any(each.connected for each in servers):
                raise NotEnoughServers("It is connected to no storage server.")
            # A directory is made where a file would be refused: on too few servers.
            # And it tells how the gateway cuts what it keeps into shares.
            gateway.probe_upload()
            rules = ServerRules(site.server_count, site.retired_servers)
            return quorum.create_root(gateway, site.directory_format, rules=rules).uri
    except KeyboardInterrupt:
        # One may be on the grid by now. It is empty, and nobody has its cap.
        raise CommandError(
            "Interrupted. There is no root to use; run it again.",
            returncode=INTERRUPTED,
        ) from None
    except NotEnoughServers as error:
        raise CommandError(
            f"{error}\nThe gateway at {site.base_url} cannot keep files now, so no "
            "root was made. Open that address in a browser: it lists the storage "
            "servers that it knows. Connect it to more, or lower shares.happy in its "
            "tahoe.cfg, and try again."
        ) from error
    except TahoeStorageError as error:
        raise CommandError(
            f"{error}\nNo root was made. Is a Tahoe-LAFS gateway running at "
            f"{site.base_url}? Start it, or set TAHOE_STORAGE_BASE_URL or give "
            "--base-url. For a grid to try things out: manage.py tahoe_grid"
        ) from error


def quoted(text: str) -> str:
    """Return the text as a literal of Python in double quotes."""
    return json.dumps(text, ensure_ascii=False)
