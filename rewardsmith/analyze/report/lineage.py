"""Who came from whom: rounds as columns, candidates as boxes, parents as arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from rewardsmith.analyze.report.text import safe

BOX_WIDTH, BOX_HEIGHT, COLUMN_GAP, ROW_GAP, HEAD = 168, 28, 72, 12, 26


class Node(NamedTuple):
    """One box. `style` is a CSS class (`best`, `good`, `bad`, `plain`), `href` an anchor of the page."""

    id: str
    round: int
    label: str
    style: str
    href: str
    parents: tuple[str, ...] = ()
    repair_of: str | None = None


def lineage_graph(nodes: Sequence[Node], round_names: Mapping[int, str]) -> Markup:
    """The graph as SVG of natural size (the page scrolls it), or nothing when no candidate has a parent."""
    known = {node.id for node in nodes}
    if not any(p in known for node in nodes for p in (*node.parents, node.repair_of)):
        return Markup("")
    rounds = sorted({node.round for node in nodes})
    columns = {r: _repairs_below([n for n in nodes if n.round == r]) for r in rounds}
    place = {
        node.id: (index * (BOX_WIDTH + COLUMN_GAP) + 2, HEAD + row * (BOX_HEIGHT + ROW_GAP))
        for index, r in enumerate(rounds)
        for row, node in enumerate(columns[r])
    }
    width = len(rounds) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP + 4
    height = HEAD + max(len(column) for column in columns.values()) * (BOX_HEIGHT + ROW_GAP)
    parts = [
        Markup('<text class="tick" x="{}" y="14">{}</text>').format(
            i * (BOX_WIDTH + COLUMN_GAP) + 4, safe(round_names.get(r, f"round {r}"))
        )
        for i, r in enumerate(rounds)
    ]
    for node in nodes:
        parts += [_arrow(place[p], place[node.id], node.style) for p in node.parents if p in place and p != node.id]
        if node.repair_of in place and node.repair_of != node.id:
            parts.append(_arrow(place[node.repair_of], place[node.id], "repair"))
    parts += [_box(node, *place[node.id]) for node in nodes]
    return Markup(
        '<svg class="lineage" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" '
        'aria-label="which candidate was made from which">{body}</svg>'
    ).format(w=width, h=height, body=Markup("").join(parts))


def _repairs_below(nodes: Sequence[Node]) -> list[Node]:
    """Nodes of one round with every repair right below what it repairs."""
    here = {node.id for node in nodes}
    repairs: dict[str, list[Node]] = {}
    for node in nodes:
        if node.repair_of in here and node.repair_of != node.id:
            repairs.setdefault(node.repair_of, []).append(node)
    ordered: list[Node] = []
    waiting = [node for node in reversed(nodes) if node.repair_of not in here or node.repair_of == node.id]
    while waiting:
        node = waiting.pop()
        ordered.append(node)
        waiting += reversed(repairs.pop(node.id, []))
    return ordered + [node for node in nodes if node not in ordered]


def _arrow(start: tuple[float, float], end: tuple[float, float], style: str) -> Markup:
    (x0, y0), (x1, y1) = start, end
    if x0 == x1:  # a repair: same column, from box to box
        down = y1 > y0
        path = f"M{x0 + 14} {y0 + (BOX_HEIGHT if down else 0)}V{y1 + (0 if down else BOX_HEIGHT)}"
    else:
        forward = x1 > x0
        a, b = (x0 + BOX_WIDTH, x1) if forward else (x0, x1 + BOX_WIDTH)
        ya, yb, bend = y0 + BOX_HEIGHT / 2, y1 + BOX_HEIGHT / 2, COLUMN_GAP * (0.55 if forward else -0.55)
        path = f"M{a} {ya}C{a + bend} {ya} {b - bend} {yb} {b} {yb}"
    return Markup('<path class="edge {}" d="{}"/>').format(style, path)


def _box(node: Node, x: float, y: float) -> Markup:
    return Markup(
        '<a href="{}"><rect class="box {}" x="{}" y="{}" width="{}" height="{}" rx="6"/>'
        '<text class="boxname {}" x="{}" y="{}">{}</text>'
        '<text class="boxscore" x="{}" y="{}" text-anchor="end">{}</text></a>'
    ).format(
        node.href, node.style, x, y, BOX_WIDTH, BOX_HEIGHT,
        node.style, x + 9, y + 18, safe(node.id[:14]), x + BOX_WIDTH - 9, y + 18, safe(node.label),
    )  # fmt: skip
