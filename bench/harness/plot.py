"""Line plots as plain SVG: logarithmic axes, a legend, a title on hover for every point. Nothing but the standard library."""

import html
import math

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 78, 236, 46, 58  # the legend stands on the right
# Told apart in print and by those who do not see all colours (Okabe and Ito), and by the shape of the points.
COLOURS = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"]
SHAPES = ["circle", "square", "diamond", "triangle"]


class Series:
    def __init__(self, name, points, dashed=False, colour=None):
        """points: (x, y), positive; others cannot be shown on a logarithmic axis and are left out. colour: a number; series of one
        server have the same."""
        self.name, self.dashed, self.colour = name, dashed, colour
        self.points = sorted((x, y) for x, y in points if x > 0 and y > 0)


class Axis:
    """Decades that enclose all values, and where a value is between two pixels."""

    def __init__(self, values, first_px, last_px):
        low, high = math.log10(min(values)), math.log10(max(values))
        if high - low < 0.05:
            low, high = low - 0.5, high + 0.5
        margin = (high - low) * 0.04
        self.low, self.high = low - margin, high + margin
        self.first_px, self.last_px = first_px, last_px

    def at(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.first_px + share * (self.last_px - self.first_px)

    def ticks_of_bytes(self):
        """Powers of two, eight of them at most."""
        first, last = math.ceil(self.low / math.log10(2)), math.floor(self.high / math.log10(2))
        step = max(1, math.ceil((last - first) / 7))
        return [2.0 ** power for power in range(first, last + 1) if power % step == 0]

    def ticks(self):
        """1, 2 and 5 of each decade; only the decades when they are many."""
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1, 2, 5) if self.high - self.low <= 3.2 else (1,)
        values = [step * 10.0 ** decade for decade in decades for step in steps]
        return [value for value in values if self.low <= math.log10(value) <= self.high]


def text_of_number(value):
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def text_of_bytes(value):
    for limit, suffix in ((1 << 30, " GiB"), (1 << 20, " MiB"), (1 << 10, " KiB")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g} B"


def text(x, y, words, **attributes):
    rest = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{rest}>{html.escape(words)}</text>'


def marker(shape, x, y, colour, title=""):
    inside = f"<title>{html.escape(title)}</title>" if title else ""
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{inside}</circle>'
    corners = {"square": ((-4, -4), (4, -4), (4, 4), (-4, 4)), "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
               "triangle": ((0, -5), (5, 4), (-5, 4))}[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}">{inside}</polygon>'


def grid(axis_x, axis_y, x_text, y_text):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in axis_x.ticks_of_bytes() if x_text is text_of_bytes else axis_x.ticks():
        x = axis_x.at(value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield text(x, bottom + 18, x_text(value), text_anchor="middle")
    for value in axis_y.ticks():
        y = axis_y.at(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
        yield text(LEFT - 8, y + 4, y_text(value), text_anchor="end")
    yield f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#444"/>'


def line(series, number, axis_x, axis_y, x_text, y_text):
    colour = number if series.colour is None else series.colour
    colour, shape = COLOURS[colour % len(COLOURS)], SHAPES[colour % len(SHAPES)]
    dash = ' stroke-dasharray="6 4"' if series.dashed else ""
    path = " ".join(f"{axis_x.at(x):.1f},{axis_y.at(y):.1f}" for x, y in series.points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
    for x, y in series.points:
        yield marker(shape, axis_x.at(x), axis_y.at(y), colour, f"{series.name}: {y_text(y)} at {x_text(x)}")
    y = TOP + 12 + 22 * number
    yield f'<line x1="{WIDTH - RIGHT + 14}" y1="{y}" x2="{WIDTH - RIGHT + 44}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>'
    yield marker(shape, WIDTH - RIGHT + 29, y, colour)
    yield text(WIDTH - RIGHT + 52, y + 4, series.name)


def svg(title, x_label, y_label, series, x_text=text_of_number, y_text=text_of_number):
    """The plot as a string; None when there is nothing to show."""
    series = [one for one in series if one.points]
    if not series:
        return None
    axis_x = Axis([x for one in series for x, _ in one.points], LEFT, WIDTH - RIGHT)
    axis_y = Axis([y for one in series for _, y in one.points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 26, title, font_size="16", font_weight="bold"),
        *grid(axis_x, axis_y, x_text, y_text),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_label, text_anchor="middle"),
        f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{text(0, 0, y_label, text_anchor="middle")}</g>',
    ]
    for number, one in enumerate(series):
        parts += line(one, number, axis_x, axis_y, x_text, y_text)
    return "\n".join([*parts, "</svg>", ""])
