"""Figures as PNG bytes: equal data gives equal bytes, from any thread, whatever a matplotlibrc says."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: dict[str, object] = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
    # A dollar in a name is a dollar, and no formula that may not be one.
    "text.parse_math": False,
}

# Settings of a figure are the whole process's while it is drawn, and the fonts are never safe to share.
_DRAWING = threading.Lock()


def draw_png(
    paint: Callable[[Figure], None],
    size: tuple[float, float],
    *,
    dpi: int,
    style: Mapping[str, object],
    colours: int | None = None,
) -> bytes:
    """The PNG of what ``paint`` puts on an empty figure.

    Args:
        size: width and height, inches.
        style: matplotlib settings beside the house's own.
        colours: at most so many colours, which makes a small file; None keeps them all.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Empty

    with _DRAWING, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, **style})
        figure = Empty(figsize=size, dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        paint(figure)
        buffer = io.BytesIO()
        # No software or date entries: the bytes hang on the data alone.
        if colours is None:
            figure.savefig(buffer, format="png", metadata={"Software": None})
            return buffer.getvalue()
        import numpy as np
        from PIL import Image

        canvas.draw()
        whole = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        few = whole.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()
