"""What people and pages are shown of trained policies: clips recorded as states, drawn and encoded when asked for.

`record_clip` plays an episode and keeps it, `frames`, `film` and `contact_sheet` draw clips, and `ClipFilms` keeps the
films of a run's clips in files, made by processes of their own.
"""

from rewardsmith.clips.clip import Clip, load_clip, save_clip
from rewardsmith.clips.drawing import contact_sheet, film, frames, replay
from rewardsmith.clips.films import ClipFilms, FilmRequest
from rewardsmith.clips.recording import record_clip

__all__ = [
    "Clip",
    "ClipFilms",
    "FilmRequest",
    "contact_sheet",
    "film",
    "frames",
    "load_clip",
    "record_clip",
    "replay",
    "save_clip",
]
