"""The benchmark in company: programs whose calls run between matrix products, as they do in practice.

NumPy's products have threads of their own, which want the same cores. A call that is fast alone may wait for them, or hold
them up; none of this shows when it is measured by itself. So each program is timed as a whole, in three circumstances: on an
idle machine, beside a process that keeps one core busy, and with its steps a millisecond apart.

The processors of a virtual machine may be two cores beside each other now, two threads of one core or cores of two dies a
minute later: a product on two threads then takes 1.5 times as long. Only rounds beside products of the usual time count.
"""

import contextlib
import importlib
import importlib.util
import itertools
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

import nonlin
from nonlin import reference
from nonlin.bench.cases import Array

Step = Callable[[], Any]
Times = dict[str, list[float]]  # seconds of steps, by name

CIRCUMSTANCES = ("alone", "a core taken", "1 ms apart")
SAMPLE = 0.03  # seconds of steps in a row; the first do not count, as the contender before may disturb them
WARM_UP, ROUNDS, MIN_STEPS, MAX_STEPS = 0.3, 10, 2, 200
PAUSE = 1e-3
USUAL = 1.25  # times the least time of a product
PATIENCE = 30.0  # seconds of a run for which rounds are left out while it takes longer
RATE = 1e-9  # of learning: so small that the work is the same in every step


@dataclass
class Loop:
    """A program of one contender: a step and, if it makes a single call, the two parts of the step."""

    step: Step
    products: Step | None = None
    call: Step | None = None


@dataclass(frozen=True)
class Program:
    """What is measured; ``build`` takes the functions of :func:`of_nonlin` or :func:`of_numpy`."""

    name: str
    build: Callable[[SimpleNamespace], Loop]
    torch: Callable[[Any], Step] | None = None


@dataclass
class Comparison:
    """Seconds of all steps of each contender."""

    program: Program
    circumstance: str
    seconds: Times = field(default_factory=dict)
    parts: Times = field(default_factory=dict)  # of a step of nonlin's, each alone, the call on one thread
    paces: list[float] = field(default_factory=list)  # seconds of a product beside each round

    @property
    def name(self) -> str:
        return f"{self.program.name}, {self.circumstance}"

    def add(self, times: Times, parts: Times, pace: float) -> None:
        """Count a round."""
        for known, new in ((self.seconds, times), (self.parts, parts)):
            for name, seconds in new.items():
                known.setdefault(name, []).extend(seconds)
        self.paces.append(pace)

    def unusual(self, least: float) -> int:
        """How many rounds count although a product took more than its usual time, given its least one of the whole run."""
        return sum(pace > USUAL * least for pace in self.paces)

    def median(self) -> float:
        """The median time of nonlin's steps."""
        return float(np.median(self.seconds["nonlin"]))

    def ratio(self, peer: str) -> float | None:
        """A contender's time over nonlin's."""
        return float(np.median(self.seconds[peer])) / self.median() if peer in self.seconds else None

    def of_parts(self) -> float | None:
        """The time of a step over that of its parts."""
        return self.median() / sum(float(np.median(times)) for times in self.parts.values()) if self.parts else None


def of_nonlin() -> SimpleNamespace:
    """nonlin's functions, of their arguments and, in some, of an array for the result or None."""

    def inplace(f: Callable[..., Any]) -> Callable[[Array], Array]:
        return lambda x: f(x, out=x)

    def inplace_backward(f: Callable[..., Any]) -> Callable[[Array, Array], Array]:
        return lambda y, delta: f(delta, y, out=delta)

    return SimpleNamespace(
        name="nonlin",
        **{name: getattr(nonlin, name) for name in ("tanh", "gelu", "softmax")},
        gelu_backward=lambda grad, x: nonlin.gelu_backward(grad, x, out=grad),
        cross_entropy_with_grad=lambda z, targets: nonlin.cross_entropy_with_grad(z, targets, out=z),
        activations={  # by scikit-learn's names
            "relu": inplace(nonlin.relu),
            "tanh": inplace(nonlin.tanh),
            "logistic": inplace(nonlin.sigmoid),
            "softmax": inplace(nonlin.softmax),
        },
        derivatives={
            "relu": inplace_backward(nonlin.relu_backward),
            "tanh": inplace_backward(nonlin.tanh_backward),
            "logistic": inplace_backward(nonlin.sigmoid_backward),
        },
    )


def of_numpy() -> SimpleNamespace:
    """The formulas of nonlin.reference; NumPy's own function where there is one. scikit-learn keeps its own."""
    bare = {name: getattr(f, "__wrapped__", f) for name, f in vars(reference).items()}
    return SimpleNamespace(
        name="NumPy",
        tanh=np.tanh,
        gelu=lambda x, out: bare["gelu"](x),
        softmax=lambda x, out: bare["softmax"](x),
        gelu_backward=bare["gelu_backward"],
        cross_entropy_with_grad=bare["cross_entropy_with_grad"],
        activations={},
        derivatives={},
    )


def _normal(*shape: int, scale: float = 1.0) -> Array:
    numbers = np.random.default_rng(len(shape)).standard_normal(shape, dtype=np.float32)
    return numbers * np.float32(scale)


def between(n: int, name: str) -> Program:
    """A product, an activation, a product."""
    a, w = _normal(n, n), _normal(n, n, scale=n**-0.5)

    def build(f: SimpleNamespace) -> Loop:
        h, o, y, activation = np.empty_like(a), np.empty_like(a), np.empty_like(a), getattr(f, name)

        def products() -> Array:
            return np.matmul(np.matmul(a, w, out=h), w, out=y)

        return Loop(
            lambda: np.matmul(activation(np.matmul(a, w, out=h), out=o), w, out=y),
            products,
            lambda: activation(h, out=o),
        )

    def torch(torch: Any) -> Step:
        a_, w_ = torch.from_numpy(a), torch.from_numpy(w)
        activation = getattr(torch, name, None) or getattr(torch.nn.functional, name)
        return lambda: activation(a_ @ w_) @ w_

    return Program(f"product, {name}, product, {n} wide", build, torch)


def attention(queries: int, width: int) -> Program:
    """Softmax of scores, as in one head of attention."""
    q, k, v = _normal(queries, width), _normal(width, queries, scale=width**-0.5), _normal(queries, width)

    def build(f: SimpleNamespace) -> Loop:
        s, p, y = np.empty((queries, queries), np.float32), np.empty((queries, queries), np.float32), np.empty_like(v)
        return Loop(
            lambda: np.matmul(f.softmax(np.matmul(q, k, out=s), out=p), v, out=y),
            lambda: np.matmul(np.matmul(q, k, out=s), v, out=y),
            lambda: f.softmax(s, out=p),
        )

    def torch(torch: Any) -> Step:
        q_, k_, v_ = map(torch.from_numpy, (q, k, v))
        return lambda: torch.softmax(q_ @ k_, -1) @ v_

    return Program(f"attention, {queries}x{width}", build, torch)


def training(batch: int, *widths: int) -> Program:
    """A step of training: forward, loss, backward, gradient descent."""
    x = _normal(batch, widths[0])
    targets = np.random.default_rng(0).integers(0, widths[-1], batch)
    weights = [_normal(m, n, scale=m**-0.5) for m, n in itertools.pairwise(widths)]
    rate = np.float32(RATE)

    def build(f: SimpleNamespace) -> Loop:
        own = [w.copy() for w in weights]

        def step() -> float:
            inputs, arguments = [x], []
            for w in own[:-1]:
                arguments.append(inputs[-1] @ w)
                inputs.append(f.gelu(arguments[-1], out=None))
            loss, grad = f.cross_entropy_with_grad(inputs[-1] @ own[-1], targets)
            for i in reversed(range(len(own))):
                below = grad @ own[i].T if i else None
                own[i] -= rate * (inputs[i].T @ grad)
                if below is not None:
                    grad = f.gelu_backward(below, arguments[i - 1])
            return float(loss)

        return Loop(step)

    def torch(torch: Any) -> Step:
        x_, targets_ = torch.from_numpy(x), torch.from_numpy(targets)
        own = [torch.tensor(w, requires_grad=True) for w in weights]
        optimizer = torch.optim.SGD(own, lr=float(rate))

        def step() -> float:
            h = x_
            for w in own[:-1]:
                h = torch.nn.functional.gelu(h @ w)
            loss = torch.nn.functional.cross_entropy(h @ own[-1], targets_)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return float(loss)

        return step

    return Program(f"training step, {batch}x" + "-".join(map(str, widths)), build, torch)


@contextlib.contextmanager
def _patched(table: dict[str, Any], changes: dict[str, Any]) -> Iterator[None]:
    before = dict(table)
    table.update(changes)
    try:
        yield
    finally:
        table.update(before)


def scikit_learn(activation: str) -> Program:
    """An epoch of scikit-learn's network on its handwritten digits, with its own functions and with ours."""
    network: Any = importlib.import_module("sklearn.neural_network")
    base: Any = importlib.import_module("sklearn.neural_network._base")
    data: Any = importlib.import_module("sklearn.datasets").load_digits()
    x, classes = data.data / 16, np.unique(data.target)

    def build(f: SimpleNamespace) -> Loop:
        model = network.MLPClassifier((256, 128), activation=activation, random_state=0, learning_rate_init=RATE)

        def step() -> float:
            with _patched(base.ACTIVATIONS, f.activations), _patched(base.DERIVATIVES, f.derivatives):
                model.partial_fit(x, data.target, classes=classes)
            return float(model.loss_)

        return Loop(step)

    return Program(f"scikit-learn's MLP, {activation}", build)


def comparisons() -> list[Comparison]:
    """All comparisons that can run here, not yet measured."""
    return [Comparison(program, circumstance) for program in programs() for circumstance in CIRCUMSTANCES]


def programs() -> list[Program]:
    """All programs that can run here."""
    chosen = [
        between(256, "tanh"),
        between(256, "gelu"),
        between(1024, "gelu"),
        attention(512, 64),
        training(128, 784, 256, 256, 10),
    ]
    if importlib.util.find_spec("sklearn"):
        chosen += [scikit_learn(activation) for activation in ("relu", "tanh", "logistic")]
    return chosen


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """Another process, which keeps a core busy."""
    with subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        try:
            yield
        finally:
            process.kill()


def _timed(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _sample(step: Step, pause: float) -> list[float]:
    """The times of some steps in a row."""
    times: list[float] = []
    begin = time.perf_counter()
    while True:
        times.append(_timed(step))
        if len(times) >= MAX_STEPS or (time.perf_counter() - begin > SAMPLE and len(times) >= MIN_STEPS):
            return times[int(WARM_UP * len(times)) :]
        if pause:
            time.sleep(pause)


def compared_loops(program: Program, torch: Any) -> dict[str, Loop]:
    """The contenders, after a comparison of their results."""
    loops = {f.name: program.build(f) for f in (of_nonlin(), of_numpy())}
    if torch is not None and program.torch is not None:
        loops["torch"] = Loop(program.torch(torch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = {name: np.array(loop.step(), np.float64) for name, loop in loops.items()}
    for name, result in results.items():
        np.testing.assert_allclose(
            result, results["NumPy"], rtol=1e-3, atol=1e-3, err_msg=f"{program.name}: {name} and NumPy disagree"
        )
    return loops


class Pace:
    """The time of a product, the least one so far, and the seconds for which a longer one is waited out."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.least = np.inf
        self._a, self._out = _normal(256, 256), np.empty((256, 256), np.float32)

    def measure(self) -> float:
        """The time of a product now."""
        seconds = min(_timed(lambda: np.matmul(self._a, self._a, out=self._out)) for _ in range(10))
        self.least = min(self.least, seconds)
        return seconds

    def is_usual(self, seconds: float) -> bool:
        """Whether this is about the least time so far."""
        return seconds <= USUAL * self.least


def compare(comparison: Comparison, torch: Any, rounds: int, pace: Pace) -> None:
    """Time a program: every contender in turn, round after round."""
    loops = compared_loops(comparison.program, torch)
    while len(comparison.paces) < rounds:
        start = time.perf_counter()
        seconds = pace.measure()
        if pace.is_usual(seconds) or pace.patience <= 0:
            times, parts = _round(loops, comparison.circumstance)
            seconds = max(seconds, pace.measure())
        if pace.is_usual(seconds) or pace.patience <= 0:
            comparison.add(times, parts, seconds)
        else:
            pace.patience -= time.perf_counter() - start


def _round(loops: dict[str, Loop], circumstance: str) -> tuple[Times, Times]:
    """The times of some steps of each contender, and of the parts of nonlin's."""
    pause = PAUSE if circumstance == "1 ms apart" else 0
    with busy_process() if circumstance == "a core taken" else contextlib.nullcontext():
        times = {name: _sample(loop.step, pause) for name, loop in loops.items()}
        ours, parts = loops["nonlin"], {}
        if ours.products is not None and ours.call is not None:
            with nonlin.num_threads(1):
                parts = {"products": _sample(ours.products, pause), "call": _sample(ours.call, pause)}
    return times, parts


def peers(comparisons: list[Comparison]) -> list[str]:
    """The contenders that were measured, nonlin first."""
    return list(dict.fromkeys(name for c in comparisons for name in c.seconds))


def least_pace(comparisons: list[Comparison]) -> float:
    """The least time of a product in a run."""
    return min((pace for c in comparisons for pace in c.paces), default=np.inf)


def as_json(comparisons: list[Comparison]) -> list[dict[str, Any]]:
    """All figures."""

    def spread(values: list[float]) -> dict[str, float]:
        q1, median, q3 = np.percentile(values, [25, 50, 75])
        return {"median": float(median), "q1": float(q1), "q3": float(q3), "mean": float(np.mean(values))}

    least = least_pace(comparisons)
    return [
        {
            "program": c.program.name,
            "circumstance": c.circumstance,
            "seconds": {name: spread(times) for name, times in c.seconds.items()},
            "ratios": {peer: c.ratio(peer) for peer in c.seconds if peer != "nonlin"},
            "of_parts": c.of_parts(),
            "unusual_rounds": c.unusual(least),
        }
        for c in comparisons
    ]
