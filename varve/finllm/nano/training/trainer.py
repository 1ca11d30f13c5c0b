"""nano's training: rows drawn as it goes, Muon on the matrices, the loss on the reply alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from varve.finllm.nano.tokenizer import PAD, number_of
from varve.finllm.nano.training.rows import IGNORED, Row, batches, draw_rows, make_model, tensors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TRAINED_LENGTH = 448
"""Tokens of the longest training row, prompt and reply; longer draws are left out."""

CHUNK = 2048


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    ``steps`` batches of at most ``batch_tokens``, one for each of ``workers`` processes; the last
    ``cooling`` share of the steps cools down. During the share ``easing`` pages grow from few lines to many,
    and between the shares ``widening`` wording and tasks grow from narrow to wide: with all of it from the
    first step, tones were not learned in 1,100 steps, with the narrow ones in 100.
    """

    steps: int
    seed: int = 0
    batch_tokens: int = 4096
    matrix_rate: float = 3e-3
    other_rate: float = 3e-3
    warming: int = 50
    cooling: float = 0.35
    easing: float = 0.15
    widening: tuple[float, float] = (0.12, 0.36)
    bf16: bool = True
    workers: int = 1

    def rate(self, step: int) -> float:
        """Share of the full learning rate: up, level, down to 2 %."""
        start = self.steps * (1 - self.cooling)
        down = 1 - (step - start) / (self.steps - start) if step > start else 1.0
        return min((step + 1) / self.warming, max(down, 0.02))

    def ease(self, step: int) -> float:
        """From 0.2 to 1 over the first steps."""
        return min(1.0, 0.2 + 0.8 * step / max(1.0, self.easing * self.steps))

    def wide(self, step: int) -> float:
        """0 before widening begins, 1 from its end on."""
        first, last = self.widening
        share = step / self.steps
        return (
            float(share >= first) if first == last else min(1.0, max(0.0, (share - first) / (last - first)))
        )


class Trainer:
    """One training; :meth:`save` and :meth:`load` carry it over an interruption."""

    def __init__(self, shape: dict[str, int], tokenizer: Tokenizer, plan: Plan, *, rank: int = 0) -> None:
        import torch

        torch.manual_seed(plan.seed)
        self.plan, self.tokenizer, self.step, self.chunk = plan, tokenizer, 0, 0
        self.rank = rank
        self.model = make_model(shape, tokenizer)
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        taken = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in taken]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices, lr=plan.matrix_rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(others, lr=plan.other_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["full_rate"] = group["lr"]

    def run(self, note: Callable[[int, float], None], save: Callable[[], None], every: int = 200) -> None:
        """Train to the end of the plan; ``note(step, mean loss)`` and ``save()`` every so many steps."""
        plan, losses = self.plan, []
        while self.step < plan.steps:
            for batch, rng in self._chunk():
                losses.append(self._one(batch, rng))
                self.step += 1
                if self.step % every == 0 or self.step == plan.steps:
                    note(self.step, sum(losses) / len(losses))
                    losses.clear()
                if self.step == plan.steps:
                    break
            self.chunk += 1
            if self.chunk % 4 == 0:
                save()
        save()

    def _chunk(self) -> list[tuple[list[Row], Random]]:
        seed = self.plan.seed * 1_000_003 + self.chunk
        rows = draw_rows(seed, CHUNK, self.tokenizer, self.plan.ease(self.step), self.plan.wide(self.step))
        rows = [row for row in rows if len(row.ids) <= TRAINED_LENGTH]
        rng = Random(seed + 1)
        found = batches(rows, self.plan.batch_tokens)
        rng.shuffle(found)
        whole = len(found) // self.plan.workers * self.plan.workers
        return [(batch, rng) for batch in found[self.rank : whole : self.plan.workers]]

    def _one(self, batch: list[Row], rng: Random) -> float:
        import torch

        pad, newline = number_of(self.tokenizer, PAD), self.tokenizer.encode("\n").ids[0]
        ids, labels, positions = tensors(batch, pad, newline, rng)
        share = self.plan.rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * share
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.plan.bf16):
            hidden = self.model.model(
                input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids), use_cache=False
            ).last_hidden_state
            wanted = labels[:, 1:] != IGNORED
            logits = self.model.lm_head(hidden[:, :-1][wanted])
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted])
        loss.backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _share_gradients(self) -> None:
        """The mean over the processes, in one message."""
        if self.plan.workers == 1:
            return
        import torch

        gradients = [p.grad for p in self.model.parameters()]
        flat = torch.nn.utils.parameters_to_vector(gradients)
        torch.distributed.all_reduce(flat)
        flat /= self.plan.workers
        torch.nn.utils.vector_to_parameters(flat, gradients)

    def save(self, file: Path) -> None:
        """Write everything that :meth:`load` needs."""
        import torch

        state = {
            "model": self.model.state_dict(),
            "optimizers": [one.state_dict() for one in self.optimizers],
            "step": self.step,
            "chunk": self.chunk,
            "plan": asdict(self.plan),
        }
        partial = file.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(file)

    def load(self, file: Path) -> None:
        """Go on from a file of :meth:`save`; what was begun of a chunk is drawn anew."""
        import torch

        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.chunk = state["step"], state["chunk"]
