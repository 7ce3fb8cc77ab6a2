"""The container's command as Cloud Run runs it: its start, its memory, its small disk.

It gets a PostgreSQL, an emulator of the bucket, secrets as files, and a tmpfs as the
only place that it can write to. ``--image`` also builds the image, by buildah as root
on a Debian that debootstrap makes, and searches it, its history and the build's log
for secrets that were planted beside what it is built from: that takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.application.deploy.cloud import Cloud, made_cloud
from tests.application.deploy.trials import (
    Start,
    start,
    start_and_save,
    start_together,
    stop_during_uploads,
    use_small_disk,
)
from tests.application.postgres import running as running_postgres
from tests.application.site import ROOT, manage
from tests.support.gcs_servers import GCS, running_gcs

MIB = 1 << 20
CACHE = 16 * MIB
Figures = list[tuple[str, str, str, bool]]
"""What was measured: its name, its value, its bound, and whether that is met."""


def starts(cloud: Cloud, gcs: GCS, work: Path) -> Figures:
    """Start it five times on the bucket and five on a folder, in turns."""
    folder = cloud.environment | {"STORAGE_URL": f"file://{work}/on-folder/media"}
    on_bucket: list[Start] = []
    on_folder: list[Start] = []
    for number in range(5):
        on_bucket.append(start(cloud.environment, work / f"bucket-{number}"))
        folder["STORAGE_URL"] = f"file://{work}/folder-{number}/media"
        on_folder.append(start(folder, work / f"folder-{number}"))
    cold = statistics.median(one.seconds for one in on_bucket)
    plain = statistics.median(one.seconds for one in on_folder)
    processor = statistics.median(one.processor for one in on_bucket)
    memory = max(one.resident for one in on_bucket) / MIB
    return [
        ("cold, start to first response", f"{cold:.2f} s", "2 s", cold <= 2),
        (
            "the same, against a folder",
            f"{cold / plain:.2f} x",
            "1.15 x",
            cold <= 1.15 * plain,
        ),
        ("the processor's part of it", f"{processor:.2f} s", "", True),
        ("memory, idle, 8 threads", f"{memory:.0f} MiB", "160 MiB", memory <= 160),
    ]


def small_disk(cloud: Cloud, gcs: GCS, work: Path, files: int) -> Figures:
    """Write and read many files on a disk of 64 MiB, with a cache of their contents."""
    found = use_small_disk(
        cloud,
        work,
        files=files,
        megabytes=64,
        cache_limit=CACHE,
        contents_limit=CACHE,
    )
    failed, most = len(found.failures), found.most_in_cache
    left = found.on_disk - found.in_cache
    for failure in found.failures[:5]:
        print(failure, file=sys.stderr)
    return [
        (f"{files:,} files on 64 MiB: failures", f"{failed}", "0", failed == 0),
        (
            "the cache's files at most",
            f"{most / MIB:.1f} MiB",
            "32 MiB",
            # Half of what contents may take is less than a cache without a bound has.
            CACHE / 2 <= found.contents <= CACHE and most <= 2 * CACHE,
        ),
        (
            "the disk besides, at the end",
            f"{left / MIB:.1f} MiB",
            "0.25 MiB",
            left <= MIB / 4,
        ),
    ]


def stopped(cloud: Cloud, gcs: GCS, work: Path) -> Figures:
    """Send SIGTERM during 20 uploads, with the grace that Cloud Run has."""
    found = stop_during_uploads(cloud, gcs, work, uploads=20, pause=0.12)
    told = f"{found.acknowledged} acknowledged, {found.unanswered} cut"
    wrong = [*found.lost, *found.broken, *found.pending, *found.without_row]
    return [
        (f"20 uploads at SIGTERM ({told}): wrong", f"{len(wrong)}", "0", not wrong),
        (
            "from SIGTERM to its end",
            f"{found.seconds:.1f} s",
            "10 s",
            found.seconds <= 10,
        ),
    ]


def many(cloud: Cloud, gcs: GCS, work: Path, instances: int) -> Figures:
    """Start many instances, one after another and all at once, and save by each."""
    found = start_and_save(cloud, gcs, work, instances=instances)
    more = max(found.cold) - min(found.warm)
    together = start_together(cloud, gcs, work, instances=instances)
    of_all = together.cold[0] - together.warm[0]
    left = len(found.without_row) + len(together.without_row)
    return [
        (
            f"{instances} instances: requests more, first save",
            f"{more}",
            "1",
            more <= 1,
        ),
        (
            f"{instances} at once: requests more, all first saves",
            f"{of_all}",
            f"{instances}",
            of_all <= instances,
        ),
        (f"{instances} instances: objects of no file", f"{left}", "0", left == 0),
    ]


Measure = Callable[[Cloud, GCS, Path], Figures]
PARTS = ("starts", "small_disk", "stopped", "many")


def built_image(work: Path) -> Figures:
    """Build the image with secrets planted around it, and look for them in it."""
    planted = f"planted-{secrets.token_hex(16)}"
    tree, base = work / "tree", work / "base"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for name in (".env", "root.cap", "example/.env", "example/db.sqlite3", "key.json"):
        (tree / name).write_text(planted)
    with (work / "build.log").open("w") as log:

        def run(*command: str, **more: str) -> None:
            subprocess.run(
                command,
                check=True,
                cwd=tree,
                env=os.environ | more,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        packages = "python3,python3-venv,ca-certificates"
        run(
            *("debootstrap", "--variant=minbase", f"--include={packages}"),
            *("bookworm", str(base)),
        )
        (base / "usr/bin/python").symlink_to("python3")
        (tree / "base.Dockerfile").write_text("FROM scratch\nADD . /\n")
        buildah = (
            *("buildah", f"--root={work}/store", f"--runroot={work}/run"),
            "--storage-driver=vfs",
        )
        build = (*buildah, "build", "--isolation=chroot", "--format=docker")
        run(*build, "--file=base.Dockerfile", "--tag=base", str(base))
        run(
            *(*build, "--network=host", "--build-arg=BASE=localhost/base"),
            "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
            *("--file=example/deploy/gcp/Dockerfile", "--tag=store", "."),
            SECRET_KEY=planted,
            DATABASE_PASSWORD=planted,
        )
        run(*buildah, "push", "localhost/store", f"oci-archive:{work}/image.tar")
        run(*buildah, "inspect", "--type=image", "localhost/store")
    with tempfile.TemporaryDirectory(dir=work) as unpacked:
        subprocess.run(["tar", "-xf", work / "image.tar", "-C", unpacked], check=True)
        places = [work / "build.log"]
        size = 0
        for blob in Path(unpacked, "blobs", "sha256").iterdir():
            size += blob.stat().st_size
            plain = blob.with_suffix(".plain")
            with plain.open("wb") as output:
                subprocess.run(["gzip", "-dcf", blob], stdout=output, check=True)
            places.append(plain)
        holding = [p.name for p in places if planted.encode() in p.read_bytes()]
    return [
        ("planted secrets in image, history, log", f"{len(holding)}", "0", not holding),
        ("the image, packed", f"{size / MIB:.0f} MiB", "", True),
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the figures beside their bounds; 0 if all are met."""
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__)
    parser.add_argument("--image", action="store_true", help="build the image, too")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--files", type=int, default=2_000, help="%(default)s")
    parser.add_argument("--instances", type=int, default=20, help="%(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    measures: dict[str, Measure] = {
        "starts": starts,
        "small_disk": partial(small_disk, files=given.files),
        "stopped": stopped,
        "many": partial(many, instances=given.instances),
    }
    figures: Figures = []
    with tempfile.TemporaryDirectory(prefix="deploy-") as made:
        work = Path(made)
        (work / "secrets").mkdir()
        with (
            running_postgres() as postgres,
            running_gcs(work) as gcs,
            made_cloud(postgres, gcs, work / "secrets") as cloud,
        ):
            # What is measured asks for a page.
            manage(cloud.environment, "collectstatic", "--no-input", "--verbosity=0")
            for name in given.only or PARTS:
                (work / name).mkdir()
                figures += measures[name](cloud, gcs, work / name)
        if given.image:
            figures += built_image(work)
    if given.json:
        keys = ("name", "value", "bound", "is_met")
        print(json.dumps([dict(zip(keys, one, strict=True)) for one in figures]))
    else:
        for label, value, bound, is_met in figures:
            end = f"at most {bound}" if bound else ""
            print(f"{label:50} {value:>10}  {end}{'' if is_met else '  MISSED'}")
    return 0 if all(is_met for *_, is_met in figures) else 1
