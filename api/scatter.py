"""A picture of explored configurations as SVG text: images a second over what each takes, the front as a line."""

from collections.abc import Callable, Iterator, Mapping
from html import escape

from isthmus.exploration import Evaluated, Exploration

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 480, 360, 60, 40
_STYLE = "text{font:12px sans-serif}circle{fill:#9ab}.front{fill:#c40}polyline{fill:none;stroke:#c40}path{stroke:#888}"


def scatter(found: Exploration, measures: Mapping[str, Callable[[Mapping[str, float]], float]]) -> str:
    """A panel a measure, side by side; the pointer on a dot tells its configuration."""
    width = _WIDTH * len(measures)
    parts = [
        f'<svg viewBox="0 0 {width} {_HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>',
        f"<title>{escape(found.chip)} on {escape(found.part)}: images a second</title>",
    ]
    for number, (title, measure) in enumerate(measures.items()):
        parts += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(found, title, measure), "</g>"]
    return "\n".join([*parts, "</svg>"])


def _panel(found: Exploration, title: str, measure: Callable[[Mapping[str, float]], float]) -> Iterator[str]:
    points = [each for each in found.points if not each.refused]
    most = max((measure(each.use) for each in points), default=1) or 1
    fastest = max((each.images_per_second for each in points), default=1) or 1

    def place(each: Evaluated) -> tuple[float, float]:
        x = _LEFT + measure(each.use) / most * (_WIDTH - _LEFT - 20)
        return x, _HEIGHT - _BOTTOM - each.images_per_second / fastest * (_HEIGHT - _BOTTOM - 20)

    yield f'<path d="M{_LEFT} 10V{_HEIGHT - _BOTTOM}H{_WIDTH - 10}" fill="none"/>'
    yield f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 6}" text-anchor="end">{escape(title)}, up to {most:,.0f}</text>'
    yield f'<text x="{_LEFT + 6}" y="18">images/s, up to {fastest:,.0f}</text>'
    line = sorted(place(each) for each in _stairs(found, measure))
    yield f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>'
    names = {each.name for each in found.front}
    for each in points:
        x, y = place(each)
        kind = ' class="front"' if each.name in names else ""
        label = f"{each.name}: {each.images_per_second:,.1f} images/s, {measure(each.use):,.0f}"
        yield f'<circle{kind} cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(label)}</title></circle>'


def _stairs(found: Exploration, measure: Callable[[Mapping[str, float]], float]) -> Iterator[Evaluated]:
    """The front as one measure sees it: each faster than all that take less."""
    best = 0.0
    for each in sorted(found.front, key=lambda each: (measure(each.use), -each.images_per_second)):
        if each.images_per_second > best:
            best = each.images_per_second
            yield each
