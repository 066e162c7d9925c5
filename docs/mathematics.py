"""Formulas as MathML, which browsers draw by themselves, and a font for it: pages load no script from elsewhere."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from fontTools import subset
from math_core import LatexToMathML
from sphinx.application import Sphinx

FONTS = Path(__file__).parent / "generated" / "fonts"
CONVERTER = LatexToMathML()
# Letters, Greek, punctuation, arrows, operators, brackets; italics, into which browsers turn letters; sans serif.
RANGES = "20-7e a0-f7 391-3d6 2010-2040 2061-2064 210e-210e 2190-22ff 27e0-27ff 1d434-1d467 1d5a0-1d5d3 1d6e2-1d71b"


def mathml(latex: str, *, block: bool) -> str:
    """A formula."""
    return str(CONVERTER.convert_with_local_state(latex, displaystyle=block))


def inline(translator: Any, node: nodes.math) -> None:
    """Write a formula in a line."""
    translator.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula by itself."""
    translator.body.append(f'<div class="math">{mathml(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def write_font() -> None:
    """Write what pages need of STIX Two Math, for machines without a font of formulas, whose braces do not grow."""
    path = FONTS / "math.woff"
    if path.exists():
        return
    FONTS.mkdir(parents=True, exist_ok=True)
    spec = find_spec("ziamath")  # which ships the font
    assert spec is not None
    assert spec.origin is not None
    options = subset.Options(flavor="woff", layout_features=["*"])
    font = subset.load_font(Path(spec.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf", options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[i for ends in RANGES.split() for i in subset.parse_unicodes(ends)])
    subsetter.subset(font)
    subset.save_font(font, path, options)


def setup(app: Sphinx) -> None:
    """Add the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    write_font()
