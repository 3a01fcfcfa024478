import pytest
import torch
from torch import nn

from polyrestore.training.loop.optimisers import OPTIMISERS, Muon, build_optimiser, is_matrix, orthogonalised
from polyrestore.training.recipes.recipe import OptimiserTable


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 16, 40), (1, 40, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert float(values.max()) < 1.3
    assert float(values.median()) > 0.6


def test_a_matrix_of_zeros_stays_zero() -> None:
    assert float(orthogonalised(torch.zeros(1, 16, 16)).abs().max()) == 0


def test_depth_wise_kernels_vectors_and_small_matrices_are_no_matrices() -> None:
    assert is_matrix(nn.Linear(16, 16).weight)
    assert is_matrix(nn.Conv2d(4, 16, 3).weight)
    assert not is_matrix(nn.Conv2d(16, 16, 3, groups=16).weight)
    assert not is_matrix(nn.Linear(64, 4).weight)
    assert not is_matrix(nn.Linear(16, 16).bias)


def test_the_update_of_a_matrix_does_not_depend_on_the_size_of_its_gradient() -> None:
    moved = []
    for size in (2.0**-10, 2.0**10):
        weight = nn.Parameter(torch.zeros(16, 16))
        weight.grad = torch.randn(16, 16, generator=torch.Generator().manual_seed(1)) * size
        Muon([weight], 0.1, matrix_ratio=2.0).step()
        moved.append(weight.detach().clone())
    alike = nn.functional.cosine_similarity(moved[0].flatten(), moved[1].flatten(), dim=0)
    assert float(alike) > 0.99
    assert float(moved[0].square().mean().sqrt()) == pytest.approx(0.1 * 2 * 0.2, rel=0.3)


def test_small_parameters_move_as_with_adam() -> None:
    start = torch.randn(5, generator=torch.Generator().manual_seed(0))
    mine, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    first = Muon([mine], 0.01, betas=(0.9, 0.99))
    second = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99))
    for _ in range(4):
        for parameter, optimiser in ((mine, first), (theirs, second)):
            optimiser.zero_grad()
            torch.autograd.backward((parameter**3).sum())
            optimiser.step()
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_learns(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
    inputs = torch.randn(64, 16)
    optimiser = build_optimiser(network.parameters(), OptimiserTable(name=name, learning_rate=1e-2))
    errors = []
    for _ in range(60):
        error = (network(inputs) - inputs.flip(1)).square().mean()
        errors.append(error.item())
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert errors[-1] < 0.5 * errors[0]


def test_weight_decay_shrinks_and_a_missing_gradient_is_passed_over() -> None:
    decayed, idle = nn.Parameter(torch.ones(16, 16)), nn.Parameter(torch.ones(16, 16))
    optimiser = Muon([decayed, idle], 0.1, weight_decay=0.5)
    decayed.grad = torch.zeros(16, 16)
    optimiser.step()
    assert float(decayed.detach().max()) < 1
    assert torch.equal(idle.detach(), torch.ones(16, 16))
