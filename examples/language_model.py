"""Train a language model on the characters of this project's own documents, and let it write a line.

A character is predicted from the eight before it: embeddings, a swiglu layer, an output layer in one with its loss. Every
tenth line is held out; its loss is set beside that of the frequencies of characters (unigrams) and of pairs (bigrams).

Run it with ``python examples/language_model.py``. ``--plot language_model.png`` draws the losses, and what the model expects
to follow a beginning; that needs matplotlib.
"""

import argparse
import os
import pathlib
from typing import Any

# The matrices are small: on busy cores, threads of BLAS that wait for each other take twenty times as long as one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

import nonlin as nl

Array = npt.NDArray[Any]

CONTEXT, EMBEDDING, HIDDEN, TEMPERATURE = 8, 24, 128, 0.5
STEPS, BATCH, RATE, DECAY = 3000, 64, 0.006, 0.5  # so much weight decay, as the text is short


def hidden(weights: list[Array], context: Array) -> tuple[Array, Array, Array, Array]:
    x = weights[0][context].reshape(len(context), -1)
    gate, up = x @ weights[1], x @ weights[2]
    return x, gate, up, nl.swiglu(gate, up)


def gradients(weights: list[Array], context: Array, target: Array) -> list[Array]:
    embedding, w_gate, w_up, w_out = weights
    x, gate, up, h = hidden(weights, context)
    _, (dh, dw_out, _) = nl.linear_cross_entropy_with_grad(h, w_out, target)
    dgate, dup = nl.swiglu_backward(dh, gate, up)
    dembedding = np.zeros_like(embedding)
    np.add.at(dembedding, context, (dgate @ w_gate.T + dup @ w_up.T).reshape(*context.shape, EMBEDDING))
    return [dembedding, x.T @ dgate, x.T @ dup, dw_out]


def draw(file: str, losses: dict[int, Any], baselines: dict[str, Any], expected: dict[str, Array], alphabet: Array) -> None:
    """Draw the held-out loss by step beside that of frequencies, and the likeliest next characters of some beginnings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    loss, *rest = figure.subplots(1, 1 + len(expected), width_ratios=[3, *[1] * len(expected)])
    loss.plot([*losses], [*losses.values()], marker="o", label="model")
    for (name, value), style in zip(baselines.items(), ("--", ":"), strict=True):
        loss.axhline(value, color="grey", linestyle=style, label=name)
    loss.set(title="nats per held-out character", xlabel="step")
    loss.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
    for axes, (beginning, probabilities) in zip(rest, expected.items(), strict=True):
        likely = probabilities.argsort()[-8:]
        axes.barh(range(len(likely)), probabilities[likely])
        names = [{" ": "space", "\n": "new line"}.get(character, character) for character in alphabet[likely]]
        axes.set_yticks(range(len(likely)), names, family="monospace")
        axes.set(title=f"after {beginning!r}", xlim=(0, 1))
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw the losses, and what is expected after some beginnings")
    plot = parser.parse_args().plot
    root, rng = pathlib.Path(__file__).parents[1], np.random.default_rng(0)
    files = [root / "README.md", root / "CONTRIBUTING.md", root / "CHANGELOG.md", *sorted(root.glob("docs/*.md"))]
    characters = np.array(list("".join(file.read_text(encoding="utf-8") for file in files)))
    alphabet, text = np.unique(characters, return_inverse=True)
    held = np.cumsum(characters == "\n") % 10 == 5
    (context, target), (context_held, target_held) = (
        (sliding_window_view(part, CONTEXT)[:-1], part[CONTEXT:]) for part in (text[~held], text[held])
    )
    pairs = np.full((len(alphabet), len(alphabet)), 0.1)  # counted; the 0.1 is for those that do not occur
    np.add.at(pairs, (context[:, -1], target), 1)
    unigram = -np.log(pairs.sum(axis=0) / pairs.sum())[target_held].mean()
    bigram = -np.log(pairs / pairs.sum(axis=1, keepdims=True))[context_held[:, -1], target_held].mean()

    joined = CONTEXT * EMBEDDING
    shapes = [(len(alphabet), EMBEDDING), (joined, HIDDEN), (joined, HIDDEN), (len(alphabet), HIDDEN)]
    weights = [rng.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5) for shape in shapes]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    losses: dict[int, Any] = {}  # by step
    for step in range(1, STEPS + 1):
        batch = rng.integers(len(target), size=BATCH)
        for w, g, (m, v) in zip(weights, gradients(weights, context[batch], target[batch]), moments, strict=True):
            m += 0.1 * (g - m)
            v += 0.01 * (g**2 - v)
            adam = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
            w -= RATE * (1 - step / STEPS) * (adam + DECAY * w)
        if step % (STEPS // 6) == 0:
            loss = losses[step] = nl.linear_cross_entropy(hidden(weights, context_held)[-1], weights[-1], target_held)
            print(f"step {step:4}  held-out loss {loss:.3f}")

    def after(line: Array) -> Array:
        """Logits of the next character."""
        return np.asarray(hidden(weights, line[np.newaxis, -CONTEXT:])[-1][0] @ weights[-1].T, np.float64)

    line = np.searchsorted(alphabet, list("\nnonlin "))
    while len(line) < 100 and alphabet[line[-1]] != "\n":
        line = np.append(line, rng.choice(len(alphabet), p=nl.softmax(after(line) / TEMPERATURE)))
    print("".join(alphabet[line]).strip())
    print(f"nats per held-out character: {loss:.3f}, bigrams {bigram:.3f}, unigrams {unigram:.3f}")
    if plot:
        beginnings = {
            text: nl.softmax(after(np.searchsorted(alphabet, list(text)))) for text in ("the func", "of the s", " softmax")
        }
        draw(plot, losses, {"pairs": bigram, "single characters": unigram}, beginnings, alphabet)
    assert loss < bigram < unigram, "the model is no better than the frequencies of characters or pairs"


if __name__ == "__main__":
    main()
