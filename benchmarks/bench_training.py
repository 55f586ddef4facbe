"""Training LeNet5: CPU seconds beside the loop that everybody writes, timed in turn with it.

Networks: D (6, 16, 120, 84) and W (32, 64, 256, 128), the sizes of C1, C3, C5 and F6. All on one
thread. `speedup` is the time of what stands beside, divided by ours.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from hpo_bench.objectives.lenet5 import LeNet5
from hpo_bench.objectives.lenet5.batches import normalised
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.training import Training, _accuracies, resolve_precision

NETWORKS = {
    "D": {"c1": 6, "c3": 16, "c5": 120, "f6": 84},
    "W": {"c1": 32, "c3": 64, "c5": 256, "f6": 128},
}

SETS = {
    "8 x D": [NETWORKS["D"]] * 8,
    "8 narrow": [
        {"c1": c1, "c3": c3, "c5": 120, "f6": 84}
        for c1, c3 in [(4, 8), (5, 24), (6, 16), (7, 12), (8, 32), (9, 20), (12, 16), (16, 32)]
    ],
    "8 of the widths": [
        {"c1": c1, "c3": c3, "c5": 128, "f6": 128}
        for c1, c3 in [(4, 90), (6, 11), (8, 45), (11, 8), (16, 64), (23, 22), (32, 16), (46, 32)]
    ],
}
ANY_WIDTH = {name: {"low": 1, "high": 256} for name in NETWORKS["D"]}
BATCH = 64
ROUNDS = 5
pytestmark = pytest.mark.benchmark(timer=time.process_time)


def lenet5(train_size: int = 6400, **options) -> LeNet5:
    space = {**ANY_WIDTH, "batch_size": BATCH}
    sizes = {"train_size": train_size, "validation_size": 5000, "test_size": 1}
    return LeNet5(space, data="shapes", **sizes, **options)


@pytest.fixture(scope="module")
def objective():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    objective = lenet5()
    objective.prepare()
    yield objective
    torch.set_num_threads(threads)


class Pictures(Dataset):
    """Images as torchvision's data sets give them: a picture at a time, transformed."""

    def __init__(self, images: Images, *steps: Callable) -> None:
        self.pixels, self.labels = images.pixels, images.labels  # copies, to be made but once
        mean_and_spread = ((0.5,) * 3, (0.25,) * 3)
        self.transform = transforms.Compose(
            [*steps, transforms.ToTensor(), transforms.Normalize(*mean_and_spread)]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.pixels[index])
        return self.transform(picture), int(self.labels[index])


class Naive:
    """The loop of a tutorial: a module, a DataLoader, Adam."""

    def __init__(self, images, validation, c1, c3, c5, f6) -> None:
        self.network = nn.Sequential(
            nn.Conv2d(3, c1, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(c1, c3, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(25 * c3, c5), nn.ReLU(),
            nn.Linear(c5, f6), nn.ReLU(), nn.Linear(f6, 10),
        )  # fmt: skip
        flipped = Pictures(images, transforms.RandomHorizontalFlip())
        self.training = DataLoader(flipped, batch_size=BATCH, shuffle=True, drop_last=True)
        self.validation = DataLoader(Pictures(validation), batch_size=BATCH)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=2e-3)

    def train(self) -> None:
        """Train one epoch."""
        self.network.train()
        for images, labels in self.training:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.network(images), labels).backward()
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self) -> float:
        """Give the accuracy on the validation images."""
        self.network.eval()
        correct = 0
        for images, labels in self.validation:
            correct += int((self.network(images).argmax(1) == labels).sum())
        return correct / len(self.validation.dataset)


def compare(benchmark, ours, theirs, timer=time.process_time, **info):
    """Time ours, and in turn with it what stands beside."""
    beside = []

    def time_the_other():
        started = timer()
        theirs()
        beside.append(timer() - started)

    ours(), theirs()  # whatever is done but once
    benchmark.pedantic(ours, setup=time_the_other, rounds=ROUNDS)
    speedup = statistics.median(beside) / benchmark.stats.stats.median
    benchmark.extra_info.update(info, speedup=f"{speedup:.2f}")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.benchmark(group="an epoch of 6,400 images and its validation on 5,000")
def bench_epoch(benchmark, objective, network):
    sizes = NETWORKS[network]
    training = objective.start(sizes)
    data = training._data
    naive = Naive(data.train, data.validation, **sizes)

    def theirs():
        naive.train()
        naive.evaluate()

    compare(benchmark, training.advance, theirs, network=network, beside="naive loop")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.benchmark(group="validation on 5,000 images")
def bench_validation(benchmark, objective, network):
    sizes = NETWORKS[network]
    training = objective.start(sizes)
    naive = Naive(training._data.train, training._data.validation, **sizes)
    ours = partial(_accuracies, [training], training._data.validation)
    compare(benchmark, ours, naive.evaluate, network=network, beside="naive loop")


@pytest.mark.parametrize("networks", SETS)
@pytest.mark.benchmark(group="an epoch of eight networks at once")
def bench_many(benchmark, objective, networks):
    together, alone = ([objective.start(c) for c in SETS[networks]] for _ in range(2))
    compare(
        benchmark,
        partial(objective.advance_many, together),
        lambda: [training.advance() for training in alone],
        networks=networks,
        beside="one by one",
    )


@pytest.mark.parametrize("networks", SETS)
@pytest.mark.benchmark(group="an epoch of eight networks, padded and stacked as on a GPU")
def bench_stacks(benchmark, objective, networks):
    """Show why networks are stacked on GPUs only."""
    together, alone = ([objective.start(c) for c in SETS[networks]] for _ in range(2))

    def stacked():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "_is_stacked", True)
            objective.advance_many(together)

    compare(
        benchmark,
        stacked,
        lambda: [training.advance() for training in alone],
        networks=networks,
        beside="one by one",
    )


class Eager:
    """The loop of somebody who keeps the images on the GPU: one network, a launch at a time."""

    def __init__(self, images: Images, **sizes) -> None:
        naive = Naive(images, images, **sizes)
        self.network, self.optimizer = naive.network.cuda(), naive.optimizer
        self.images = normalised(torch.from_numpy(images.pixels).cuda())
        self.labels = torch.from_numpy(images.labels).cuda()

    def train(self) -> None:
        """Train one epoch."""
        for index in torch.randperm(len(self.labels), device="cuda").split(BATCH):
            self.optimizer.zero_grad()
            scores = self.network(self.images[index])
            nn.functional.cross_entropy(scores, self.labels[index]).backward()
            self.optimizer.step()
        torch.cuda.synchronize()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.benchmark(group="an epoch of 64 networks on a GPU", timer=time.perf_counter)
def bench_on_gpu(benchmark):
    """Train 64 networks of the whole range at once, and each by an eager loop."""
    objective = lenet5(device="cuda")
    objective.prepare()
    together = [objective.start(c) for c in SETS["8 of the widths"] * 8]
    loops = [Eager(together[0]._data.train, **c) for c in SETS["8 of the widths"]]
    compare(
        benchmark,
        partial(objective.advance_many, together),
        lambda: [loop.train() for loop in loops * 8],
        timer=time.perf_counter,
        beside="one by one, eager, without validation",
        gpu=torch.cuda.get_device_name(),
    )


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.benchmark(group="arithmetic per second, beside a matrix product of 1,024")
def bench_arithmetic(benchmark, objective, network):
    """Time a matrix product, and give the share of its rate that an epoch reaches."""
    dtype = torch.bfloat16 if resolve_precision("auto", "cpu") == "bf16" else torch.float32
    a, b = (torch.randn(1024, 1024, dtype=dtype) for _ in range(2))
    training = objective.start(NETWORKS[network])
    beside = []

    def epoch():
        started = time.process_time()
        training.advance()
        beside.append(time.process_time() - started)

    benchmark.pedantic(torch.mm, args=(a, b), setup=epoch, rounds=ROUNDS, iterations=1)
    rate = flops(**NETWORKS[network]) * len(training._data.train) / statistics.median(beside)
    product = 2 * 1024**3 / benchmark.stats.stats.median
    share = f"{rate / product:.0%} of {product / 1e9:.0f} GFLOP/s"
    benchmark.extra_info.update(network=network, share=share)


def flops(c1: int, c3: int, c5: int, f6: int) -> float:
    """Count the operations of training on one image: forwards, and twice that backwards.

    The images themselves need no gradient, and the validation, run every epoch, is left out.
    """
    first = 2 * 28 * 28 * 75 * c1
    rest = 2 * (10 * 10 * 25 * c1 * c3 + 25 * c3 * c5 + c5 * f6 + f6 * 10)
    return 2 * first + 3 * rest


def work(epochs: int, barrier, queue) -> None:
    """Live as a worker: train, and tell how many seconds that took."""
    torch.set_num_threads(1)
    training = lenet5().start(NETWORKS["D"])
    training.advance()
    barrier.wait()
    started = time.perf_counter()
    for _ in range(epochs):
        training.advance()
    queue.put(time.perf_counter() - started)


def spin(seconds: float, barrier, _queue) -> None:
    """Live as somebody else's busy process."""
    barrier.wait()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def seconds_of(workers: int, spinners: int = 0, epochs: int = 8) -> float:
    """Run processes at the same time; give the mean seconds of the workers."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(workers + spinners), context.Queue()
    todo = [(work, epochs)] * workers + [(spin, 60.0)] * spinners
    processes = [context.Process(target=f, args=(a, barrier, queue)) for f, a in todo]
    for process in processes:
        process.start()
    seconds = statistics.mean(queue.get(timeout=600) for _ in range(workers))
    for process in processes:
        process.terminate()
        process.join()
    return seconds


@pytest.mark.benchmark(group="two workers at the same time, D", timer=time.perf_counter)
def bench_two_workers(benchmark):
    """Give how much more two workers do than one."""

    def gain() -> float:
        return 2 * seconds_of(1) / seconds_of(2)

    gains = benchmark.pedantic(lambda: [gain() for _ in range(3)])
    benchmark.extra_info.update(workers=2, speedup=f"{statistics.median(gains):.2f}")


@pytest.mark.benchmark(group="a worker beside busy processes, D", timer=time.perf_counter)
def bench_under_load(benchmark):
    """Give the share of what a fair scheduler would leave it that a worker gets done."""
    cores = len(os.sched_getaffinity(0))
    fair = cores / (cores + 1)

    def share() -> float:
        return seconds_of(1) / seconds_of(1, spinners=cores) / fair

    shares = benchmark.pedantic(lambda: [share() for _ in range(3)])
    benchmark.extra_info.update(busy=cores, share=f"{statistics.median(shares):.2f} of fair")
