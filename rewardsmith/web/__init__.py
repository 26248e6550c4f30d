"""Pages for people: raters compare clips in a browser, on this machine or through a link.

`serve_in_background(...)` shows them while something else waits for votes; `rewardsmith prefer` serves a `Site`.
"""

from __future__ import annotations

from rewardsmith.web.server import Background, Site, serve_in_background

__all__ = ["Background", "Site", "serve_in_background"]
