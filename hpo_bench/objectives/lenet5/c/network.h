/* What a network is made of, and where everything lies while it is trained. */

enum { KERNEL = 5, SIDE = 32, PIXELS = SIDE * SIDE * 3, C1_SIDE = 14, C3_SIDE = 5 };
enum { C1_MAP = C1_SIDE * C1_SIDE, C3_MAP = C3_SIDE * C3_SIDE };

/* Images that go through the network together; a batch is cut into such parts. What is kept of so
   many for the way back fits into the caches, and a product with the weights of a dense layer has
   columns enough. */
enum { PART = 64 };

/* Weights and biases, in the order of a network's vector. */
enum { C1, C1_BIAS, C3, C3_BIAS, C5, C5_BIAS, F6, F6_BIAS, OUTPUT, OUTPUT_BIAS, N_MATRICES };

/* Weights are kept with every row filled up with zeros to whole vectors, so that no loop needs to
   care for the end of a row. A row of a convolution is a row of one of its kernels. */
typedef struct {
    long rows, columns, stride, at;
} matrix;

/* What Python passes; kernel.py declares the same. */
typedef struct {
    int64_t c1, c3, c5, f6, classes, activation, is_bf16;
} shape;

typedef struct {
    long in, side, out, pooled; /* channels and side of its input, channels and side of its output */
} convolution;

typedef struct {
    float *weights, *gradient, *average, *momentum, *square;
    float *images;       /* normalised, (PART, PIXELS) and some more */
    float *image_lanes;  /* of LANES images, (PIXELS, LANES) */
    float *points;           /* see winograd.h */
    float *pairs, *c3_pairs; /* what C1 and C5 read in bfloat16 */
    float *c1, *c1_lanes; /* maps of C1, (PART, positions, channels) and (positions, channels, LANES) */
    float *c3, *c3_lanes; /* those of C3; the latter of all images, (positions * channels, PART) */
    float *c5, *c5_lanes, *f6, *f6_lanes, *scores, *scores_lanes;
    float *c1_trace, *c3_trace, *trace_lanes; /* see convolution.h */
    float *c5_slope, *f6_slope, *slope_lanes;
    float *c1_error, *c1_error_turned; /* gradients of one image */
    float *c3_error, *c3_error_turned, *c3_trace_turned;
    float *c5_error, *f6_error, *scores_error; /* gradients, (PART, units) */
    float *c1_packed, *c3_packed, *c5_packed;  /* weights in the order of the forward loops */
    float *c1_bias_lanes, *c3_bias_lanes; /* gradients of biases, summed up in lanes: (channels, LANES) */
    list winners;
    int32_t *c1_corners, *c3_corners;
} space;

typedef struct {
    shape is;
    enum activation activation;
    matrix m[N_MATRICES];
    long size; /* of all matrices, in floats */
    convolution first, second;
    long hidden, hidden_row; /* what C5 reads of an image, and the same as a row */
    long c5_row, f6_row, scores_row;
    space at;
} network;

static long set_matrices(network *net) {
    const shape *is = &net->is;
    const long sizes[N_MATRICES][2] = {
        [C1] = {is->c1 * KERNEL, KERNEL * 3},      [C1_BIAS] = {1, is->c1},
        [C3] = {is->c3 * KERNEL, KERNEL * is->c1}, [C3_BIAS] = {1, is->c3},
        [C5] = {is->c5, C3_MAP * is->c3},          [C5_BIAS] = {1, is->c5},
        [F6] = {is->f6, is->c5},                   [F6_BIAS] = {1, is->f6},
        [OUTPUT] = {is->classes, is->f6},          [OUTPUT_BIAS] = {1, is->classes},
    };
    long at = 0;
    for (int i = 0; i < N_MATRICES; i++) {
        long stride = padded(sizes[i][1]);
        net->m[i] = (matrix){sizes[i][0], sizes[i][1], stride, at};
        at += stride * sizes[i][0];
    }
    return at;
}

/* Copy a network's vector, as Python has it, into padded rows; and back. */
static void into_rows(const network *net, const float *plain, float *rows) {
    memset(rows, 0, net->size * sizeof(float));
    for (const matrix *m = net->m; m < net->m + N_MATRICES; m++)
        for (long r = 0; r < m->rows; r++, plain += m->columns)
            memcpy(rows + m->at + r * m->stride, plain, m->columns * sizeof(float));
}

static void out_of_rows(const network *net, const float *rows, float *plain) {
    for (const matrix *m = net->m; m < net->m + N_MATRICES; m++)
        for (long r = 0; r < m->rows; r++, plain += m->columns)
            memcpy(plain, rows + m->at + r * m->stride, m->columns * sizeof(float));
}

/* Take n floats from the space that Python gave, aligned to a line of the cache. Behind each piece
   two vectors stay free: loops may read and write over its end. */
static void *take(char **from, long n) {
    char *piece = *from;
    *from += (n * 4 + 4 * LANES * 4 + 63) / 64 * 64;
    return piece;
}

static void place_states(network *net, char **from) {
    space *at = &net->at;
    float **states[] = {&at->weights, &at->gradient, &at->average, &at->momentum, &at->square};
    for (int i = 0; i < 5; i++) *states[i] = take(from, net->size);
}

/* What is read up to whole vectors, and must be zero where nothing is written. */
static void place_lanes(network *net, char **from) {
    space *at = &net->at;
    at->c3_lanes = take(from, net->hidden_row * PART);
    at->c5_lanes = take(from, net->c5_row * PART);
    at->f6_lanes = take(from, net->f6_row * PART);
    at->scores_lanes = take(from, net->scores_row * PART);
    at->slope_lanes = take(from, (net->c5_row + net->f6_row) * PART);
}

static void place_forward(network *net, char **from) {
    space *at = &net->at;
    const shape *is = &net->is;
    at->images = take(from, PART * PIXELS);
    at->image_lanes = take(from, PIXELS * LANES);
    at->pairs = take(from, PIXELS * LANES);
    at->points = take(from, 36 * is->c1 * C3_SIDE * LANES);
    at->c3_pairs = take(from, net->hidden_row / 2 * PART);
    at->c1_lanes = take(from, padded(C1_MAP * is->c1) * LANES);
    at->trace_lanes = take(from, padded(C1_MAP) * is->c1 * LANES + net->hidden_row * LANES);
    at->c1_packed = take(from, is->c1 * KERNEL * KERNEL * 3);
    at->c3_packed = take(from, is->c3 * 36 * is->c1);
    at->c5_packed = take(from, is->c5 * net->hidden_row);
}

static void place_backward(network *net, char **from) {
    space *at = &net->at;
    const shape *is = &net->is;
    long c1 = C1_MAP * is->c1;
    at->c1 = take(from, PART * padded(c1));
    at->c3 = take(from, PART * net->hidden_row);
    at->c5 = take(from, PART * net->c5_row);
    at->f6 = take(from, PART * net->f6_row);
    at->scores = take(from, PART * net->scores_row);
    at->c1_trace = take(from, PART * is->c1 * padded(C1_MAP));
    at->c3_trace = take(from, (PART + 1) * net->hidden_row);
    at->c5_slope = take(from, PART * net->c5_row);
    at->f6_slope = take(from, PART * net->f6_row);
    at->c1_error = take(from, padded(C1_MAP) * is->c1 + net->m[C3].stride);
    at->c1_error_turned = take(from, padded(is->c1) * padded(C1_MAP));
    at->c3_error = take(from, (PART + 1) * net->hidden_row);
    at->c3_error_turned = take(from, padded(is->c3) * padded(C3_MAP));
    at->c3_trace_turned = take(from, padded(is->c3) * padded(C3_MAP));
    at->c5_error = take(from, PART * net->c5_row);
    at->f6_error = take(from, PART * net->f6_row);
    at->scores_error = take(from, PART * net->scores_row);
    at->c1_bias_lanes = take(from, is->c1 * LANES);
    at->c3_bias_lanes = take(from, is->c3 * LANES);
    long longest = padded(is->c3) + padded(C1_MAP) + LANES;
    at->winners.value = take(from, longest);
    at->winners.place = take(from, longest);
    at->c1_corners = take(from, padded(C1_MAP));
    at->c3_corners = take(from, padded(C3_MAP));
}

static void set_corners(const convolution *of, int32_t *corners) {
    for (long p = 0; p < of->pooled * of->pooled; p++)
        corners[p] = (2 * (p / of->pooled) * of->side + 2 * (p % of->pooled)) * of->in;
}

/* Lay out a network in `memory`, or only count how many bytes that takes if there is none. */
static long lay_out(network *net, const shape *is, char *memory) {
    char *from = memory;
    net->is = *is;
    net->activation = is->activation;
    net->size = set_matrices(net);
    net->first = (convolution){3, SIDE, is->c1, C1_SIDE};
    net->second = (convolution){is->c1, C1_SIDE, is->c3, C3_SIDE};
    net->hidden = C3_MAP * is->c3;
    net->hidden_row = padded(net->hidden);
    net->c5_row = padded(is->c5);
    net->f6_row = padded(is->f6);
    net->scores_row = padded(is->classes);
    place_lanes(net, &from);
    long zeros = from - memory;
    place_states(net, &from);
    place_forward(net, &from);
    place_backward(net, &from);
    if (memory) {
        memset(memory, 0, zeros);
        set_corners(&net->first, net->at.c1_corners);
        set_corners(&net->second, net->at.c3_corners);
    }
    return from - memory;
}
