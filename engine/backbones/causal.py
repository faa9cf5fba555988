# SPDX-License-Identifier: GPL-3.0-or-later
"""A frozen causal language model that reads embeddings of images and writes sentences."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GenerationConfig

from ..errors import InputError
from .texts import BackbonesTexts

#: Stands for the embeddings of an image in an instruction.
IMAGE = "<image>"
#: Label of tokens that the loss ignores.
IGNORED = -100
#: Maximum tokens of a caption; the longest one of LEVIR-CC has 39 words.
LONGEST = 60


@dataclass
class Inputs:
    """Prompts of a batch and their target answers.

    Prompts are padded on the left and answers on the right, so that all answers start at the same
    position.

    Attributes:
        embeddings: (B, L, W).
        mask: (B, L) int64, 0 for padding.
    """

    embeddings: Tensor
    mask: Tensor
    labels: Tensor


class LanguageModel:
    """A frozen causal language model that reads embeddings of images.

    It is not a module; a network that contains it registers :attr:`model`.

    Attributes:
        model: may be exchanged for one with an adapter around it.
        tokenizer: of transformers.
        width: W, length of a token's embedding.
        notes: warnings for the user, such as that the model is slow on this computer.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str = "", notes: tuple[str, ...] = ()
    ) -> None:
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        self.notes = notes
        self.width = int(model.get_input_embeddings().weight.shape[1])
        self._known = set(inspect.signature(model.forward).parameters)
        self._stops = _stops(model, tokenizer)
        # Ignore recommended settings for chats, such as a penalty on repeated words.
        model.generation_config = GenerationConfig()

    def prompt(self, instruction: str) -> tuple[list[int], list[int]]:
        """Return the tokens before and after the :data:`IMAGE` of an instruction."""
        if IMAGE not in instruction:
            raise InputError(
                BackbonesTexts.no_placeholder(placeholder=IMAGE, instruction=instruction)
            )
        chat = getattr(self.tokenizer, "chat_template", None) is not None
        text = f"{instruction}\n"
        if chat:
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": instruction}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,  # of templates that know it, such as Qwen3's
            )
        before, _, after = text.partition(IMAGE)
        return (
            # Chat templates contain the start token.
            list(self.tokenizer(before, add_special_tokens=not chat).input_ids),
            list(self.tokenizer(after, add_special_tokens=False).input_ids),
        )

    def inputs(
        self, images: Tensor, instructions: Sequence[str], answers: Sequence[str] | None = None
    ) -> Inputs:
        """Insert images into instructions and append answers.

        Args:
            images: (B, N, W) embeddings; gradients flow back to them.
            instructions: B texts with :data:`IMAGE`.
            answers: B target sentences; None for generation.
        """
        embed = self.model.get_input_embeddings()
        place, dtype = embed.weight.device, embed.weight.dtype

        def embedded(ids: list[int]) -> Tensor:
            return embed(torch.tensor(ids, dtype=torch.long, device=place))

        prompts = []
        for image, instruction in zip(images, instructions, strict=True):
            before, after = self.prompt(instruction)
            prompts.append(torch.cat([embedded(before), image.to(dtype), embedded(after)]))
        targets: list[list[int]] = [[] for _ in prompts]
        if answers is not None:
            targets = [
                [*self.tokenizer(text, add_special_tokens=False).input_ids, self._stops[0]]
                for text in answers
            ]
        long, last = max(map(len, prompts)), max(map(len, targets))
        labels = torch.full((len(prompts), last), IGNORED, dtype=torch.long, device=place)
        mask = torch.zeros(len(prompts), long + last, dtype=torch.long, device=place)
        rows = []
        for row, (prompt, ids) in enumerate(zip(prompts, targets, strict=True)):
            labels[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            mask[row, long - len(prompt) : long + len(ids)] = 1
            row_of = torch.cat([prompt, embedded(ids)])
            rows.append(F.pad(row_of, (0, 0, long - len(prompt), last - len(ids))))
        return Inputs(torch.stack(rows), mask, labels)

    def loss(self, inputs: Inputs) -> Tensor:
        """Return the mean cross-entropy of the tokens of the answers, including the end token."""
        count = inputs.labels.shape[1]
        more = {
            "position_ids": (inputs.mask.cumsum(1) - 1).clamp(min=0),
            "logits_to_keep": count + 1,
        }
        # In the precision of the weights, whatever that of the caller.
        with torch.autocast(inputs.embeddings.device.type, enabled=False):
            logits = self.model(
                inputs_embeds=inputs.embeddings,
                attention_mask=inputs.mask,
                use_cache=False,
                **{name: value for name, value in more.items() if name in self._known},
            ).logits
        # Each position predicts the next token.
        predicted = logits[:, -count - 1 : -1].float().flatten(0, 1)
        return F.cross_entropy(predicted, inputs.labels.flatten(), ignore_index=IGNORED)

    def write(
        self, images: Tensor, instructions: Sequence[str], *, beams: int = 1, longest: int = LONGEST
    ) -> list[str]:
        """Write a sentence about each image; deterministic.

        Args:
            images: (B, N, W) embeddings.
            instructions: B texts with :data:`IMAGE`.
            beams: number of beams; 1 is greedy.
            longest: maximum tokens of a sentence.

        Returns:
            B sentences, each up to the end of the first line; may be empty.
        """
        with torch.inference_mode(), torch.autocast(images.device.type, enabled=False):
            inputs = self.inputs(images, instructions)
            written = self.model.generate(
                inputs_embeds=inputs.embeddings,
                attention_mask=inputs.mask,
                generation_config=GenerationConfig(
                    max_new_tokens=longest,
                    num_beams=beams,
                    do_sample=False,
                    eos_token_id=self._stops,
                    pad_token_id=self.tokenizer.pad_token_id,
                ),
                stopping_criteria=[self._line_ends],
            )
        return [_sentence(self.tokenizer, row) for row in written]

    def _line_ends(self, tokens: Tensor, scores: Any, **options: Any) -> Tensor:
        """Return which of the sentences (B, T) end with a line, (B,) bool."""
        last = self.tokenizer.batch_decode(tokens[:, -1:])
        return torch.tensor(["\n" in text for text in last], device=tokens.device)


def _sentence(tokenizer: Any, tokens: Any) -> str:
    text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return " ".join(text.split("\n")[0].split())


def _stops(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer; the first one is used in training."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    theirs = getattr(model.generation_config, "eos_token_id", None)
    listed = theirs if isinstance(theirs, list) else [theirs]
    found = [tokenizer.eos_token_id, *listed]
    return list(dict.fromkeys(token for token in found if token is not None))
