"""Loops over the maps of generators that render on a processor, compiled by numba: each goes through memory once where
PyTorch's operations go several times.

Maps are float32 [H,W,C], and C-contiguous like all arrays here; the innermost loops run along channels, which is what
the processor's vectors are filled with. Each public function does a part of its tiles, rows or channels, so that
several threads can share a map: none keeps the interpreter's lock. Places are unsigned where they are sums, for of
signed ones numba asks each time whether they count from the end. Each function is compiled when it is first called and
kept on the disk. generators/compiled.py says when they are used. All are in one file, as they share what goes along the
channels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

F = np.float32
TILE, SEEN = 6, 8  # Winograd's F(6x6,3x3)
TAPS = 6  # of its filters for each sample of the lower rate

loop = njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")


@loop
def _copied(source, first, out, to, n):
    a, to = np.uint64(first), np.uint64(to)
    for c in range(np.uint64(n)):
        out[to + c] = source[a + c]


# ---- Winograd's F(6x6,3x3): generators/winograd.py has the algorithm and its matrices


@loop
def _to_points(d0, d1, d2, d3, d4, d5, d6, d7, v0, v1, v2, v3, v4, v5, v6, v7):
    """v = B^T d of the points 0, 1, -1, 2, -2, 1/2, -1/2, infinity; a pair of points shares its even and odd part."""
    for c in range(v0.shape[0]):
        even1, odd1 = d2[c] - F(4.25) * d4[c] + d6[c], d1[c] - F(4.25) * d3[c] + d5[c]
        even2, odd2 = F(0.25) * d2[c] - F(1.25) * d4[c] + d6[c], F(0.5) * d1[c] - F(2.5) * d3[c] + F(2) * d5[c]
        even3, odd3 = F(4) * d2[c] - F(5) * d4[c] + d6[c], F(2) * d1[c] - F(2.5) * d3[c] + F(0.5) * d5[c]
        v0[c] = d6[c] - d0[c] + F(5.25) * (d2[c] - d4[c])
        v1[c], v2[c] = even1 + odd1, even1 - odd1
        v3[c], v4[c] = even2 + odd2, even2 - odd2
        v5[c], v6[c] = even3 + odd3, even3 - odd3
        v7[c] = d7[c] - d1[c] + F(5.25) * (d3[c] - d5[c])


@loop
def _to_outputs(m0, m1, m2, m3, m4, m5, m6, m7, y0, y1, y2, y3, y4, y5):
    """y = A^T m"""
    for c in range(y0.shape[0]):
        sum1, sum2, sum3 = m1[c] + m2[c], m3[c] + m4[c], m5[c] + m6[c]
        apart1, apart2, apart3 = m1[c] - m2[c], m3[c] - m4[c], m5[c] - m6[c]
        y0[c] = m0[c] + sum1 + sum2 + sum3
        y1[c] = apart1 + F(2) * apart2 + F(0.5) * apart3
        y2[c] = sum1 + F(4) * sum2 + F(0.25) * sum3
        y3[c] = apart1 + F(8) * apart2 + F(0.125) * apart3
        y4[c] = sum1 + F(16) * sum2 + F(0.0625) * sum3
        y5[c] = apart1 + F(32) * apart2 + F(0.03125) * apart3 + m7[c]


@loop
def _scaled(x, style, out):
    for c in range(out.shape[0]):
        out[c] = x[c] * style[c]


@loop
def _finished(y, scale, noise, bias, slope, clamp, out):
    """out = clamp(lrelu(y * scale + noise + bias))"""
    for c in range(out.shape[0]):
        v = y[c] * scale[c] + (noise + bias[c])
        v = v if v > 0 else v * slope
        v = clamp if v > clamp else v
        out[c] = -clamp if v < -clamp else v


@loop
def to_points(x, style, padding, wide, first, last, start, apart, points):
    """x [B,H,W,I] * style [B,I], with zeros around it => B^T d B, columns first, of the tiles first to last.

    Tiles are counted over all images, `wide` of them side by side; points [64,*] has one after the other from the
    tile `start` on, `apart` >= I numbers for each.
    """
    height, width, size = x.shape[1:]
    tiles = len(range(0, height + 2 * padding - 2, TILE)) * wide
    patch = np.zeros((SEEN, size), F)
    seen = np.zeros((SEEN, SEEN, size), F)  # B^T d of a tile's columns
    for tile in range(first, last):
        b, y0, x0 = tile // tiles, (tile % tiles) // wide * TILE - padding, tile % wide * TILE - padding
        for column in range(SEEN):
            if tile > first and tile % wide > 0 and column < SEEN - TILE:  # the tile before has it
                for p in range(SEEN):
                    _copied(seen[column + TILE, p], 0, seen[column, p], 0, size)
                continue
            inside = 0 <= x0 + column < width
            for row in range(SEEN):
                if inside and 0 <= y0 + row < height:
                    _scaled(x[b, y0 + row, x0 + column], style[b], patch[row])
                else:
                    patch[row] = 0
            v = seen[column]
            _to_points(patch[0], patch[1], patch[2], patch[3], patch[4], patch[5], patch[6], patch[7],
                       v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7])  # fmt: skip
        here = slice((tile - start) * apart, (tile - start) * apart + size)
        for p in range(SEEN):
            _to_points(seen[0, p], seen[1, p], seen[2, p], seen[3, p], seen[4, p], seen[5, p], seen[6, p], seen[7, p],
                       points[p, here], points[8 + p, here], points[16 + p, here], points[24 + p, here],
                       points[32 + p, here], points[40 + p, here], points[48 + p, here],
                       points[56 + p, here])  # fmt: skip


@loop
def from_points(products, scale, noise, bias, slope, clamp, wide, first, last, start, apart, out):
    """products, as to_points counts them => out [B,H,W,O] = clamp(lrelu(A^T m A * scale + noise + bias)).

    scale [B,O], noise [B,H,W] or [1,H,W], bias [O]
    """
    height, width, size = out.shape[1:]
    tiles = len(range(0, height, TILE)) * wide
    half = np.empty((TILE, SEEN, size), F)
    row = np.empty((TILE, size), F)
    for tile in range(first, last):
        b, y0, x0 = tile // tiles, (tile % tiles) // wide * TILE, tile % wide * TILE
        here = slice((tile - start) * apart, (tile - start) * apart + size)
        for p in range(0, SEEN * SEEN, SEEN):
            h = p // SEEN
            _to_outputs(products[p, here], products[p + 1, here], products[p + 2, here], products[p + 3, here],
                        products[p + 4, here], products[p + 5, here], products[p + 6, here], products[p + 7, here],
                        half[0, h], half[1, h], half[2, h], half[3, h], half[4, h], half[5, h])  # fmt: skip
        for i in range(y0, min(y0 + TILE, height)):
            m = half[i - y0]
            _to_outputs(m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7],
                        row[0], row[1], row[2], row[3], row[4], row[5])  # fmt: skip
            for j in range(x0, min(x0 + TILE, width)):
                _finished(row[j - x0], scale[b], noise[b % len(noise), i, j], bias, slope, clamp, out[b, i, j])


# ---- StyleGAN2's filter [1,3,3,1] after a transposed convolution whose phases are apart


@loop
def _even(odd_before, even, odd, even_after, out):
    """The filter, of sum 2, at an even place."""
    for c in range(out.shape[0]):
        out[c] = F(0.75) * (even[c] + odd[c]) + F(0.25) * (odd_before[c] + even_after[c])


@loop
def _odd(even, odd, even_after, odd_after, out):
    for c in range(out.shape[0]):
        out[c] = F(0.75) * (odd[c] + even_after[c]) + F(0.25) * (even[c] + odd_after[c])


@loop
def filter_phases(even_even, even_odd, odd_even, odd_odd, scale, noise, bias, slope, clamp, first, last, out):
    """The phases y[0::2,0::2] [B,H+1,W+1,O], y[0::2,1::2], y[1::2,0::2], y[1::2,1::2] of maps y [B,2H+1,2W+1,O]
    => out [B,2H,2W,O] = clamp(lrelu(filtered y * scale + noise + bias)); rows first to last, counted over all images.
    """
    batch, high, wide, size = odd_odd.shape
    long, short = (wide + 1) * size, wide * size
    ee, eo = even_even.reshape(batch, high + 1, long), even_odd.reshape(batch, high + 1, short)
    oe, oo = odd_even.reshape(batch, high, long), odd_odd.reshape(batch, high, short)
    nothing, evens, odds, pixel = np.zeros(long, F), np.empty(long, F), np.zeros(long + size, F), np.empty(size, F)
    inner = odds[size:long]  # zeros at both ends
    for row in range(first, last):
        b, i = row // (2 * high), row % (2 * high)
        k = i // 2
        if i % 2 == 0:
            _even(oe[b, k - 1] if k else nothing, ee[b, k], oe[b, k], ee[b, k + 1], evens)
            _even(oo[b, k - 1] if k else nothing[:short], eo[b, k], oo[b, k], eo[b, k + 1], inner)
        else:
            end = k + 1 == high
            _odd(ee[b, k], oe[b, k], ee[b, k + 1], nothing if end else oe[b, k + 1], evens)
            _odd(eo[b, k], oo[b, k], eo[b, k + 1], nothing[:short] if end else oo[b, k + 1], inner)
        for j in range(wide):
            at, after, end = j * size, (j + 1) * size, (j + 2) * size
            _even(odds[at:after], evens[at:after], odds[after:end], evens[after:end], pixel)
            _finished(pixel, scale[b], noise[b % len(noise), i, 2 * j], bias, slope, clamp, out[b, i, 2 * j])
            _odd(evens[at:after], odds[after:end], evens[after:end], odds[end : end + size], pixel)
            _finished(pixel, scale[b], noise[b % len(noise), i, 2 * j + 1], bias, slope, clamp, out[b, i, 2 * j + 1])


# ---- StyleGAN3's leaky ReLU between two low-pass filters: generators/lowpass.py has them


@loop
def _bounded_sum(line, first, step, taps, slope, clamp, out, to, n):
    """out[to : to + n] = clamp(lrelu(sum of taps[k] line[first + k step : ...])), taps [6]; no place is negative."""
    x0, step, to, n = np.uint64(first), np.uint64(step), np.uint64(to), np.uint64(n)
    x1, x2 = x0 + step, x0 + step + step
    x3, x4, x5 = x2 + step, x2 + step + step, x2 + step + step + step
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for c in range(n):
        v = (
            line[x0 + c] * t0 + line[x1 + c] * t1 + line[x2 + c] * t2
            + line[x3 + c] * t3 + line[x4 + c] * t4 + line[x5 + c] * t5
        )  # fmt: skip
        v = v if v > 0 else v * slope
        v = clamp if v > clamp else v
        out[to + c] = -clamp if v < -clamp else v


@loop
def _sum(line, first, step, taps, out, n, add):
    """out (+)= sum of taps[k] line[first + k step : ...], taps [6]; no place is negative."""
    x0, step, n = np.uint64(first), np.uint64(step), np.uint64(n)
    x1, x2 = x0 + step, x0 + step + step
    x3, x4, x5 = x2 + step, x2 + step + step, x2 + step + step + step
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    if add:
        for c in range(n):
            out[c] += (
                line[x0 + c] * t0 + line[x1 + c] * t1 + line[x2 + c] * t2
                + line[x3 + c] * t3 + line[x4 + c] * t4 + line[x5 + c] * t5
            )  # fmt: skip
    else:
        for c in range(n):
            out[c] = (
                line[x0 + c] * t0 + line[x1 + c] * t1 + line[x2 + c] * t2
                + line[x3 + c] * t3 + line[x4 + c] * t4 + line[x5 + c] * t5
            )  # fmt: skip


@loop
def _sum_rows(rows, places, taps, out, add):
    """out (+)= sum of taps[k] rows[places[k]], six of each"""
    x0, x1, x2 = rows[places[0]], rows[places[1]], rows[places[2]]
    x3, x4, x5 = rows[places[3]], rows[places[4]], rows[places[5]]
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    if add:
        for c in range(len(out)):
            out[c] += x0[c] * t0 + x1[c] * t1 + x2[c] * t2 + x3[c] * t3 + x4[c] * t4 + x5[c] * t5
    else:
        for c in range(len(out)):
            out[c] = x0[c] * t0 + x1[c] * t1 + x2[c] * t2 + x3[c] * t3 + x4[c] * t4 + x5[c] * t5


@loop
def _pair(one, other, out):
    for c in range(len(out)):
        out[c] = one[c] + other[c]


@loop
def _widened(padded, starts, up, factor, step, n, slope, clamp, out):
    """clamp(lrelu(a row sampled up)), sample i at out[i % step, i // step]: the phases of the down-sampling lie in one
    piece each."""
    size, plane = len(starts), len(out) // step
    if factor == step:  # whose phases are those of the up-sampling as well
        for phase in range(step):
            count = (size - phase + step - 1) // step * n
            _bounded_sum(padded, starts[phase] * n, n, up[phase], slope, clamp, out, phase * plane, count)
    else:
        for i in range(size):
            to = (i % step) * plane + (i // step) * n
            _bounded_sum(padded, starts[i] * n, n, up[i], slope, clamp, out, to, n)


@loop
def _narrowed(row, down, step, n, out, add):
    """out[j] (+)= sum of down[k] times sample j step + k of a row as _widened leaves it"""
    plane = len(row) // step
    for phase in range(step):
        at = phase * plane
        for k in range(0, len(down) // step, TAPS):
            taps = down[phase + k * step : phase + (k + TAPS) * step : step]
            _sum(row, at + k * n, n, taps, out, len(out), add or phase > 0 or k > 0)


@loop
def filtered_lrelu(x, factor, starts, up, down, step, slope, clamp, first, last, out):
    """x [H,W,C] => out [h,w,C]: sampled up along both axes, clamp(lrelu(.)), sampled down; channels first to last.

    Sample i of the S at the higher rate is the sum of up[i,k] x[starts[i] + k], with zeros around x. Sample i of the
    result is that of down[k] of the samples i step + k, along both axes for down [1,N]; for down [N/2,N] that of
    down[j,k] of both the rows i step + j and i step + N - 1 - j. N is six for each step.
    """
    high, wide, channels = x.shape
    half, taps = down.shape
    size, (small, across_out) = len(starts), out.shape[:2]
    rows, results = x.reshape(high, wide * channels), out.reshape(small, across_out * channels)
    left, right = max(0, -starts[0]), max(0, starts[-1] + TAPS - wide)
    n, places, place = last - first, starts + left, np.empty(TAPS, np.int64)
    seen = np.zeros((TAPS + 1, (left + wide + right) * n), F)  # rows of x between zeros; the last one stays empty
    tall, result = np.zeros(seen.shape[1], F), np.zeros(across_out * n, F)
    between = np.zeros((taps if half > 1 else 1, (size + step - 1) // step * step * n), F)  # at the higher rate
    narrow = np.zeros((taps, len(result)), F)  # rows sampled down along W
    pair, done = np.zeros(between.shape[1], F), 0
    for i in range(size):
        while done < min(starts[i] + TAPS, high):
            for w in range(wide):
                _copied(rows[done], w * channels + first, seen[done % TAPS], (left + w) * n, n)
            done += 1
        for k in range(TAPS):
            place[k] = (starts[i] + k) % TAPS if 0 <= starts[i] + k < high else TAPS
        _sum_rows(seen, place, up[i], tall, False)
        row = between[i % len(between)]
        _widened(tall, places, up, factor, step, n, slope, clamp, row)
        if half == 1:
            _narrowed(row, down[0], step, n, narrow[i % taps], False)
        start = i - taps + 1  # of a row of the result that is done now
        if start < 0 or start % step != 0 or start // step >= small:
            continue
        if half > 1:
            for j in range(half):
                _pair(between[(start + j) % taps], between[(start + taps - 1 - j) % taps], pair)
                _narrowed(pair, down[j], step, n, result, j > 0)
        else:
            for k in range(0, taps, TAPS):
                for t in range(TAPS):
                    place[t] = (start + k + t) % taps
                _sum_rows(narrow, place, down[0, k : k + TAPS], result, k > 0)
        for j in range(across_out):
            _copied(result, j * n, results[start // step], j * channels + first, n)
