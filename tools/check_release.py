"""Check that a tag may be released: ``python tools/check_release.py v1.2.3``.

It must be ``v`` and the version in pyproject.toml, and CHANGELOG.md must have a section of that version with a date.
"""

import re
import sys
import tomllib
from pathlib import Path


def faults(tag: str, pyproject: str, changelog: str) -> list[str]:
    """Return what keeps the tag from being released, given the texts of both files."""
    version = tomllib.loads(pyproject)["project"]["version"]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version in pyproject.toml {version}: the tag must be v{version}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no line '## [{version}] - YYYY-MM-DD'")
    return found


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    texts = [root.joinpath(name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CHANGELOG.md")]
    sys.exit("\n".join(faults(sys.argv[1], *texts)) or None)
