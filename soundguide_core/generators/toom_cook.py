"""The matrices of Winograd's convolutions, by A. L. Toom's and S. A. Cook's interpolation at points.

S. Winograd, "Arithmetic Complexity of Computations", 1980: F(m, r) computes m outputs of r taps with m + r - 1
products, y = A^T [(G g) * (B^T d)]; here with that many points less one, and infinity as the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

Matrix = list[list[float]]


def toom_cook(outputs: int, taps: int, points: Sequence[float]) -> tuple[Matrix, Matrix, Matrix]:
    """(A^T [m,n], G [n,r], B^T [n,n]) of m outputs, r taps and n - 1 = m + r - 2 points, computed in fractions."""
    at = [Fraction(point) for point in points]
    others = [[q for q in at if q != p] for p in at]
    a_t = [[p**i for p in at] + [Fraction(i == outputs - 1)] for i in range(outputs)]
    g = [[p**k / prod((p - q for q in rest), start=Fraction(1)) for k in range(taps)] for p, rest in zip(at, others)]
    g.append([Fraction(k == taps - 1) for k in range(taps)])
    b_t = [[*_with_roots(rest), Fraction(0)] for rest in others] + [_with_roots(at)]
    return tuple([[float(x) for x in row] for row in matrix] for matrix in (a_t, g, b_t))  # type: ignore[return-value]


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients, constant first, of the product of all (x - root)."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)])]
    return found
