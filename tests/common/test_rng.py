from __future__ import annotations

import itertools

import numpy as np
import torch

from soundguide_core.common.rng import mix_seeds, torch_generator, with_seed


def test_seeds_differ_where_any_number_does():
    seeds = [mix_seeds(*numbers) for numbers in itertools.product(range(4), repeat=3)]
    assert len(set(seeds)) == 64 and all(0 <= seed < 2**63 for seed in seeds)


def test_the_seed_is_the_first_word_of_numpys_sequence():
    """Runs of earlier versions drew from these; they are taken up with the same numbers."""
    word = np.random.SeedSequence([3, 7]).generate_state(1, np.uint64)[0]
    assert mix_seeds(3, 7) == int(word) % 2**63
    drawn = torch.randn(4, generator=torch_generator(3, 7))
    assert torch.equal(drawn, torch.randn(4, generator=torch.Generator().manual_seed(int(word) % 2**63)))


def test_with_seed_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    a, b = with_seed(3, lambda: torch.randn(2)), with_seed(3, lambda: torch.randn(2))
    assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)
