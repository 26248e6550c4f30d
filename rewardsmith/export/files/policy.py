"""The trained policy in policy.safetensors: deterministic actions for the environment in gym_wrapper.py."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from features import HERE, flatten_observation
from gym_wrapper import DesignedReward, make_env
from torch import Tensor

CLIP, EPS = 10.0, 1e-8
DTYPES = {"F32": np.float32, "F64": np.float64}


class TrainedPolicy:
    """An MLP behind a fixed observation normalizer."""

    def __init__(self, path: str | Path = HERE / "policy.safetensors") -> None:
        tensors, metadata = _read_safetensors(Path(path))
        self.info: dict[str, Any] = json.loads(metadata["info"])
        self.action: dict[str, Any] = self.info["action"]
        self._mean = tensors["obs.mean"].float()
        self._scale = (1 / torch.sqrt(tensors["obs.var"] + EPS)).float()
        self._activation = {"tanh": torch.tanh, "relu": torch.relu}[self.info.get("activation", "tanh")]
        count = len(self.info["hidden"]) + 1
        self._layers = [(tensors[f"policy.{i}.weight"], tensors[f"policy.{i}.bias"]) for i in range(count)]

    def act(self, inputs: Tensor) -> Tensor:
        """Actions (N, A) float32, or (N,) or (N, A) int64, for inputs (N, obs_dim + memory) float32."""
        x = ((inputs - self._mean) * self._scale).clamp(-CLIP, CLIP)
        for weight, bias in self._layers[:-1]:
            x = self._activation(x @ weight + bias)
        weight, bias = self._layers[-1]
        out = x @ weight + bias
        spec = self.action
        if spec["kind"] != "continuous":
            sizes = [spec["n"]] if spec["kind"] == "discrete" else list(spec["nvec"])
            best = torch.stack([part.argmax(-1) for part in out[:, : sum(sizes)].split(sizes, -1)], -1)
            return best[:, 0] if spec["kind"] == "discrete" else best
        out = out[:, : math.prod(spec["shape"])]
        if spec["low"] is None:
            return out
        if self.info.get("squash_actions"):
            out = torch.tanh(out)
        low, high = torch.tensor(spec["low"]), torch.tensor(spec["high"])
        if self.info["rescale_actions"]:
            out = out * ((high - low) / 2) + (high + low) / 2
        return torch.minimum(torch.maximum(out, low), high)

    def action_for(self, env: DesignedReward, raw_obs: Any) -> Any:
        """The action in `env` for the environment's own observation (without the reward's memory)."""
        inputs = np.concatenate([flatten_observation(raw_obs), env.flat_memory()])
        with torch.no_grad():
            action = self.act(torch.from_numpy(inputs)[None])[0].numpy()
        space: Any = env.action_space
        if self.action["kind"] == "discrete":
            return int(action) + int(space.start)
        if self.action["kind"] == "multi_discrete":
            return (action + np.asarray(getattr(space, "start", 0))).astype(space.dtype)
        return action.astype(space.dtype).reshape(space.shape)


def run_episode(env: gym.Env, policy: TrainedPolicy, *, seed: int) -> dict[str, float]:
    """One episode; its length, designed return and native return."""
    if not isinstance(env, DesignedReward):
        raise TypeError("make the environment with gym_wrapper.make_env()")
    obs, _ = env.reset(seed=seed)
    steps, designed, native, done = 0, 0.0, 0.0, False
    while not done:
        obs, reward, terminated, truncated, info = env.step(policy.action_for(env, env.without_memory(obs)))
        steps, designed, native = steps + 1, designed + float(reward), native + info["native_reward"]
        done = terminated or truncated
    return {"steps": steps, "designed_return": designed, "native_return": native}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    metadata: dict[str, str] = json.loads(header.pop("__metadata__")["rewardsmith"])
    body = memoryview(data)[8 + size :]
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        array = np.frombuffer(body[start:end], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors, metadata


if __name__ == "__main__":
    trained = TrainedPolicy()
    with make_env() as world:
        for number in range(5):
            print(f"episode {number}: {run_episode(world, trained, seed=number)}")  # noqa: T201
