"""Losses with their gradients."""

from __future__ import annotations  # so that signatures show `ArrayLike` by its name

from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import _core
from ._typing import Reduction

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "binary_cross_entropy_with_logits_with_grad",
    "binary_focal_loss_with_logits",
    "binary_focal_loss_with_logits_backward",
    "binary_focal_loss_with_logits_with_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "focal_loss",
    "focal_loss_backward",
    "focal_loss_with_grad",
    "kl_divergence",
    "kl_divergence_backward",
    "kl_divergence_with_logits",
    "kl_divergence_with_logits_backward",
    "kl_divergence_with_logits_with_grad",
    "nll_loss",
    "nll_loss_backward",
]


def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Any:
    """Cross-entropy of softmax, ``logsumexp(logits) - logits[target]``, of each row.

    Parameters
    ----------
    logits : array_like
        Any shape with a non-empty class axis; the other axes are a batch. Floats are kept, booleans and integers give
        float64.
    targets : array_like
        Integers of the shape of `logits` without `axis`: classes. Or an array of the shape of `logits`: floats are
        probabilities, not checked to sum to one; booleans and integers are one-hot.
    axis : int, default -1
        The class axis.
    weight : array_like, optional
        A factor for each class, shape (C,); it is not checked to be positive.
    sample_weight : array_like, optional
        A factor for each row, of the shape of the rows, or a scalar. A row of weight 0 does not count: its loss and
        gradient are 0.
    ignore_index : int, default -100
        The class of rows that do not count: their loss and gradient are 0. It does not apply to probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]: mixes ``(1 - label_smoothing) * target + label_smoothing / C``.
    z_loss : float, default 0.0
        Adds ``z_loss * logsumexp(logits)**2`` to the loss of each row; finite.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum, over the rows that count, of the weight of the class (1 for probabilities) times that
        of the row.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the rows' losses. It has the dtype of `logits`, float32 for
        16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty class axis, `label_smoothing` outside [0, 1], a `z_loss` that is not finite, an
        unknown `reduction`.
    TypeError
        For dtypes that are not taken.
    IndexError
        If a class is outside [0, C) and not `ignore_index`: names the first one.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.cross_entropy([[2.0, 1.0, 0.1]], [0]).round(3))
    0.417

    References
    ----------
    formulas.md in the package's folder, Losses. Label smoothing: Szegedy et al. (2015), arXiv:1512.00567; z_loss: Chowdhery
    et al. (2022), arXiv:2204.02311.
    """
    return _core.cross_entropy(
        logits,
        targets,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


def cross_entropy_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `cross_entropy` with respect to `logits`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    logits, targets, axis, weight, sample_weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `logits`.

    Raises
    ------
    ValueError, TypeError, IndexError, numpy.exceptions.AxisError
        As `cross_entropy`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.cross_entropy_backward(1.0, [[2.0, 1.0, 0.1]], [0]).round(3)
    array([[-0.341,  0.242,  0.099]])

    References
    ----------
    As `cross_entropy`.
    """
    return _core.cross_entropy_backward(
        grad,
        logits,
        targets,
        out=out,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


def cross_entropy_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return `cross_entropy` and its gradient with respect to `logits`, from one pass.

    Parameters
    ----------
    logits, targets, axis, weight, sample_weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    loss : scalar or ndarray
        As `cross_entropy` returns it.
    grad : ndarray
        The gradient, of the shape and dtype of `logits`; for ``"none"`` that of the sum.

    Raises
    ------
    ValueError, TypeError, IndexError, numpy.exceptions.AxisError
        As `cross_entropy_backward`.

    Examples
    --------
    >>> import nonlin as nl
    >>> loss, grad = nl.cross_entropy_with_grad([[2.0, 1.0, 0.1]], [0])
    >>> print(loss.round(3))
    0.417
    >>> grad.round(3)
    array([[-0.341,  0.242,  0.099]])

    References
    ----------
    As `cross_entropy`.
    """
    return _core.cross_entropy_with_grad(  # type: ignore[no-any-return]
        logits,
        targets,
        out=out,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


def focal_loss(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any:
    """Focal loss of softmax, ``-(1 - p)**gamma log(p)`` of the target's probability p, of each row.

    It is `cross_entropy` with less weight on the rows that are nearly right. Loss and gradient keep their digits where p is
    nearly 1 or nearly 0.

    Parameters
    ----------
    logits : array_like
        Any shape with a non-empty class axis; the other axes are a batch. Floats are kept, booleans and integers give
        float64.
    targets : array_like
        Integers of the shape of `logits` without `axis`: classes. Or an array of the shape of `logits`: floats are
        probabilities y, not checked to sum to one, with the loss ``-sum(y (1 - p)**gamma log(p))``; booleans and integers
        are one-hot.
    gamma : float, default 2.0
        The focus, finite and 0 or more; with 0 the loss is `cross_entropy`.
    axis : int, default -1
        The class axis.
    weight : array_like, optional
        A factor for each class, shape (C,); it is not checked to be positive.
    sample_weight : array_like, optional
        A factor for each row, of the shape of the rows, or a scalar. A row of weight 0 does not count: its loss and
        gradient are 0.
    ignore_index : int, default -100
        The class of rows that do not count: their loss and gradient are 0. It does not apply to probabilities.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides as in `cross_entropy`.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the rows' losses. It has the dtype of `logits`, float32 for
        16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty class axis, a `gamma` that is negative or not finite, an unknown `reduction`.
    TypeError
        For dtypes that are not taken, and a `gamma` that is no number.
    IndexError
        If a class is outside [0, C) and not `ignore_index`: names the first one.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.focal_loss([[2.0, 1.0, 0.1]], [0]).round(3))
    0.048

    References
    ----------
    formulas.md in the package's folder, Losses. Lin et al. (2017), Focal loss for dense object detection, arXiv:1708.02002.
    """
    return _core.focal_loss(
        logits,
        targets,
        gamma=gamma,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def focal_loss_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `focal_loss` with respect to `logits`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    logits, targets, gamma, axis, weight, sample_weight, ignore_index, reduction
        As for `focal_loss`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `logits`.

    Raises
    ------
    ValueError, TypeError, IndexError, numpy.exceptions.AxisError
        As `focal_loss`, and for a `grad` or an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.focal_loss_backward(1.0, [[2.0, 1.0, 0.1]], [0]).round(3)
    array([[-0.104,  0.074,  0.03 ]])

    References
    ----------
    As `focal_loss`.
    """
    return _core.focal_loss_backward(
        grad,
        logits,
        targets,
        out=out,
        gamma=gamma,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def focal_loss_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return `focal_loss` and its gradient with respect to `logits`, from one pass.

    Parameters
    ----------
    logits, targets, gamma, axis, weight, sample_weight, ignore_index, reduction
        As for `focal_loss`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    loss : scalar or ndarray
        As `focal_loss` returns it.
    grad : ndarray
        The gradient, of the shape and dtype of `logits`; for ``"none"`` that of the sum.

    Raises
    ------
    ValueError, TypeError, IndexError, numpy.exceptions.AxisError
        As `focal_loss_backward`.

    Examples
    --------
    >>> import nonlin as nl
    >>> loss, grad = nl.focal_loss_with_grad([[2.0, 1.0, 0.1]], [0])
    >>> print(loss.round(3))
    0.048
    >>> grad.round(3)
    array([[-0.104,  0.074,  0.03 ]])

    References
    ----------
    As `focal_loss`.
    """
    return _core.focal_loss_with_grad(  # type: ignore[no-any-return]
        logits,
        targets,
        out=out,
        gamma=gamma,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def nll_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any:
    """Negative log-likelihood, ``-log_probs[target]``, of each row.

    Parameters
    ----------
    log_probs : array_like
        Logarithms of probabilities, such as the results of `log_softmax`. Any shape with a non-empty class axis; the other
        axes are a batch. Floats are kept, booleans and integers give float64.
    targets : array_like
        Integers of the shape of `log_probs` without `axis`: classes. Or an array of the shape of `log_probs`: floats are
        probabilities, not checked to sum to one; booleans and integers are one-hot.
    axis : int, default -1
        The class axis.
    weight : array_like, optional
        A factor for each class, shape (C,); it is not checked to be positive.
    sample_weight : array_like, optional
        A factor for each row, of the shape of the rows, or a scalar. A row of weight 0 does not count: its loss and
        gradient are 0.
    ignore_index : int, default -100
        The class of rows that do not count: their loss and gradient are 0. It does not apply to probabilities.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum, over the rows that count, of the weight of the class (1 for probabilities) times that
        of the row.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the rows' losses. It has the dtype of `log_probs`, float32
        for 16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty class axis, an unknown `reduction`.
    TypeError
        For dtypes that are not taken.
    IndexError
        If a class is outside [0, C) and not `ignore_index`: names the first one.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.nll_loss([[-0.4, -1.4, -2.3]], [0]).round(3))
    0.4

    References
    ----------
    formulas.md in the package's folder, Losses. Bishop (2006), Pattern recognition and machine learning, section 4.3.
    """
    return _core.nll_loss(
        log_probs,
        targets,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def nll_loss_backward(
    grad: ArrayLike,
    log_probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `nll_loss` with respect to `log_probs`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    log_probs, targets, axis, weight, sample_weight, ignore_index, reduction
        As for `nll_loss`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=log_probs`` overwrites the argument.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `log_probs`.

    Raises
    ------
    ValueError, TypeError, IndexError, numpy.exceptions.AxisError
        As `nll_loss`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.nll_loss_backward(1.0, [[-0.4, -1.4, -2.3]], [0]).round(3)
    array([[-1.,  0.,  0.]])

    References
    ----------
    As `nll_loss`.
    """
    return _core.nll_loss_backward(
        grad,
        log_probs,
        targets,
        out=out,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def categorical_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any:
    """Cross-entropy of probabilities, ``-log(probs[target])``, of each row; logarithms are at least -100.

    Parameters
    ----------
    probs : array_like
        Probabilities, in [0, 1] or NaN. Any shape with a non-empty class axis; the other axes are a batch. Floats are kept,
        booleans and integers give float64.
    targets : array_like
        Integers of the shape of `probs` without `axis`: classes. Or an array of the shape of `probs`: floats are
        probabilities, not checked to sum to one; booleans and integers are one-hot.
    axis : int, default -1
        The class axis.
    weight : array_like, optional
        A factor for each class, shape (C,); it is not checked to be positive.
    sample_weight : array_like, optional
        A factor for each row, of the shape of the rows, or a scalar. A row of weight 0 does not count: its loss and
        gradient are 0.
    ignore_index : int, default -100
        The class of rows that do not count: their loss and gradient are 0. It does not apply to probabilities.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum, over the rows that count, of the weight of the class (1 for probabilities) times that
        of the row.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the rows' losses. It has the dtype of `probs`, float32 for
        16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty class axis, an unknown `reduction`, a probability outside [0, 1]; where targets
        are classes, only theirs count.
    TypeError
        For dtypes that are not taken.
    IndexError
        If a class is outside [0, C) and not `ignore_index`: names the first one.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.categorical_cross_entropy([[0.7, 0.2, 0.1]], [0]).round(3))
    0.357

    References
    ----------
    formulas.md in the package's folder, Losses. Bishop (2006), Pattern recognition and machine learning, section 4.3.
    """
    return _core.categorical_cross_entropy(
        probs, targets, axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index, reduction=reduction
    )


def categorical_cross_entropy_backward(
    grad: ArrayLike,
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `categorical_cross_entropy` with respect to `probs`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    probs, targets, axis, weight, sample_weight, ignore_index, reduction
        As for `categorical_cross_entropy`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=probs`` overwrites the argument.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `probs`.

    Raises
    ------
    ValueError, TypeError, IndexError, numpy.exceptions.AxisError
        As `categorical_cross_entropy`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.categorical_cross_entropy_backward(1.0, [[0.7, 0.2, 0.1]], [0]).round(3)
    array([[-1.429,  0.   ,  0.   ]])

    References
    ----------
    As `categorical_cross_entropy`.
    """
    return _core.categorical_cross_entropy_backward(
        grad,
        probs,
        targets,
        out=out,
        axis=axis,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def binary_cross_entropy(
    probs: ArrayLike, targets: ArrayLike, *, weight: ArrayLike | None = None, reduction: Reduction = "mean"
) -> Any:
    """Binary cross-entropy, ``-(y log(p) + (1 - y) log(1 - p))``, of each entry; logarithms are at least -100.

    Parameters
    ----------
    probs : array_like
        Probabilities, in [0, 1] or NaN, of any shape. Floats are kept, booleans and integers give float64.
    targets : array_like
        Of the shape of `probs` and any real dtype: 0, 1, or a probability between them. They are not checked to be in
        [0, 1]; the loss of others may be negative.
    weight : array_like, optional
        A factor for each entry; broadcasts to the shape of `probs`.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of entries.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the entries' losses. It has the dtype of `probs`, float32
        for 16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, probabilities outside [0, 1], an unknown `reduction`.
    TypeError
        For dtypes that are not taken.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.binary_cross_entropy([0.8, 0.3], [1, 0]).round(3))
    0.29

    References
    ----------
    formulas.md in the package's folder, Losses. Bishop (2006), Pattern recognition and machine learning, section 4.3.
    """
    return _core.binary_cross_entropy(probs, targets, weight=weight, reduction=reduction)


def binary_cross_entropy_backward(
    grad: ArrayLike,
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `binary_cross_entropy` with respect to `probs`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    probs, targets, weight, reduction
        As for `binary_cross_entropy`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=probs`` overwrites the argument.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `probs`.

    Raises
    ------
    ValueError, TypeError
        As `binary_cross_entropy`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.binary_cross_entropy_backward(1.0, [0.8, 0.3], [1, 0]).round(3)
    array([-0.625,  0.714])

    References
    ----------
    As `binary_cross_entropy`.
    """
    return _core.binary_cross_entropy_backward(grad, probs, targets, out=out, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """Binary cross-entropy of sigmoid, ``(1 - y) softplus(x) + pos_weight y softplus(-x)``, of each entry.

    Parameters
    ----------
    logits : array_like
        Any shape. Floats are kept, booleans and integers give float64.
    targets : array_like
        Of the shape of `logits` and any real dtype: 0, 1, or a probability between them. They are not checked to be in
        [0, 1]; the loss of others may be negative.
    weight : array_like, optional
        A factor for each entry; broadcasts to the shape of `logits`.
    pos_weight : array_like, optional
        A factor for the part of the loss that positive targets have; broadcasts to the shape of `logits`.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of entries.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the entries' losses. It has the dtype of `logits`, float32
        for 16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an unknown `reduction`.
    TypeError
        For dtypes that are not taken.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.binary_cross_entropy_with_logits([2.0, -1.0], [1, 0]).round(3))
    0.22

    References
    ----------
    formulas.md in the package's folder, Losses. Bishop (2006), Pattern recognition and machine learning, section 4.3.
    """
    return _core.binary_cross_entropy_with_logits(logits, targets, weight=weight, pos_weight=pos_weight, reduction=reduction)


def binary_cross_entropy_with_logits_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `binary_cross_entropy_with_logits` with respect to `logits`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    logits, targets, weight, pos_weight, reduction
        As for `binary_cross_entropy_with_logits`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `logits`.

    Raises
    ------
    ValueError, TypeError
        As `binary_cross_entropy_with_logits`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.binary_cross_entropy_with_logits_backward(1.0, [2.0, -1.0], [1, 0]).round(3)
    array([-0.06 ,  0.134])

    References
    ----------
    As `binary_cross_entropy_with_logits`.
    """
    return _core.binary_cross_entropy_with_logits_backward(
        grad, logits, targets, out=out, weight=weight, pos_weight=pos_weight, reduction=reduction
    )


def binary_cross_entropy_with_logits_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return `binary_cross_entropy_with_logits` and its gradient with respect to `logits`, from one pass.

    Parameters
    ----------
    logits, targets, weight, pos_weight, reduction
        As for `binary_cross_entropy_with_logits`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    loss : scalar or ndarray
        As `binary_cross_entropy_with_logits` returns it.
    grad : ndarray
        The gradient, of the shape and dtype of `logits`; for ``"none"`` that of the sum.

    Raises
    ------
    ValueError, TypeError
        As `binary_cross_entropy_with_logits_backward`.

    Examples
    --------
    >>> import nonlin as nl
    >>> loss, grad = nl.binary_cross_entropy_with_logits_with_grad([2.0, -1.0], [1, 0])
    >>> print(loss.round(3))
    0.22
    >>> grad.round(3)
    array([-0.06 ,  0.134])

    References
    ----------
    As `binary_cross_entropy_with_logits`.
    """
    return _core.binary_cross_entropy_with_logits_with_grad(  # type: ignore[no-any-return]
        logits, targets, out=out, weight=weight, pos_weight=pos_weight, reduction=reduction
    )


def binary_focal_loss_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """Focal loss of sigmoid, ``(1 - p_t)**gamma`` times the binary cross-entropy, of each entry.

    For a target y and ``p = sigmoid(logits)``, ``p_t = p y + (1 - p) (1 - y)``. Loss and gradient keep their digits where
    p_t is nearly 1 or nearly 0.

    Parameters
    ----------
    logits : array_like
        Any shape. Floats are kept, booleans and integers give float64.
    targets : array_like
        Of the shape of `logits` and any real dtype: 0, 1, or a probability between them. They are not checked to be in
        [0, 1]; outside, the loss is NaN where p_t is above 1.
    gamma : float, default 2.0
        The focus, finite and 0 or more; with 0 the loss is the binary cross-entropy.
    alpha : float, optional
        In [0, 1]: the factor ``alpha y + (1 - alpha) (1 - y)`` balances positive and negative targets. By default it is 1.
    weight : array_like, optional
        A factor for each entry; broadcasts to the shape of `logits`.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of entries.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the entries' losses. It has the dtype of `logits`, float32
        for 16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, a `gamma` that is negative or not finite, an `alpha` outside [0, 1], an unknown
        `reduction`.
    TypeError
        For dtypes that are not taken, and a `gamma` or `alpha` that is no number.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.binary_focal_loss_with_logits([2.0, -1.0], [1, 0]).round(3))
    0.012

    References
    ----------
    formulas.md in the package's folder, Losses. Lin et al. (2017), Focal loss for dense object detection, arXiv:1708.02002.
    """
    return _core.binary_focal_loss_with_logits(
        logits,
        targets,
        gamma=gamma,
        alpha=alpha,
        weight=weight,
        reduction=reduction,
    )


def binary_focal_loss_with_logits_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `binary_focal_loss_with_logits` with respect to `logits`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    logits, targets, gamma, alpha, weight, reduction
        As for `binary_focal_loss_with_logits`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `logits`.

    Raises
    ------
    ValueError, TypeError
        As `binary_focal_loss_with_logits`, and for a `grad` or an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.binary_focal_loss_with_logits_backward(1.0, [2.0, -1.0], [1, 0]).round(3)
    array([-0.002,  0.026])

    References
    ----------
    As `binary_focal_loss_with_logits`.
    """
    return _core.binary_focal_loss_with_logits_backward(
        grad,
        logits,
        targets,
        out=out,
        gamma=gamma,
        alpha=alpha,
        weight=weight,
        reduction=reduction,
    )


def binary_focal_loss_with_logits_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return `binary_focal_loss_with_logits` and its gradient with respect to `logits`, from one pass.

    Parameters
    ----------
    logits, targets, gamma, alpha, weight, reduction
        As for `binary_focal_loss_with_logits`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    loss : scalar or ndarray
        As `binary_focal_loss_with_logits` returns it.
    grad : ndarray
        The gradient, of the shape and dtype of `logits`; for ``"none"`` that of the sum.

    Raises
    ------
    ValueError, TypeError
        As `binary_focal_loss_with_logits_backward`.

    Examples
    --------
    >>> import nonlin as nl
    >>> loss, grad = nl.binary_focal_loss_with_logits_with_grad([2.0, -1.0], [1, 0])
    >>> print(loss.round(3))
    0.012
    >>> grad.round(3)
    array([-0.002,  0.026])

    References
    ----------
    As `binary_focal_loss_with_logits`.
    """
    return _core.binary_focal_loss_with_logits_with_grad(  # type: ignore[no-any-return]
        logits,
        targets,
        out=out,
        gamma=gamma,
        alpha=alpha,
        weight=weight,
        reduction=reduction,
    )


def kl_divergence(
    p: ArrayLike, q: ArrayLike, *, axis: int = -1, sample_weight: ArrayLike | None = None, reduction: Reduction = "mean"
) -> Any:
    """Kullback-Leibler divergence, ``sum(p log(p / q))``, of each row, where ``0 log(0)`` is 0.

    Parameters
    ----------
    p : array_like
        The target distributions, of the shape of `q`; integers leave the dtype of the result to `q`.
    q : array_like
        The distributions that are compared with `p`. Any shape with a non-empty class axis; the other axes are a batch.
        Floats are kept, booleans and integers give float64.
    axis : int, default -1
        The class axis.
    sample_weight : array_like, optional
        A factor for each row, of the shape of the rows, or a scalar. A row of weight 0 does not count: its loss and
        gradient are 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of rows, or the sum of their weights.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the rows' losses. Its dtype is the ``np.result_type`` of
        `p` and `q`, float32 for 16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty class axis, an unknown `reduction`.
    TypeError
        For dtypes that are not taken.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.kl_divergence([[0.5, 0.5]], [[0.9, 0.1]]).round(3))
    0.511

    References
    ----------
    formulas.md in the package's folder, Losses. Kullback and Leibler (1951), On information and sufficiency.
    """
    return _core.kl_divergence(p, q, axis=axis, sample_weight=sample_weight, reduction=reduction)


def kl_divergence_backward(
    grad: ArrayLike,
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `kl_divergence` with respect to `q`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    p, q, axis, sample_weight, reduction
        As for `kl_divergence`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=q`` overwrites the argument.

    Returns
    -------
    ndarray
        The gradient, of the shape of `q` and the ``np.result_type`` of `p` and `q`.

    Raises
    ------
    ValueError, TypeError, numpy.exceptions.AxisError
        As `kl_divergence`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.kl_divergence_backward(1.0, [[0.5, 0.5]], [[0.9, 0.1]]).round(3)
    array([[-0.556, -5.   ]])

    References
    ----------
    As `kl_divergence`.
    """
    return _core.kl_divergence_backward(grad, p, q, out=out, axis=axis, sample_weight=sample_weight, reduction=reduction)


def kl_divergence_with_logits(
    p: ArrayLike, logits: ArrayLike, *, axis: int = -1, sample_weight: ArrayLike | None = None, reduction: Reduction = "mean"
) -> Any:
    """Kullback-Leibler divergence of softmax, ``sum(p (log(p) - log_softmax(logits)))``, of each row.

    Parameters
    ----------
    p : array_like
        The target distributions, of the shape of `logits`; integers leave the dtype of the result to `logits`.
    logits : array_like
        Any shape with a non-empty class axis; the other axes are a batch. Floats are kept, booleans and integers give
        float64.
    axis : int, default -1
        The class axis.
    sample_weight : array_like, optional
        A factor for each row, of the shape of the rows, or a scalar. A row of weight 0 does not count: its loss and
        gradient are 0.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the number of rows, or the sum of their weights.

    Returns
    -------
    scalar or ndarray
        The loss, summed in float64; for ``"none"`` an array of the rows' losses. Its dtype is the ``np.result_type`` of
        `p` and `logits`, float32 for 16-bit floats.

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty class axis, an unknown `reduction`.
    TypeError
        For dtypes that are not taken.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.kl_divergence_with_logits([[0.5, 0.5]], [[2.0, 0.0]]).round(3))
    0.434

    References
    ----------
    formulas.md in the package's folder, Losses. Hinton, Vinyals and Dean (2015), arXiv:1503.02531.
    """
    return _core.kl_divergence_with_logits(p, logits, axis=axis, sample_weight=sample_weight, reduction=reduction)


def kl_divergence_with_logits_backward(
    grad: ArrayLike,
    p: ArrayLike,
    logits: ArrayLike,
    *,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of `kl_divergence_with_logits` with respect to `logits`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    p, logits, axis, sample_weight, reduction
        As for `kl_divergence_with_logits`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    ndarray
        The gradient, of the shape of `logits` and the ``np.result_type`` of `p` and `logits`.

    Raises
    ------
    ValueError, TypeError, numpy.exceptions.AxisError
        As `kl_divergence_with_logits`, and for an `out` that does not fit. Nothing is written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.kl_divergence_with_logits_backward(1.0, [[0.5, 0.5]], [[2.0, 0.0]]).round(3)
    array([[ 0.381, -0.381]])

    References
    ----------
    As `kl_divergence_with_logits`.
    """
    return _core.kl_divergence_with_logits_backward(
        grad, p, logits, out=out, axis=axis, sample_weight=sample_weight, reduction=reduction
    )


def kl_divergence_with_logits_with_grad(
    p: ArrayLike,
    logits: ArrayLike,
    *,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return `kl_divergence_with_logits` and its gradient with respect to `logits`, from one pass.

    Parameters
    ----------
    p, logits, axis, sample_weight, reduction
        As for `kl_divergence_with_logits`.
    out : ndarray, optional
        Where to put the gradient, of its shape and dtype; ``out=logits`` overwrites the logits.

    Returns
    -------
    loss : scalar or ndarray
        As `kl_divergence_with_logits` returns it.
    grad : ndarray
        The gradient, as `kl_divergence_with_logits_backward` returns it; for ``"none"`` that of the sum.

    Raises
    ------
    ValueError, TypeError, numpy.exceptions.AxisError
        As `kl_divergence_with_logits_backward`.

    Examples
    --------
    >>> import nonlin as nl
    >>> loss, grad = nl.kl_divergence_with_logits_with_grad([[0.5, 0.5]], [[2.0, 0.0]])
    >>> print(loss.round(3))
    0.434
    >>> grad.round(3)
    array([[ 0.381, -0.381]])

    References
    ----------
    As `kl_divergence_with_logits`.
    """
    return _core.kl_divergence_with_logits_with_grad(  # type: ignore[no-any-return]
        p, logits, out=out, axis=axis, sample_weight=sample_weight, reduction=reduction
    )
