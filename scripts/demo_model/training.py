"""What all trainings share: resumable state, a learning-rate schedule by wall clock, and a log to plot."""

import csv
import math
import time
from pathlib import Path

import torch
from torch import nn

SAVE_EVERY_S = 120
WARM_UP_STEPS = 100


class Run:
    """One training: parameters, optimiser and progress on disk under `folder`, as `<name>.state` and `<name>.csv`.

    The learning rate falls along a cosine over `minutes` of processor time, so that a run does the same on a busy
    machine, only later; a resumed run continues where it was.
    """

    def __init__(self, folder: Path, name: str, module: nn.Module, rate: float, minutes: float, betas=(0.9, 0.98)):
        self.path, self.log = folder / f"{name}.state", folder / f"{name}.csv"
        self.module, self.peak, self.seconds = module, rate, 60 * minutes
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=rate, betas=betas, weight_decay=0.01, fused=True)
        self.step, self.spent = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_file():
            state = torch.load(self.path, weights_only=True)
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    parameter.copy_(state["module"][name])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.spent = state["step"], state["spent"]
        self._last, self._saved = time.process_time(), time.monotonic()

    @property
    def finished(self) -> bool:
        return self.spent >= self.seconds

    def update(self, losses: dict[str, torch.Tensor], report_every: int = 50, watch=dict) -> None:
        """One optimiser step on the sum of `losses`; a report also has the losses that `watch()` measures."""
        rate = self.peak * min(1, (self.step + 1) / WARM_UP_STEPS)
        rate *= 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1, self.spent / self.seconds)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        now = time.process_time()
        self.spent, self._last = self.spent + now - self._last, now
        if self.step % report_every == 0:
            self._report(losses, rate, watch())
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        parameters = {name: parameter.detach() for name, parameter in self.module.named_parameters()}
        state = {
            "module": parameters, "optimizer": self.optimizer.state_dict(),
            "step": self.step, "spent": self.spent,
        }
        torch.save(state, self.path.with_suffix(".partial"))
        self.path.with_suffix(".partial").replace(self.path)
        self._saved = time.monotonic()

    def _report(self, losses: dict[str, torch.Tensor], rate: float, watched: dict[str, float]) -> None:
        row = {"step": self.step, "minutes": round(self.spent / 60, 2), "rate": f"{rate:.2e}"}
        row |= {name: f"{loss.item():.4f}" for name, loss in losses.items()}
        row |= {name: f"{value:.4f}" for name, value in watched.items()}
        fresh = not self.log.is_file()
        with self.log.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print(*(f"{key} {value}" for key, value in row.items()), flush=True)
