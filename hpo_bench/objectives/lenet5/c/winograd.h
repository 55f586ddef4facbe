/* C3 forwards, with 36 products where the loops of convolution.h need 100.

   Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for
   Convolutional Neural Networks", CVPR 2016: a square of 2x2 outputs is A' [(G g G') * (B' d B)] A,
   for kernels g of 5x5 and their window d of 6x6. Polynomials are evaluated at 0, 1, -1, 2, -2 and
   infinity. The transformed numbers are 36 points of frequency, so to speak, each a product of
   matrices: (channels, in) times (in, places * LANES).

   C1 has too few input channels for that: transforming would take as long as multiplying. */

enum { TAPS = 6, POINTS = TAPS * TAPS, PLACES = C3_SIDE };

/* Output channels at a time: KERNELS x PLACES sums. */
#if LANES == 16
#define KERNELS 4
#else
#define KERNELS 2
#endif

/* G, of five numbers at a distance. */
INLINE void kernel_points(const vector *g, long step, vector *to, long to_step) {
    vector even = g[0] + g[2 * step] + g[4 * step], odd = g[step] + g[3 * step];
    vector even2 = (g[0] + 4.0f * g[2 * step] + 16.0f * g[4 * step]) / 24.0f;
    vector odd2 = (g[step] + 4.0f * g[3 * step]) / 12.0f;
    to[0] = 0.25f * g[0];
    to[to_step] = (even + odd) / -6.0f;
    to[2 * to_step] = (even - odd) / -6.0f;
    to[3 * to_step] = even2 + odd2;
    to[4 * to_step] = even2 - odd2;
    to[5 * to_step] = g[4 * step];
}

/* B', of six numbers. */
INLINE void window_points(const vector d[TAPS], vector to[TAPS]) {
    vector a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    vector c = d[4] - d[2], e = d[3] - d[1];
    to[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    to[1] = a + b;
    to[2] = a - b;
    to[3] = c + 2.0f * e;
    to[4] = c - 2.0f * e;
    to[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

/* A', of six numbers. */
INLINE void outputs(const vector m[TAPS], vector to[2]) {
    to[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]);
    to[1] = (m[1] - m[2]) + 2.0f * (m[3] - m[4]) + m[5];
}

/* Transform the kernels and put those of KERNELS output channels side by side:
   (blocks, POINTS, in, channels of the block). */
static void pack_points(const convolution *of, const float *weights, long row, float *packed) {
    for (long o = 0; o < of->out; o++) {
        long first = o / KERNELS * KERNELS, n = least(KERNELS, of->out - first);
        float *to = packed + first * POINTS * of->in + o - first;
        for (long c = 0; c < of->in; c += LANES) {
            vector g[KERNEL * KERNEL], half[TAPS * KERNEL], whole[POINTS];
            for (long y = 0; y < KERNEL; y++)
                for (long x = 0; x < KERNEL; x++)
                    g[y * KERNEL + x] = load(weights + (o * KERNEL + y) * row + x * of->in + c);
            for (long x = 0; x < KERNEL; x++) kernel_points(g + x, KERNEL, half + x, KERNEL);
            for (long y = 0; y < TAPS; y++) kernel_points(half + y * KERNEL, 1, whole + y * TAPS, 1);
            long channels = least(LANES, of->in - c);
            for (long f = 0; f < POINTS; f++)
                for (long i = 0; i < channels; i++) to[(f * of->in + c + i) * n] = whole[f][i];
        }
    }
}

/* Transform the windows of a row of places: (POINTS, in, PLACES, LANES). */
static void window_row(const convolution *of, const float *x, float *points) {
    for (long c = 0; c < of->in; c++) {
        vector half[TAPS][C1_SIDE];
        for (long column = 0; column < of->side; column++) {
            vector d[TAPS], to[TAPS];
            UNROLL for (int y = 0; y < TAPS; y++)
                d[y] = load(x + ((y * of->side + column) * of->in + c) * LANES);
            window_points(d, to);
            UNROLL for (int y = 0; y < TAPS; y++) half[y][column] = to[y];
        }
        for (long y = 0; y < TAPS; y++)
            for (long place = 0; place < PLACES; place++) {
                vector to[TAPS];
                window_points(half[y] + 2 * place, to);
                UNROLL for (int i = 0; i < TAPS; i++)
                    store(points + (((y * TAPS + i) * of->in + c) * PLACES + place) * LANES, to[i]);
            }
    }
}

/* Multiply and sum up over the input channels, for n output channels. */
INLINE void multiply_points(const float *points, const float *packed, long in, const int n,
                            vector sums[POINTS][KERNELS][PLACES]) {
    for (long f = 0; f < POINTS; f++) {
        vector sum[KERNELS][PLACES];
        UNROLL for (int j = 0; j < n; j++) UNROLL for (int p = 0; p < PLACES; p++)
            sum[j][p] = all(0);
        for (long c = 0; c < in; c++, points += PLACES * LANES, packed += n) {
            vector x[PLACES];
            UNROLL for (int p = 0; p < PLACES; p++) x[p] = load(points + p * LANES);
            UNROLL for (int j = 0; j < n; j++) UNROLL for (int p = 0; p < PLACES; p++)
                sum[j][p] += all(packed[j]) * x[p];
        }
        UNROLL for (int j = 0; j < n; j++) UNROLL for (int p = 0; p < PLACES; p++)
            sums[f][j][p] = sum[j][p];
    }
}

/* The four outputs of a place of one channel. */
INLINE void square_of(vector sums[POINTS][KERNELS][PLACES], int channel, int place, float bias,
                      vector square[4][CHANNELS]) {
    vector half[2][TAPS], to[2];
    UNROLL for (int x = 0; x < TAPS; x++) {
        vector m[TAPS];
        UNROLL for (int y = 0; y < TAPS; y++) m[y] = sums[y * TAPS + x][channel][place];
        outputs(m, to);
        half[0][x] = to[0];
        half[1][x] = to[1];
    }
    UNROLL for (int y = 0; y < 2; y++) {
        outputs(half[y], to);
        square[2 * y][0] = to[0] + all(bias);
        square[2 * y + 1][0] = to[1] + all(bias);
    }
}

/* What convolution_forward does; `points` is room for a row of places. */
static void winograd_forward(const convolution *of, const float *x, const float *packed,
                             const float *bias, enum activation kind, float *out, long out_row,
                             float *trace, float *points) {
    vector sums[POINTS][KERNELS][PLACES];
    for (long py = 0; py < of->pooled; py++) {
        window_row(of, x + 2 * py * of->side * of->in * LANES, points);
        for (long first = 0; first < of->out; first += KERNELS) {
            int n = least(KERNELS, of->out - first);
            const float *of_block = packed + first * POINTS * of->in;
            switch (n) {
            case 1: multiply_points(points, of_block, of->in, 1, sums); break;
            case 2: multiply_points(points, of_block, of->in, 2, sums); break;
#if KERNELS == 4
            case 3: multiply_points(points, of_block, of->in, 3, sums); break;
            case 4: multiply_points(points, of_block, of->in, 4, sums); break;
#endif
            }
            for (int j = 0; j < n; j++)
                for (int px = 0; px < PLACES; px++) {
                    vector square[4][CHANNELS];
                    long at = (py * PLACES + px) * of->out + first + j;
                    square_of(sums, j, px, bias[first + j], square);
                    pool(square, 1, kind, out + at * out_row, out_row,
                         trace ? trace + at * LANES : 0);
                }
        }
    }
}
