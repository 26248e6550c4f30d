"""A made-up but realistic run for the report's tests (no number in it was measured)."""

from __future__ import annotations

import math
import random
from pathlib import Path

from rewardsmith.analyze.report import (
    BudgetUse,
    Media,
    ReportCandidate,
    ReportData,
    ReportHeadline,
    RoundFeedback,
    Scores,
)
from rewardsmith.analyze.video import encode_mp4, frames_to_strip
from rewardsmith.budget import BudgetLimits
from rewardsmith.types import CandidateState, CurvePoint, Finding, MemberResult
from tests.helpers.results import kept_of

FIRST_CODE = '''\
def compute_reward(obs, action, next_obs, *, distance_weight=1.0, speed_weight=0.5):
    """Come closer to the pad and slow down."""
    distance = torch.linalg.norm(next_obs["position"], dim=-1)
    speed = torch.linalg.norm(next_obs["velocity"], dim=-1)
    near = -distance_weight * distance
    slow = -speed_weight * speed
    return near + slow, {"near": near, "slow": slow}
'''
BEST_CODE = '''\
def compute_reward(obs, action, next_obs, *, progress_weight=10.0, speed_weight=0.3, rest_weight=1.0):
    """Reward progress towards the pad, a soft upright touch-down, and resting on both legs."""
    before = torch.linalg.norm(obs["position"], dim=-1)
    after = torch.linalg.norm(next_obs["position"], dim=-1)
    progress = progress_weight * (before - after)  # pays once, however long it hovers
    speed = torch.linalg.norm(next_obs["velocity"], dim=-1)
    soft = -speed_weight * speed * torch.exp(-2.0 * after)
    upright = -0.4 * next_obs["angle"].abs()
    legs = next_obs["left_contact"] + next_obs["right_contact"]
    rest = rest_weight * torch.where((legs > 1.5) & (speed < 0.1), 1.0, 0.0)
    return progress + soft + upright + rest, {"progress": progress, "soft": soft, "upright": upright, "rest": rest}
'''
REFLECTION = """\
We trained a policy with the reward above and tracked each component (mean per step at ten points):
progress: [0.02, 0.05, 0.11, 0.18, 0.21, 0.24, 0.25, 0.25, 0.26, 0.26], max 0.26, mean 0.18, min 0.02
soft: [-0.21, -0.19, -0.14, -0.11, -0.08, -0.07, -0.06, -0.06, -0.05, -0.05], max -0.05, mean -0.10, min -0.21
rest: [0.00, 0.00, 0.01, 0.04, 0.12, 0.21, 0.29, 0.33, 0.36, 0.38], max 0.38, mean 0.17, min 0.00
success: [0.00, 0.00, 0.06, 0.25, 0.44, 0.69, 0.81, 0.88, 0.94, 0.94]
"""


def member(
    candidate: str, seed: int, top: float, *, names=("progress", "soft", "rest"), points=10, state="trained", error=""
) -> MemberResult:
    """A seed whose success rises to about `top`."""
    noise = random.Random(ascii(candidate) + str(seed))
    curve = []
    for i in range(1, points + 1):
        rise = top / (1 + math.exp(-(i - 5 + seed % 5 * 0.4) * 0.9))
        success = min(1.0, max(0.0, rise + noise.uniform(-0.06, 0.06))) if top > 0.02 else 0.0
        curve.append(
            CurvePoint(
                env_steps=i * 40_000,
                fitness=-180 + 380 * success + noise.uniform(-25, 25),
                success=success,
                episode_length=900 - 600 * success + noise.uniform(-30, 30),
                episodes=8,
                components={
                    n: (k - 1) * 0.2 + rise * (1 - 0.4 * k) + noise.uniform(-0.03, 0.03) for k, n in enumerate(names)
                },
                reward=rise,
            )
        )
    return MemberResult(
        candidate=candidate,
        seed=seed,
        state=state,
        env_steps=points * 40_000,
        wall_s=31.0,
        curve=tuple(curve),
        kept=kept_of(curve),
        error=error,
    )


def candidate(id: str, round: int, state: CandidateState, top: float | None = None, **more) -> ReportCandidate:
    members = more.pop("members", tuple(member(id, s, top) for s in range(2)) if top is not None else ())
    return ReportCandidate(
        id=id,
        round=round,
        state=state,
        origin=more.pop("origin", "recorded"),
        code=more.pop("code", FIRST_CODE),
        members=members,
        **more,
    )


def realistic(films: bool = False) -> ReportData:
    """Two rounds of five candidates, one refused and repaired, one dropped, one diverged, a winner."""
    S = CandidateState
    best_names = ("progress", "soft", "upright", "rest")
    candidates = (
        candidate(
            "r1-0",
            1,
            S.OUTSCORED,
            0.0,
            reflection=REFLECTION,
            observations=(
                "Every policy hovers: the mean episode lasts 958 of 1,000 steps and success stays at 0 %.",
                "Component `slow` pays most where nothing moves; `near` never rises above -0.4.",
            ),
            thoughts="I start with the simplest dense reward: closer is better, slower is better.",
        ),
        candidate(
            "r1-1",
            1,
            S.REFUSED,
            code="import os\n" + FIRST_CODE,
            findings=(
                Finding(
                    id="gate.import",
                    severity="refuse",
                    message="`import os` is not allowed in a reward",
                    hint="remove it; torch is already there",
                    line=1,
                ),
            ),
        ),
        candidate(
            "r1-1.fix1",
            1,
            S.OUTSCORED,
            0.38,
            repair_of="r1-1",
            parents=(),
            findings=(
                Finding(
                    id="bank.dominant",
                    severity="warn",
                    message="component `near` carries 97 % of the total's variance",
                    hint="lower distance_weight",
                    line=5,
                ),
                Finding(
                    id="bank.unused", severity="info", message="features never read: angle, left_contact, right_contact"
                ),
            ),
        ),
        candidate(
            "r1-2",
            1,
            S.DROPPED,
            members=(
                member("r1-2", 0, 0.02, points=3, state="dropped"),
                member("r1-2", 1, 0.02, points=3, state="dropped"),
            ),
        ),
        candidate(
            "r1-3",
            1,
            S.MODEL_FAILED,
            code="",
            failure="the reply held no code block with a function named compute_reward",
        ),
        candidate(
            "r2-0",
            2,
            S.ACCEPTED,
            parents=("r1-1.fix1",),
            code=BEST_CODE,
            reflection=REFLECTION,
            members=tuple(member("r2-0", s, 0.95, names=best_names) for s in range(2)),
            observations=(
                "The lander comes down upright in 15 of 16 episodes and switches its engines off after contact.",
                "`rest` fires first at 120,000 steps and then explains most of the reward.",
            ),
            findings=(
                Finding(
                    id="probe.direction",
                    severity="info",
                    message="goal states score 3.1 standard deviations above random states",
                ),
            ),
            thoughts="The last reward paid for being near on every step: hovering was best. I pay progress instead.",
        ),
        candidate("r2-1", 2, S.OUTSCORED, 0.71, parents=("r1-1.fix1",)),
        candidate(
            "r2-2",
            2,
            S.DIVERGED,
            parents=("r1-1.fix1",),
            members=(
                member("r2-2", 0, 0.1, points=4, state="diverged", error="the policy's weights stopped being finite"),
                member("r2-2", 1, 0.2, points=4, state="diverged"),
            ),
        ),
        candidate(
            "r2-3",
            2,
            S.DUPLICATE,
            parents=("r1-1.fix1",),
            findings=(
                Finding(
                    id="bank.duplicate",
                    severity="refuse",
                    message="STARC distance 0.01 to r1-1.fix1",
                    hint="change the structure, not only the numbers",
                ),
            ),
        ),
    )
    frames = moving_square() if films else []
    media = (
        (
            Media(kind="mp4", data=encode_mp4(frames, fps=25), caption="r2-0, seed 1002, first episode: landed"),
            Media(kind="png", data=frames_to_strip(frames, columns=8), caption="The same episode, eight frames"),
        )
        if films
        else ()
    )
    return ReportData(
        run_id="20261122-lunar-lander-7f3a",
        words="Land softly between the flags and switch the engines off.",
        wishes=("keep the engines quiet near the ground",),
        environment="lunar_lander",
        environment_about="a rocket with one main and two side engines, to be set down on a pad.",
        goal_kind="pack",
        goal_about="Land: both legs on the ground between the flags, at rest, before the time limit.",
        created="2026-11-22 16:40 UTC",
        designer="recorded transcript of qwen2.5-coder",
        method="eureka",
        headline=ReportHeadline(
            designed=Scores(
                success=(0.94, 0.88, 1.0, 0.91, 0.94), fitness=(231.0, 210.5, 252.1, 222.3, 228.0), episodes=32
            ),
            sparse=Scores(
                success=(0.0, 0.0, 0.06, 0.0, 0.0), fitness=(-180.0, -162.0, -120.0, -175.0, -190.0), episodes=32
            ),
        ),
        candidates=candidates,
        best="r2-0",
        final_members=tuple(member("r2-0", 1000 + s, 0.93) for s in range(5)),
        references={"sparse": tuple(member("sparse", s, 0.03) for s in range(2))},
        feedbacks=(
            RoundFeedback(
                round=1,
                text="The best reward so far is r1-1.fix1:\n\n" + FIRST_CODE + "\n" + REFLECTION,
            ),
        ),
        budget=BudgetUse(
            calls=11, tokens=31_412, env_steps=6_240_000, wall_s=204.0, limits=BudgetLimits(tokens=200_000, wall_s=900)
        ),
        versions={"rewardsmith": "0.1.0", "torch": "2.13.0", "gymnasium": "1.2.0", "python": "3.11"},
        hardware="2 cores, no GPU",
        command='rewardsmith design lunar_lander "Land softly between the flags and switch the engines off."',
        media=media,
        notes=("The model's text in this run is a recorded transcript; training, checks and scores are live.",),
    )


def moving_square(count: int = 40, size: int = 96) -> list:
    """Frames of a square that comes down, for video tests."""
    import numpy as np

    frames = []
    for i in range(count):
        frame = np.zeros((size, size, 3), dtype=np.uint8)
        frame[..., 2] = 60
        frame[size - 12 :, :, :] = (200, 200, 190)
        y = int(8 + (size - 32) * i / count)
        frame[y : y + 14, 40:56] = (250, 130, 60)
        frames.append(frame)
    return frames


def write_sample(folder: Path) -> Path:
    """Render the realistic run to a file, to be looked at in a browser."""
    from rewardsmith.analyze.report import render_report

    path = folder / "report.html"
    path.write_text(render_report(realistic(films=True)), encoding="utf-8")
    return path
