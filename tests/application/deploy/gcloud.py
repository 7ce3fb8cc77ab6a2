"""What gcloud takes: the commands that are given here, and the flags of each.

From Google's reference (https://cloud.google.com/sdk/gcloud/reference), as far as they
are used. `--flags-file`, `--format`, `--project` and `--quiet` are all commands'.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

EVERYWHERE = {"--flags-file", "--format", "--project", "--quiet"}
FLAGS = {
    "auth application-default login": "",
    "builds list": "--filter --limit --ongoing --region",
    "builds triggers run": "--branch --region --sha --substitutions --tag",
    "config set": "",
    "run jobs execute": "--args --async --region --update-env-vars --wait",
    "run jobs replace": "--async --region",
    "run jobs update": "--args --async --image --region --update-env-vars",
    "run revisions list": "--filter --limit --region --service",
    "run services list": "--filter --limit --region",
    "run services replace": "--async --dry-run --region",
    "run services update": "--async --image --no-traffic --region --update-env-vars",
    "run services update-traffic": "--async --region --to-latest --to-revisions",
    # This alone of Cloud Run's commands has no --region.
    "run worker-pools replace": "--async --dry-run",
    "run worker-pools update": "--async --image --instances --region --update-env-vars",
    "secrets versions access": "--secret",
    "secrets versions add": "--data-file",
    "secrets versions destroy": "--secret",
    "secrets versions list": "--filter --limit",
    "services enable": "--async",
    "sql instances clone": "--async --point-in-time",
    "sql instances describe": "",
    "sql users create": "--host --instance --password",
    "storage buckets create": "--location --uniform-bucket-level-access",
    "storage buckets update": "--versioning",
    "storage restore": "--all-versions --allow-overwrite --async",
}


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each gcloud that a shell's text or a document starts."""
    for started in re.finditer(r"\bgcloud +(?=[a-z])", text.replace("\\\n", " ")):
        rest = text.replace("\\\n", " ")[started.end() :].partition("\n")[0]
        words = shlex.shlex(rest, posix=True, punctuation_chars="|&;()<>`")
        words.whitespace_split, words.commenters = True, ""
        found = []
        for word in words:
            if not word.strip("|&;()<>`"):
                break
            found.append(word)
        yield found


def wrong(command: list[str]) -> list[str]:
    """Return which flags gcloud would refuse, or the command where there is none."""
    for length in range(len(command), 0, -1):
        name = " ".join(command[:length])
        if name in FLAGS:
            known = EVERYWHERE | set(FLAGS[name].split())
            given = [word.partition("=")[0] for word in command[length:]]
            return [word for word in given if word[:1] == "-" and word not in known]
    return [" ".join(command)]
