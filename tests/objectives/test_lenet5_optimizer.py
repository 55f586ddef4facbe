import pytest
import torch

from hpo_bench.objectives.lenet5.optimizer import initial_state, update


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_steps_are_those_of_torch(name, momentum, weight_decay):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(17, generator=generator)
    their = weights.clone().requires_grad_()
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    betas = {"momentum": momentum} if name == "sgd" else {"betas": (momentum, 0.999)}
    torch_optimizer = kind([their], lr=0.02, weight_decay=weight_decay, **betas)
    configuration = {"optimizer": name, "momentum": momentum, "weight_decay": weight_decay}
    state = initial_state(weights, configuration)
    for step in range(1, 6):
        gradient = torch.randn(17, generator=generator)
        their.grad = gradient.clone()
        torch_optimizer.step()
        update(weights, gradient, state, configuration, 0.02, step)
    assert torch.allclose(weights, their, atol=1e-6)
