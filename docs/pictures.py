"""The directive ``pictures``."""

import drawings  # which adds its kinds
import figures
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FIGURES = ("benchmarks.md", "reliability.md", "accuracy.json", "functions.toml")  # what pictures are drawn from


class Pictures(SphinxDirective):  # type: ignore[misc]
    """Pictures beside each other, as far as there is room; the content is their caption."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        row = nodes.container(classes=["pictures"])
        for name in self.arguments[0].split():
            if name.partition("-")[0] not in figures.KINDS:
                raise self.error(f"there is no picture {name!r}")
            alt = figures.picture(name)
            for theme in ("light", "dark"):
                uri = f"/generated/pictures/{name}-{theme}.svg"
                row += nodes.image(uri=uri, alt=alt, classes=[f"only-{theme}"])
        for path in (figures.__file__, drawings.__file__, *(figures.HERE / name for name in FIGURES)):
            self.env.note_dependency(str(path))
        if not self.content:
            return [row]
        caption = nodes.container(classes=["picture-caption"])
        self.state.nested_parse(self.content, self.content_offset, caption)
        return [row, caption]
