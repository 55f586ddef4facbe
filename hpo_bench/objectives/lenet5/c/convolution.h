/* A convolution with kernels of 5x5, 2x2 max pooling and activation, forwards and backwards.

   Forwards the images of a block stand in the lanes of the vectors: x is (side, side, in, LANES).
   Then every width fills the vectors, however narrow the layer, and the four outputs of a pooling
   square stay in registers: three of them are never written.

   Backwards only the winners of the pooling have a gradient, and after relu not all of these: both
   gradients walk lists of what is not zero. There an image is a matrix again, (side, side, in), and
   the five rows of a kernel are five runs of 5 * in neighbouring floats.

   What the way back must know of a winner is one word, its trace: the slope of the activation, with
   the winner's place in its square (0 to 3, in reading order) for its two lowest bits. */

INLINE words trace_of(vector slope, integers place) {
    return ((words)slope & ~3u) | (words)place;
}

INLINE vector slope_in(words trace) { return (vector)(trace & ~3u); }

/* Put the kernels of every CHANNELS output channels side by side, in the order in which the forward
   loop reads them. In bfloat16 two neighbours in a kernel's row are one word; the row's last number
   has the zero behind it for a neighbour. */
static void pack_kernels(const convolution *of, const float *weights, long row, int is_bf16,
                         float *packed) {
    for (long first = 0; first < of->out; first += CHANNELS) {
        long n = least(CHANNELS, of->out - first);
        for (long y = 0; y < KERNEL; y++)
            for (long k = 0; k < KERNEL * of->in; k += 1 + is_bf16)
                for (long j = 0; j < n; j++) {
                    const float *w = weights + ((first + j) * KERNEL + y) * row + k;
                    if (is_bf16)
                        pair_neighbours(w, 2, packed++);
                    else
                        *packed++ = *w;
                }
    }
}

/* Pair every one of n vectors with the next, so that a window may begin anywhere. */
static void pair_lanes(const float *x, long n, float *pairs) {
    for (long i = 0; i < n; i++)
        store(pairs + i * LANES,
              pair(load(x + i * LANES), i + 1 < n ? load(x + (i + 1) * LANES) : all(0)));
}

/* The largest of the four sums of each of n channels, activated, and its trace if there is a place
   for it. Where the activation falls and rises, the largest value is that of the largest or of the
   smallest sum. */
INLINE void pool(vector sum[4][CHANNELS], const int n, enum activation kind, float *out,
                 long out_row, float *trace) {
    UNROLL for (int j = 0; j < n; j++) {
        vector most = sum[0][j], fewest = sum[0][j], slope, other_slope;
        integers most_at = {0}, fewest_at = {0};
        UNROLL for (int q = 1; q < 4; q++) {
            vector x = sum[q][j];
            integers more = (x > most) | (x != x);
            most = choose(more, x, most);
            most_at = choose_integers(more, (integers){0} + q, most_at);
            if (!is_monotone(kind)) {
                integers less = x < fewest;
                fewest = choose(less, x, fewest);
                fewest_at = choose_integers(less, (integers){0} + q, fewest_at);
            }
        }
        vector value = activated(kind, most, &slope);
        if (!is_monotone(kind)) {
            vector other = activated(kind, fewest, &other_slope);
            integers better = other > value;
            value = choose(better, other, value);
            slope = choose(better, other_slope, slope);
            most_at = choose_integers(better, fewest_at, most_at);
        }
        store(out + j * out_row, value);
        if (trace) store(trace + j * LANES, (vector)trace_of(slope, most_at));
    }
}

/* n output channels at one place of the pooled map; x is the corner of its window of 6x6. */
INLINE void pooled_place(const float *x, long side, long in, const float *packed, const float *bias,
                         const int n, const int is_bf16, enum activation kind, float *out,
                         long out_row, float *trace) {
    vector sum[4][CHANNELS];
    UNROLL for (int j = 0; j < n; j++) UNROLL for (int q = 0; q < 4; q++) sum[q][j] = all(bias[j]);
    for (long y = 0; y < KERNEL; y++, x += side * in * LANES) {
        const float *upper = x, *lower = x + side * in * LANES, *right = x + in * LANES;
        const float *lower_right = lower + in * LANES;
        for (long k = 0; k < KERNEL * in * LANES; k += (1 + is_bf16) * LANES, packed += n) {
            vector a = load(upper + k), b = load(right + k);
            vector c = load(lower + k), d = load(lower_right + k);
            UNROLL for (int j = 0; j < n; j++) {
                vector w = all(packed[j]);
                sum[0][j] = multiply_add(w, a, sum[0][j], is_bf16);
                sum[1][j] = multiply_add(w, b, sum[1][j], is_bf16);
                sum[2][j] = multiply_add(w, c, sum[2][j], is_bf16);
                sum[3][j] = multiply_add(w, d, sum[3][j], is_bf16);
            }
        }
    }
    pool(sum, n, kind, out, out_row, trace);
}

/* All places of n output channels. */
INLINE void pooled_map(const convolution *of, const float *x, const float *packed,
                       const float *bias, const int n, const int is_bf16, enum activation kind,
                       float *out, long out_row, float *trace) {
    for (long py = 0; py < of->pooled; py++)
        for (long px = 0; px < of->pooled; px++) {
            long place = (py * of->pooled + px) * of->out;
            const float *corner = x + (2 * py * of->side + 2 * px) * of->in * LANES;
            pooled_place(corner, of->side, of->in, packed, bias, n, is_bf16, kind,
                         out + place * out_row, out_row, trace ? trace + place * LANES : 0);
        }
}

/* Run a block of LANES images through the layer.

   x: (side, side, in, LANES), in bfloat16 each number with the next (pair_lanes). out: (places, channels), every
   number a vector at a distance of out_row. trace: (places, channels, LANES), or NULL. */
static void convolution_forward(const convolution *of, const float *x, const float *packed,
                                const float *bias, int is_bf16, enum activation kind, float *out,
                                long out_row, float *trace) {
    for (long first = 0; first < of->out; first += CHANNELS) {
#define CASE(N)                                                                                    \
    case N:                                                                                        \
        if (is_bf16)                                                                               \
            pooled_map(of, x, packed, bias, N, 1, kind, out, out_row, trace);                  \
        else                                                                                       \
            pooled_map(of, x, packed, bias, N, 0, kind, out, out_row, trace);                  \
        break;
        long n = least(CHANNELS, of->out - first);
        switch (n) {
            CASE(1)
            CASE(2)
#if CHANNELS == 6
            CASE(3)
            CASE(4)
            CASE(5)
            CASE(6)
#endif
        }
#undef CASE
        packed += KERNEL * (is_bf16 ? (KERNEL * of->in + 1) / 2 : KERNEL * of->in) * n;
        bias += n;
        out += n * out_row;
        if (trace) trace += n * LANES;
    }
}

/* out += the sum over a list of value * in[place], for `rows` rows of n vectors each. */
INLINE void add_listed(const list *of, const float *in, long in_row, float *out, long out_row,
                       const int rows, const int n) {
    vector sum[KERNEL][WIDE];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < n; i++)
        sum[r][i] = load(out + r * out_row + i * LANES);
    for (long e = 0; e < of->n; e++) {
        vector value = all(of->value[e]);
        const float *from = in + of->place[e];
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < n; i++)
            sum[r][i] += value * load(from + r * in_row + i * LANES);
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < n; i++)
        store(out + r * out_row + i * LANES, sum[r][i]);
}

/* The same for the five rows of a kernel, n vectors of each. Short rows are done five at a time:
   so many sums keep the multipliers busy. */
static void add_rows(const list *of, const float *in, long in_row, float *out, long out_row,
                     long n) {
    if (n <= TALL) {
        switch (n) {
        case 1: add_listed(of, in, in_row, out, out_row, KERNEL, 1); return;
        case 2: add_listed(of, in, in_row, out, out_row, KERNEL, 2); return;
#if TALL == 5
        case 3: add_listed(of, in, in_row, out, out_row, KERNEL, 3); return;
        case 4: add_listed(of, in, in_row, out, out_row, KERNEL, 4); return;
        case 5: add_listed(of, in, in_row, out, out_row, KERNEL, 5); return;
#endif
        }
    }
    for (long r = 0; r < KERNEL; r++, in += in_row, out += out_row)
        for (long i = 0; i < n; i += WIDE) {
            const float *from = in + i * LANES;
            float *to = out + i * LANES;
            switch (least(WIDE, n - i)) {
            case 1: add_listed(of, from, 0, to, 0, 1, 1); break;
            case 2: add_listed(of, from, 0, to, 0, 1, 2); break;
            case 3: add_listed(of, from, 0, to, 0, 1, 3); break;
            case 4: add_listed(of, from, 0, to, 0, 1, 4); break;
            case 5: add_listed(of, from, 0, to, 0, 1, 5); break;
            case 6: add_listed(of, from, 0, to, 0, 1, 6); break;
            case 7: add_listed(of, from, 0, to, 0, 1, 7); break;
            case 8: add_listed(of, from, 0, to, 0, 1, 8); break;
            case 9: add_listed(of, from, 0, to, 0, 1, 9); break;
            default: add_listed(of, from, 0, to, 0, 1, 10); break;
            }
        }
}

/* Add one image's gradient of the kernels and (in the lanes of bias_lanes) of the biases.

   error and trace: (channels, places), each channel's filled up with anything to whole vectors.
   corners: where the window of each place begins in x, the image as a matrix. */
static void convolution_backward_weights(const convolution *of, const float *error,
                                         const float *trace, const int32_t *corners, const float *x,
                                         float *gradient, long row, float *bias_lanes,
                                         list *winners) {
    const integers up = COUNT_UP;
    long n = of->pooled * of->pooled, places = padded(n), side = of->side * of->in;
    for (long o = 0; o < of->out; o++, error += places, trace += places) {
        vector bias = load(bias_lanes + o * LANES);
        winners->n = 0;
        for (long p = 0; p < places; p += LANES) {
            words word = (words)load(trace + p);
            vector value = load(error + p) * slope_in(word);
            integers right = -(integers)(word & 1), below = -(integers)(word >> 1 & 1);
            integers place = (integers)load((const float *)corners + p);
            place += (right & (int32_t)of->in) + (below & (int32_t)side);
            value = choose(up + (int32_t)p < (int32_t)n, value, all(0));
            append(winners, value != 0.0f, value, place);
            bias += value;
        }
        store(bias_lanes + o * LANES, bias);
        add_rows(winners, x, side, gradient + o * KERNEL * row, row, row / LANES);
    }
}

/* Add the gradient of the layer's input, one image's as a matrix: x_error is zero before.

   error and trace: (places, channels). */
static void convolution_backward_data(const convolution *of, const float *error, const float *trace,
                                      const float *weights, long row, float *x_error, list *winners) {
    const integers up = COUNT_UP;
    long side = of->side * of->in;
    for (long p = 0; p < of->pooled * of->pooled; p++, error += of->out, trace += of->out)
        for (int q = 0; q < 4; q++) {
            winners->n = 0;
            for (long o = 0; o < of->out; o += LANES) {
                words word = (words)load(trace + o);
                vector value = load(error + o) * slope_in(word);
                integers channel = up + (int32_t)o;
                integers here = (value != 0.0f) & ((integers)(word & 3) == q);
                here &= channel < (int32_t)of->out;
                append(winners, here, value, channel * (int32_t)(KERNEL * row));
            }
            if (!winners->n) continue;
            long y = 2 * (p / of->pooled) + (q >> 1), x = 2 * (p % of->pooled) + (q & 1);
            add_rows(winners, weights, row, x_error + y * side + x * of->in, side, row / LANES);
        }
}
