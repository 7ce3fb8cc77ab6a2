"""What `mkdocs build` does besides: pages from beside docs/, and links between all.

A file is written for whoever reads it where it lies, in the repository or in a source
distribution. So its links are paths from there, which are led to the site's pages here.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

logger = logging.getLogger("mkdocs.hooks")

ROOT = Path(__file__).parent.parent
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "example/README.md": "example.md",
}
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
# The README is shown by package indexes too, where links to files lead nowhere. So it
# names pages by their paths.
NAMED = re.compile(r"(?<!\[)`((?:docs/[\w-]+|CHANGELOG|CONTRIBUTING|SECURITY)\.md)`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie beside docs/."""
    for source, page in BESIDE.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Lead links to files of the repository to the pages that are made of them."""
    sources = {made: source for source, made in BESIDE.items()}
    here = page.file.src_uri
    folder = posixpath.dirname(sources.get(here, f"docs/{here}"))

    def led(path: str) -> str:
        target = posixpath.normpath(posixpath.join(folder, path))
        made = BESIDE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(made, posixpath.dirname(here) or ".")

    if here == "index.md":
        markdown = NAMED.sub(lambda match: f"[`{match[1]}`]({match[1]})", markdown)
    return LINK.sub(lambda match: f"]({led(match[1])}", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write one colon where a docstring has two before an example.

    Warn of what a browser takes for a tag and would not show, such as <ALIAS>.
    """
    for tag in re.findall(r"</?([A-Z][^>]*)>", html):
        logger.warning("%s: <%s> is not shown; mark it as code", page.file.src_uri, tag)
    return html.replace("::</p>", ":</p>")
