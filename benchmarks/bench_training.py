"""Time the training of LeNet5 against two loops of torch, in alternation, in CPU seconds.

The networks differ in the sizes of C1, C3, C5 and F6. Everything runs on one thread. `speedup` is
the time of a torch loop divided by ours. `share` is the arithmetic per second, divided by this
processor's rate of multiply-adds in the same rounds. It counts all operations of dense backward
passes, also those that the kernel skips, and can therefore exceed 1.
"""

import ctypes
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import mean, median

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from hpo_bench.objectives.lenet5 import LeNet5, compiler
from hpo_bench.objectives.lenet5.batches import normalised
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.kernel import FLAGS
from hpo_bench.objectives.lenet5.training import Training, _accuracy, _train_epoch

NETWORKS = {
    "D": {"c1": 6, "c3": 16, "c5": 120, "f6": 84},
    "W": {"c1": 32, "c3": 64, "c5": 256, "f6": 128},
    "M": {"c1": 16, "c3": 32, "c5": 128, "f6": 128},
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
ROUNDS = 3
pytestmark = pytest.mark.benchmark(timer=time.process_time)


def lenet5(batch_size: int = BATCH, precision: str = "f32", **options) -> LeNet5:
    space = {**ANY_WIDTH, "batch_size": batch_size}
    sizes = {"train_size": 3200, "validation_size": 2500, "test_size": 1}
    objective = LeNet5(space, data="shapes", precision=precision, **sizes, **options)
    objective.prepare()
    return objective


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def objective():
    return lenet5()


class Pictures(Dataset):
    """Images like those of torchvision's data sets: one transformed picture at a time."""

    def __init__(self, images: Images, *steps: Callable) -> None:
        self.pixels, self.labels = images.pixels, images.labels  # these properties make copies
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
    """The training loop of a tutorial: a module, a DataLoader, Adam."""

    def __init__(self, images, validation, batch_size, c1, c3, c5, f6) -> None:
        self.network = nn.Sequential(
            nn.Conv2d(3, c1, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(c1, c3, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(25 * c3, c5), nn.ReLU(),
            nn.Linear(c5, f6), nn.ReLU(), nn.Linear(f6, 10),
        )  # fmt: skip
        flipped = Pictures(images, transforms.RandomHorizontalFlip())
        self.training = DataLoader(flipped, batch_size=batch_size, shuffle=True, drop_last=True)
        self.validation = DataLoader(Pictures(validation), batch_size=batch_size)
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


class Good:
    """A good training loop in a few lines of torch: all data in memory, one index per batch."""

    def __init__(self, images, validation, batch_size, **sizes) -> None:
        naive = Naive(images, validation, batch_size, **sizes)
        self.network = naive.network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, fused=True)
        self.batch_size = batch_size
        pixels = torch.from_numpy(images.pixels)
        self.pixels = torch.cat([pixels, pixels.flip(2)])
        self.labels = torch.from_numpy(images.labels)
        self.validation = normalised(torch.from_numpy(validation.pixels))
        self.answers = torch.from_numpy(validation.labels)

    def train(self) -> None:
        """Train one epoch."""
        n = len(self.labels)
        for index in torch.randperm(n).split(self.batch_size):
            flipped = index + n * torch.randint(2, index.shape)
            scores = self.network(normalised(self.pixels[flipped]))
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(scores, self.labels[index]).backward()
            self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self) -> float:
        """Give the accuracy on the validation images."""
        answers = torch.cat([self.network(part).argmax(1) for part in self.validation.split(100)])
        return float((answers == self.answers).float().mean())


# The values are known at run time only: of chains that are seen to be equal, one is computed. An
# addition of integers takes one cycle, so that a chain of them tells the clock of this moment.
PEAK = b"""
typedef float vector __attribute__((vector_size(64)));
float multiply_adds(long n, const float *given) {
    vector sum[12], factor, one;
    for (int i = 0; i < 16; i++) factor[i] = given[0], one[i] = given[1];
    for (int j = 0; j < 12; j++) sum[j] = one * given[j];
    for (long i = 0; i < n; i++)
        for (int j = 0; j < 12; j++) sum[j] = sum[j] * factor + one;
    for (int j = 1; j < 12; j++) sum[0] += sum[j];
    float total = 0;
    for (int i = 0; i < 16; i++) total += sum[0][i];
    return total;
}
long cycles(long n) {
    long count = 0;
    for (long i = 0; i < n; i++) {
        count += 1;
        __asm__ volatile("" : "+r"(count));
    }
    return count;
}
"""


def peak() -> tuple[float, float]:
    """Measure floating-point operations per second of multiply-adds, and cycles per second."""
    library = compiler.load("peak", PEAK, FLAGS).handle
    given = (ctypes.c_float * 12)(*(0.5 + 0.03 * j for j in range(12)))

    def seconds(function, *arguments) -> float:
        started = time.process_time()
        function(*arguments)
        return time.process_time() - started

    n = 1_000_000
    operations = n * 12 * 16 * 2 / seconds(library.multiply_adds, ctypes.c_long(n), given)
    n = 20_000_000
    return operations, n / seconds(library.cycles, ctypes.c_long(n))


def compare(benchmark, ours, theirs, timer=time.process_time, **info) -> dict[str, float]:
    """Time ours, and in turn with it what stands beside; give the seconds of the latter."""
    beside = {name: [] for name in theirs}

    def time_the_others():
        for name, other in theirs.items():
            started = timer()
            other()
            beside[name].append(timer() - started)

    ours(), time_the_others()  # whatever is done but once
    benchmark.pedantic(ours, setup=time_the_others, rounds=ROUNDS)
    seconds = {name: median(times) for name, times in beside.items()}
    for name, theirs_took in seconds.items():
        info[f"speedup beside {name}"] = f"{theirs_took / benchmark.stats.stats.median:.2f}"
    benchmark.extra_info.update(info)
    return seconds


@pytest.mark.parametrize(
    ("network", "batch_size"), [("D", 64), ("M", 64), ("W", 64), ("D", 128), ("W", 128)]
)
@pytest.mark.benchmark(group="an epoch of 3,200 images and its validation on 2,500")
def bench_epoch(benchmark, network, batch_size):
    """Give what ours, in 32 bits and in bfloat16, saves beside both loops."""
    sizes, narrow = NETWORKS[network], "ours in bfloat16"
    training, in_bf16 = (lenet5(batch_size, p).start(sizes) for p in ("f32", "bf16"))
    data = training._data
    naive, good = (kind(data.train, data.validation, batch_size, **sizes) for kind in (Naive, Good))
    theirs = {
        "a good loop": lambda: (good.train(), good.evaluate()),
        "a tutorial's": lambda: (naive.train(), naive.evaluate()),
        narrow: in_bf16.advance,
    }
    seconds = compare(benchmark, training.advance, theirs, network=network, batch=batch_size)
    ours = seconds.pop(narrow)
    for name, theirs_took in seconds.items():
        benchmark.extra_info[f"{narrow} beside {name}"] = f"{theirs_took / ours:.2f}"


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.benchmark(group="validation on 2,500 images")
def bench_validation(benchmark, objective, network):
    sizes = NETWORKS[network]
    training = objective.start(sizes)
    good = Good(training._data.train, training._data.validation, BATCH, **sizes)
    ours = partial(_accuracy, training, training._data.validation)
    compare(benchmark, ours, {"a good loop": good.evaluate}, network=network)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.benchmark(group="arithmetic per second, beside multiply-adds in registers")
def bench_arithmetic(benchmark, objective, network):
    """Give the share of the processor's rate that an epoch of training reaches, as if dense."""
    training = objective.start(NETWORKS[network])
    rates = []

    def validate():
        rates.append(peak())
        _accuracy(training, training._data.validation)

    training.advance()
    seconds = []

    def train():
        started = time.process_time()
        _train_epoch(training)
        seconds.append(time.process_time() - started)

    benchmark.pedantic(train, setup=validate, rounds=ROUNDS)
    rate = flops(**NETWORKS[network]) * len(training._data.train) / median(seconds)
    operations, clock = (median(column) for column in zip(*rates, strict=True))
    share = f"{rate / operations:.0%} of {operations / 1e9:.0f} GFLOP/s"
    per_cycle = f"{operations / clock:.0f} operations a cycle at {clock / 1e9:.2f} GHz"
    benchmark.extra_info.update(network=network, share=share, rate=per_cycle)


@pytest.mark.parametrize("networks", SETS)
@pytest.mark.benchmark(group="an epoch of eight networks, padded and stacked as on a GPU")
def bench_stacks(benchmark, objective, networks):
    """Time stacks on a CPU, which shows why networks are stacked on GPUs only."""
    together, alone = ([objective.start(c) for c in SETS[networks]] for _ in range(2))

    def stacked():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "_is_stacked", True)
            objective.advance_many(together)

    one_by_one = partial(objective.advance_many, alone)
    compare(benchmark, stacked, {"one by one": one_by_one}, networks=networks)


class Eager:
    """An eager training loop with the images on the GPU: one network, one launch at a time."""

    def __init__(self, images: Images, **sizes) -> None:
        naive = Naive(images, images, BATCH, **sizes)
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
    """Train 64 networks from the whole range as stacks, and one by one in an eager loop."""
    objective = lenet5(device="cuda", precision="auto")
    together = [objective.start(c) for c in SETS["8 of the widths"] * 8]
    loops = [Eager(together[0]._data.train, **c) for c in SETS["8 of the widths"]]
    compare(
        benchmark,
        partial(objective.advance_many, together),
        {"eager ones, without validation": lambda: [loop.train() for loop in loops * 8]},
        timer=time.perf_counter,
        gpu=torch.cuda.get_device_name(),
    )


def flops(c1: int, c3: int, c5: int, f6: int) -> float:
    """Count the operations of training on one image; a backward pass takes twice the forward pass.

    The images need no gradient. The validation after each epoch does not count.
    """
    first = 2 * 28 * 28 * 75 * c1
    rest = 2 * (10 * 10 * 25 * c1 * c3 + 25 * c3 * c5 + c5 * f6 + f6 * 10)
    return 2 * first + 3 * rest


def work(epochs: int, barrier, queue) -> None:
    """Train in a worker process, and send the seconds that it took."""
    torch.set_num_threads(1)
    training = lenet5().start(NETWORKS["D"])
    training.advance()
    barrier.wait()
    started = time.perf_counter()
    for _ in range(epochs):
        training.advance()
    queue.put(time.perf_counter() - started)


def spin(seconds: float, barrier, _queue) -> None:
    """Keep a core busy in another process."""
    barrier.wait()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def seconds_of(workers: int, spinners: int = 0, epochs: int = 8) -> float:
    """Run processes at the same time, and give the mean seconds of the workers."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(workers + spinners), context.Queue()
    todo = [(work, epochs)] * workers + [(spin, 60.0)] * spinners
    processes = [context.Process(target=f, args=(a, barrier, queue)) for f, a in todo]
    for process in processes:
        process.start()
    seconds = mean(queue.get(timeout=600) for _ in range(workers))
    for process in processes:
        process.terminate()
        process.join()
    return seconds


@pytest.mark.benchmark(group="two workers at the same time, D", timer=time.perf_counter)
def bench_two_workers(benchmark):
    """Give the throughput of two workers, divided by that of one."""

    def gain() -> float:
        return 2 * seconds_of(1) / seconds_of(2)

    gains = benchmark.pedantic(lambda: [gain() for _ in range(3)])
    benchmark.extra_info.update(workers=2, speedup=f"{median(gains):.2f}")


@pytest.mark.benchmark(group="a worker beside busy processes, D", timer=time.perf_counter)
def bench_under_load(benchmark):
    """Give a worker's throughput beside busy processes, as a share of a fair scheduler's."""
    cores = len(os.sched_getaffinity(0))
    fair = cores / (cores + 1)

    def share() -> float:
        return seconds_of(1) / seconds_of(1, spinners=cores) / fair

    shares = benchmark.pedantic(lambda: [share() for _ in range(3)])
    benchmark.extra_info.update(busy=cores, share=f"{median(shares):.2f} of fair")
