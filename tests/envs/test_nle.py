"""NetHack games: seeding, what is shown when a game ends, and the numbers of the games they stand for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("minihack", reason="minihack is not installed")

from rewardsmith.envs import glyphs, list_packs, nle_pictures, resolve_env
from rewardsmith.envs.construct import bare_env
from rewardsmith.envs.nle_world import NleWorld, nle_env
from rewardsmith.errors import EnvironmentFault, MissingExtra
from rewardsmith.export.describe import describe_environment
from rewardsmith.types import ActionSpec

pytestmark = pytest.mark.minihack

ROOM = "MiniHack-Room-Random-5x5-v0"
NORTH, EAST, SOUTH, WEST = range(4)
NORTH_WEST = 7
FIELDS = ("glyphs", "glyphs:crop", "blstats", "message", "inv_oclasses", "end_status")


def world_of(name, num_envs=1, *, fields=FIELDS, hidden=(), horizon=10_000, limit=None, **kwargs):
    """A world without a pack; its policy sees the agent's place. `limit` is the game's own step limit."""
    task = SimpleNamespace(FIELDS=fields, HIDDEN=hidden, observation=lambda found: found["blstats"][:, :2].float())

    def make():
        env = nle_env(name, kwargs)
        env.unwrapped._max_episode_steps = limit or env.unwrapped._max_episode_steps
        return env

    env = make()
    action = ActionSpec(kind="discrete", n=int(env.action_space.n))
    env.close()
    return NleWorld(make, num_envs, name=name, task=task, action=action, horizon=horizon, featurize=lambda found: found)


def stock(name, limit=None, **kwargs):
    """The game as the library offers it, with the seeds' moon instead of tonight's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gym.make(name, disable_env_checker=True, fix_moon_phase=True, **kwargs).unwrapped
    env._max_episode_steps = limit or env._max_episode_steps
    return env


def start_alike(world, env, seed):
    """Row 0 and a stock game from the same seeds; returns the stock observation."""
    world.reset(np.array([0]), seeds(seed))
    core, display, *_ = world._games[0]._env.get_seeds()
    env.seed(*seeds_of(seed), reseed=False)
    obs, _ = env.reset()
    assert env.get_seeds()[:2] == (core, display)
    return obs


def seeds_of(seed):
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(2, np.uint64) >> np.uint64(1)]


def seeds(*values):
    return np.array(values, dtype=np.uint64)


def lava():
    """A des-file: stairs in the north-west, the agent at (1, 1), lava to its east."""
    minihack = importlib.import_module("minihack")
    level = minihack.LevelGenerator(map="......\n..LLL.\n..LLL.\n......")
    level.set_start_pos((1, 1))
    level.add_goal_pos((0, 0))
    return level.get_des()


def shown(world, row):
    """Copies of everything that a row shows."""
    flags = (world.obs, world.terminated, world.truncated, world.native_reward, world.info["is_success"])
    return [value[row].clone() for value in (*flags, *world.fields().values())]


def episode(world, row, seed, steps, play):
    """What row `row` shows from `seed` on, its actions drawn from the seed, those of the others from `play`."""
    world.reset(np.array([row]), seeds(seed))
    rng, out = np.random.default_rng(seed), [shown(world, row)]
    for _ in range(steps):
        action = play.integers(world.action.n, size=world.num_envs)
        action[row] = rng.integers(world.action.n)
        world.step(torch.from_numpy(action))
        out.append(shown(world, row))
        done = np.flatnonzero((world.terminated | world.truncated).numpy())
        world.reset(done, play.integers(2**63, size=len(done)).astype(np.uint64))
        if row in done:
            break
    return out


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) for p, q in zip(one, other, strict=True) for a, b in zip(p, q, strict=True)
    )


@pytest.mark.parametrize("name", [ROOM, "MiniHack-Room-Ultimate-5x5-v0", "NetHackScore-v0"])
def test_a_row_depends_on_its_seed_and_actions_only(name):
    """Alone, in two other rows of a crowd, after finished games and after games broken off in the middle."""
    wanted = [2, 2**64 - 1, 7]
    alone, play = world_of(name), np.random.default_rng(0)
    expected = {seed: episode(alone, 0, seed, 40, play) for seed in wanted}
    assert not same(expected[2], expected[7])
    assert any(len(history) > 20 for history in expected.values())
    crowd = world_of(name, 3)
    crowd.reset(np.arange(3), seeds(8, 9, 10))
    crowd.step(torch.zeros(3, dtype=torch.int64))
    for row, order in ((2, wanted), (0, wanted[::-1])):
        for seed in order:
            assert same(episode(crowd, row, seed, 40, play), expected[seed])


def test_the_moon_comes_from_the_seed_and_not_from_todays_date():
    world = world_of(ROOM, 1)
    greetings = set()
    for seed in range(60):
        world.reset(np.array([0]), seeds(seed))
        greetings.add(bytes(world.fields()["message"][0].numpy()).split(b"\0")[0].split(b"!")[0])
    assert {b"Hello Agent, welcome to NetHack", b"You are lucky"} <= greetings


@pytest.mark.parametrize(
    ("moves", "end_status", "terminated", "reward", "place", "message"),
    [
        ([SOUTH, NORTH, NORTH_WEST], 2, True, 1.0, (0, 0), b""),
        ([WEST, EAST, EAST], 1, True, 0.0, (2, 1), b"You fall into the lava!  You burn to a crisp..."),
        ([SOUTH, SOUTH, SOUTH, SOUTH], -1, False, -0.01, (1, 3), b"It's solid stone."),
    ],
    ids=["success", "death", "step limit"],
)
def test_at_the_end_the_last_live_observation_is_shown(moves, end_status, terminated, reward, place, message):
    """NLE itself shows zeros and a blank map then."""
    world = world_of("MiniHack-Navigation-Custom-v0", 2, limit=4, horizon=len(moves), des_file=lava())
    native = stock("MiniHack-Navigation-Custom-v0", limit=4, des_file=lava())
    start_alike(world, native, 3)
    world.reset(np.array([1]), seeds(4))
    corner = world.fields()["blstats"][0, :2] - 1
    land = (world.fields()["glyphs"][0] != glyphs.STONE).sum()
    blank = None
    for t, move in enumerate(moves):
        assert not world.terminated.any() and not world.truncated.any()
        assert (world.fields()["end_status"] == 0).all()
        world.step(torch.tensor([move, (NORTH, SOUTH)[t % 2]]))
        blank, *_ = native.step(move)
    assert blank is not None and (blank["glyphs"] == glyphs.STONE).all() and not blank["blstats"].any()

    fields = world.fields()
    assert fields["end_status"][0] == end_status
    assert (bool(world.terminated[0]), bool(world.truncated[0])) == (terminated, not terminated)
    assert world.info["is_success"][0] == float(end_status == 2) and world.native_reward[0] == reward
    assert (fields["blstats"][0, :2] - corner).tolist() == list(place)
    assert fields["blstats"][0, 10] == 12  # hit points: lava does not take them one by one
    assert bytes(fields["message"][0].numpy()).split(b"\0")[0] == message
    assert (fields["glyphs"][0] != glyphs.STONE).sum() == land
    x, y = fields["blstats"][0, :2].tolist()
    assert torch.equal(fields["glyphs:crop"][0], fields["glyphs"][0][y - 5 : y + 6, x - 5 : x + 6])
    assert not world.diverged.any()

    world.reset(np.array([0]), seeds(3))
    assert not world.terminated[0] and not world.truncated[0] and world.native_reward[0] == 0
    assert fields["end_status"][0] == 0 and (fields["blstats"][0, :2] - corner).tolist() == [1, 1]


def test_the_worlds_own_step_limit_truncates_too():
    world = world_of(ROOM, horizon=3)
    world.reset(np.array([0]), seeds(1))
    for t in range(5):
        world.step(torch.tensor([WEST]))
        assert not world.terminated[0] and bool(world.truncated[0]) == (t == 2)
        assert world.fields()["end_status"][0] == 0
        if world.truncated[0]:
            world.reset(np.array([0]), seeds(1))


def test_crops_are_those_of_minihack_even_at_the_edges():
    """The agent walks west to the edge of a map as large as NetHack has them, then along it."""
    minihack = importlib.import_module("minihack")
    level = minihack.LevelGenerator(w=76, h=21)
    level.set_start_pos((6, 5))
    level.add_goal_pos((70, 15))
    fields, des = ("glyphs:crop", "chars:crop", "blstats"), level.get_des()
    world = world_of("MiniHack-Navigation-Custom-v0", fields=fields, des_file=des)
    native = stock(
        "MiniHack-Navigation-Custom-v0",
        observation_keys=("glyphs_crop", "chars_crop", "glyphs", "chars", "blstats"),
        obs_crop_h=11,
        obs_crop_w=11,
        obs_crop_pad=0,
        des_file=des,
    )
    start_alike(world, native, 1)
    outside = 0
    for move in [WEST] * 8 + [NORTH] * 8 + [EAST] * 3:
        world.step(torch.tensor([move]))
        obs, *_ = native.step(move)
        crop = world.fields()["glyphs:crop"][0].numpy()
        outside = max(outside, int((crop == glyphs.OUTSIDE).sum()))
        assert np.array_equal(np.where(crop == glyphs.OUTSIDE, 0, crop), obs["glyphs_crop"])
        assert np.array_equal(world.fields()["chars:crop"][0].numpy(), obs["chars_crop"])
    assert outside > 40


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        (ROOM, ()),
        ("MiniHack-Room-Ultimate-5x5-v0", ()),
        ("MiniHack-KeyRoom-S5-v0", ("screen_descriptions", "inv_strs", "inv_letters")),
        ("MiniHack-LavaCross-Levitate-Potion-Inv-Restricted-v0", ("screen_descriptions", "inv_strs", "inv_letters")),
        ("NetHackScore-v0", ()),
    ],
)
def test_games_are_those_of_the_library(name, hidden):
    """Observations, rewards and ends of several random episodes, macro actions and reward managers included."""
    world, native = world_of(name, hidden=hidden), stock(name, observation_keys=("glyphs", "blstats", "message"))
    rng = np.random.default_rng(0)
    ends = 0
    for seed in range(3):
        obs = start_alike(world, native, seed)
        for _ in range(150):
            for key in ("glyphs", "blstats", "message"):
                assert np.array_equal(world.fields()[key][0].numpy(), obs[key])
            move = int(rng.integers(world.action.n))
            world.step(torch.tensor([move]))
            obs, reward, done, _, info = native.step(move)
            assert world.native_reward[0].item() == reward
            assert world.fields()["end_status"][0] == int(info["end_status"])
            assert bool(world.terminated[0] | world.truncated[0]) == done
            if done:
                ends += 1
                break
    assert ends > 0 or name == "NetHackScore-v0"


def test_an_error_in_a_game_names_its_row():
    world = world_of(ROOM, 3)
    world.reset(np.arange(3), seeds(1, 2, 3))
    world._games[1]._env.step = lambda action: 1 / 0
    with pytest.raises(EnvironmentFault, match=rf"{ROOM} failed in step \(row 1, action 2\): ZeroDivisionError"):
        world.step(torch.tensor([0, 2, 0]))
    world._games[2]._env.reset = lambda: 1 / 0
    with pytest.raises(EnvironmentFault, match=r"failed in reset \(row 2, seed 9\): ZeroDivisionError"):
        world.reset(np.array([0, 2]), seeds(8, 9))


@pytest.mark.parametrize("field", ["glyph", "blstats:crop", "end_status:crop"])
def test_fields_that_nethack_does_not_have_are_named(field):
    with pytest.raises(EnvironmentFault, match=f"names the field '{field}'") as caught:
        world_of(ROOM, fields=(*FIELDS, field))
    assert "inv_oclasses" in caught.value.hint and "glyphs:crop" in caught.value.hint


def test_games_cannot_be_saved_and_clean_up_behind_themselves():
    world = world_of(ROOM, 2)
    assert not world.can_restore
    with pytest.raises(NotImplementedError, match="reset all episodes"):
        world.get_state(np.array([0]))
    folders = [Path(game._env.nethack._vardir) for game in world._games]
    assert all(folder.is_dir() for folder in folders)
    world.close()
    assert not any(folder.exists() for folder in folders)


def test_pictures_show_the_agent_and_outlast_the_game():
    """A map that fits stays where it is, 6 squares from the left and 4 from above; the agent walks about in it."""
    world = world_of("MiniHack-Navigation-Custom-v0", des_file=lava())
    world.reset(np.array([0]), seeds(3))
    before = world.render(size=272)
    assert before.shape == (176, 272, 3) and before.dtype == np.uint8
    world.step(torch.tensor([SOUTH]))
    after = world.render(size=272)
    changed = np.abs(before.astype(int) - after).sum(2).reshape(11, 16, 17, 16).any((1, 3))
    assert np.argwhere(changed).tolist() == [[5, 7], [6, 7]]
    squares = [frame.reshape(11, 16, 17, 16, 3).swapaxes(1, 2) for frame in (before, after)]
    assert np.array_equal(squares[0][5, 7], squares[1][6, 7]) and squares[0][5, 7].std() > 5
    for move in (NORTH, EAST):
        world.step(torch.tensor([move]))
    assert world.terminated[0] and world.render(size=272).std() > 5


def test_pictures_of_maps_that_are_too_large_follow_the_agent():
    minihack = importlib.import_module("minihack")
    level = minihack.LevelGenerator(w=70, h=3, lit=True)
    level.set_start_pos((30, 1))
    world = world_of("MiniHack-Navigation-Custom-v0", des_file=level.get_des())
    world.reset(np.array([0]), seeds(3))
    middle = []
    for _ in range(3):
        middle.append(world.render(size=272)[:, 128:144])
        world.step(torch.tensor([WEST]))
    assert np.array_equal(middle[1], middle[2]) and middle[1].std() > 5


def test_without_tiles_pictures_show_the_terminals_characters(monkeypatch):
    """The same squares as with tiles, each different thing another picture; `@` is brighter than a square of floor."""
    world = world_of("MiniHack-Navigation-Custom-v0", des_file=lava())
    world.reset(np.array([0]), seeds(3))
    tiled = world.render(size=272)
    monkeypatch.setattr(world._games[0]._env.nethack, "get_tileset", lambda sheet: 1 / 0)
    world._pictures = None
    written = world.render(size=272)
    assert written.shape == tiled.shape and not np.array_equal(written, tiled)
    here, beside = written[80:96, 112:128], written[80:96, 96:112]
    assert here.mean() > 3 * beside.mean() > 0
    assert not written[:64].any()  # stone


def test_characters_are_those_of_the_terminal():
    shown, env, seen = nle_pictures.glyph_characters(), stock("NetHackScore-v0"), set()
    rng = np.random.default_rng(0)
    for seed in range(4):
        env.seed(seed, seed, reseed=False)
        obs, _ = env.reset()
        for _ in range(60):
            glyphs_here = obs["glyphs"].ravel()
            assert np.array_equal(shown[glyphs_here, 0], obs["chars"].ravel())
            colors = obs["colors"].ravel() % 8  # 8 stands for no colour, which the terminal shows like 0
            assert np.array_equal(shown[glyphs_here, 1] % 8, colors)
            seen |= set(glyphs_here.tolist())
            obs, _, done, *_ = env.step(int(rng.integers(env.action_space.n)))
            if done:
                break
    env.close()
    assert len(seen) > 20


# --- the pack ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def room():
    return resolve_env("minihack_room").make_world(32)


def features(world):
    return {key: value.clone() for key, value in world.featurize(world.fields()).items()}


def test_the_way_that_features_show_leads_to_the_stairs(room):
    """As many moves as said, each of them a turn and a move nearer."""
    ids = np.arange(room.num_envs)
    room.reset(ids, ids.astype(np.uint64))
    before = features(room)
    distance = before["stairs_distance"].clone()
    assert before["stairs_visible"].all() and set(distance.tolist()) == {1, 2, 3, 4}
    directions = torch.tensor(glyphs.DIRECTIONS).float()
    for t in range(1, 5):
        going, arriving = distance >= t, distance == t
        signs = before["stairs_offset"].sign()
        room.step((directions[None] == signs[:, None]).all(2).float().argmax(1))
        after = features(room)
        for flag in (room.terminated, room.info["is_success"].bool(), after["reached_stairs"], room.native_reward == 1):
            assert torch.equal(flag[going], arriving[going])
        assert (after["stairs_distance"] == distance - t)[going].all()
        assert (after["turn"] == before["turn"] + 1)[going].all()
        assert torch.equal((after["position"] - before["position"])[going], signs[going])
        assert (after["stairs_offset"][arriving] == 0).all()
        done = np.flatnonzero(room.terminated.numpy())
        room.reset(done, done.astype(np.uint64))
        before = features(room)


@pytest.mark.parametrize("direction", range(8))
def test_blocked_squares_let_nobody_pass(room, direction):
    ids = np.arange(room.num_envs)
    room.reset(ids, ids.astype(np.uint64))
    before = features(room)
    room.step(torch.full((room.num_envs,), direction))
    after = features(room)
    stayed = (after["position"] == before["position"]).all(1)
    assert torch.equal(stayed, before["blocked"][:, direction])
    assert torch.equal(stayed, after["turn"] == before["turn"])
    assert 0 < stayed.sum() < room.num_envs


def test_messages_and_possessions_are_readable(room):
    room.reset(np.arange(room.num_envs), np.arange(room.num_envs).astype(np.uint64))
    room.step(torch.full((room.num_envs,), EAST))
    seen = features(room)
    hit = seen["blocked"][:, EAST] & (seen["turn"] == 1)
    messages = {bytes(row.numpy()).split(b"\0")[0] for row in seen["message"][hit]}
    assert messages == {b"It's solid stone."}
    assert seen["inventory"][0, [2, 3, 6, 8]].tolist() == [2, 1, 2, 1]  # weapons, armour, tools, potions
    assert seen["inventory"][0].sum() == 6
    assert (seen["surroundings"][:, 5, 5] == 337).all()  # a rogue


def test_numbers_of_glyphs_are_nethacks():
    nethack = importlib.import_module("nle.nethack")
    offset = nethack.GLYPH_CMAP_OFF
    screen = {"STONE": 0, "LAST_WALL": 11, "IRON_BARS": 17, "TREE": 18, "FLOOR": 19, "STAIRS_UP": 23, "STAIRS_DOWN": 24}
    assert {name: getattr(glyphs, name) - offset for name in screen} == screen
    assert glyphs.OUTSIDE > nethack.MAX_GLYPH


def test_walls_bars_trees_and_the_edge_block_the_way():
    """North stone, east the last wall, south bars, west a tree, north-east the edge; doors, floor and stairs do not."""
    door = 2371
    around = (glyphs.STONE, glyphs.LAST_WALL, glyphs.IRON_BARS, glyphs.TREE, glyphs.OUTSIDE, door, glyphs.FLOOR, 2383)
    crop = torch.full((1, 11, 11), glyphs.FLOOR)
    for (east, south), glyph in zip(glyphs.DIRECTIONS, around, strict=True):
        crop[0, 5 + south, 5 + east] = glyph
    assert glyphs.blocked(crop)[0].tolist() == [True] * 5 + [False] * 3


def test_the_nearest_of_several_is_found():
    crop = torch.full((3, 11, 11), glyphs.STONE)
    crop[0, 5, 8] = crop[0, 3, 4] = crop[1, 0, 10] = glyphs.STAIRS_DOWN
    offset, seen = glyphs.nearest(crop, glyphs.STAIRS_DOWN)
    assert offset.tolist() == [[-1, -2], [5, -5], [0, 0]] and seen.tolist() == [True, True, False]


def test_the_pack_is_silent(tmp_path):
    code = (
        "import numpy as np\nfrom rewardsmith.envs import resolve_env\n"
        "w = resolve_env('minihack_room').make_world(2)\n"
        "w.reset(np.arange(2), np.arange(2, dtype=np.uint64)); w.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_pack_is_listed_and_says_what_it_needs(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "minihack" else found(name, *a))
    monkeypatch.setattr(
        gym, "registry", {key: value for key, value in gym.registry.items() if not key.startswith("MiniHack")}
    )
    info = next(info for info in list_packs() if info.name == "minihack_room")
    assert not info.error and info.extra == "minihack"
    with pytest.raises(MissingExtra, match=r"rewardsmith\[minihack\]"):
        resolve_env("minihack_room")


def test_a_games_own_step_limit_may_be_chosen():
    assert bare_env("MiniHack-Room-5x5-v0", {"max_episode_steps": 7}).unwrapped._max_episode_steps == 7


def test_games_are_not_exported():
    with pytest.raises(EnvironmentFault, match="NLE blanks the observation"):
        describe_environment(resolve_env("minihack_room"))
