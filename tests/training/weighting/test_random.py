import torch

from polyrestore.training.weighting.random import RandomWeighting


def test_weights_change_every_step_and_depend_on_the_seed_alone() -> None:
    present, losses = torch.tensor([True, True, True]), torch.ones(3)
    first, same, other = (RandomWeighting(3, seed=s) for s in (1, 1, 2))
    drawn = [first.weights(losses, present) for _ in range(50)]
    assert all(torch.equal(weights, same.weights(losses * 7, present)) for weights in drawn)
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], other.weights(losses, present))
    mean = torch.stack(drawn).mean(0)
    assert float(mean.min()) > 0.2
