/* LeNet5: forwards, loss, backwards, and what Python calls. */

/* Where a part of a batch stands, for dropout to draw by. */
typedef struct {
    double share;
    uint64_t seed;
    long batch, size, first; /* number of the batch, images in it, the part's first image */
} dropout;

/* Scramble the bits of a counter ("lowbias32", C. Wellons, "Prospecting for hash functions"). */
INLINE words scrambled(words x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

/* What dropout multiplies `LANES` images of one unit with: dropout.py draws the same numbers. */
INLINE vector kept(const dropout *of, int layer, long unit, long width, long image) {
    const words up = COUNT_UP;
    uint32_t first = ((of->batch * 2 + layer) * of->size + of->first + image) * width + unit;
    words draw = scrambled(up * (uint32_t)width + first + (uint32_t)of->seed);
    draw = scrambled(draw + (uint32_t)(of->seed >> 32));
    integers is_kept = draw >= (uint32_t)(of->share * 4294967296.0);
    return choose(is_kept, all(1 / (1 - of->share)), all(0));
}

/* Activate the sums of C5 or F6, (units, PART), in place, and keep the slopes; layer: 0 or 1. */
static void activate_dense(const network *net, float *x, float *slopes, long units, long n,
                           int layer, const dropout *left_out) {
    for (long u = 0; u < units; u++)
        for (long i = 0; i < n; i += LANES) {
            vector slope, value = activated(net->activation, load(x + u * PART + i), &slope);
            if (left_out && left_out->share > 0) {
                vector factor = kept(left_out, layer, u, units, i);
                value *= factor;
                slope *= factor;
            }
            store(x + u * PART + i, value);
            if (slopes) store(slopes + u * PART + i, slope);
        }
}

static void pack_weights(network *net) {
    const space *at = &net->at;
    const matrix *c1 = &net->m[C1], *c3 = &net->m[C3], *c5 = &net->m[C5];
    pack_kernels(&net->first, at->weights + c1->at, c1->stride, net->is.is_bf16, at->c1_packed);
    pack_points(&net->second, at->weights + c3->at, c3->stride, at->c3_packed);
    if (net->is.is_bf16)
        pair_neighbours(at->weights + c5->at, c5->rows * c5->stride, at->c5_packed);
}

/* C1: a block of LANES images from normalised pixels to maps. */
static void c1_forward(network *net, long block, int is_training) {
    const space *at = &net->at;
    const float *images = at->images + block * LANES * PIXELS;
    float *trace = is_training ? at->trace_lanes : 0;
    const float *x = at->image_lanes;
    to_lanes(images, PIXELS, PIXELS, at->image_lanes, LANES);
    if (net->is.is_bf16) {
        pair_lanes(x, PIXELS, at->pairs);
        x = at->pairs;
    }
    convolution_forward(&net->first, x, at->c1_packed, at->weights + net->m[C1_BIAS].at,
                        net->is.is_bf16, net->activation, at->c1_lanes, LANES, trace);
    if (!is_training) return;
    long channels = net->is.c1, map = C1_MAP * channels, places = padded(C1_MAP);
    from_lanes(at->c1_lanes, LANES, map, at->c1 + block * LANES * padded(map), padded(map));
    float *turned = at->c1_trace + block * LANES * channels * places;
    for (long c = 0; c < channels; c++)
        from_lanes(trace + c * LANES, channels * LANES, places, turned + c * places,
                   channels * places);
}

static void c3_forward(network *net, long block, int is_training) {
    const space *at = &net->at;
    float *trace = is_training ? at->trace_lanes : 0;
    winograd_forward(&net->second, at->c1_lanes, at->c3_packed, at->weights + net->m[C3_BIAS].at,
                     net->activation, at->c3_lanes + block * LANES, PART, trace, at->points);
    if (is_training)
        from_lanes(trace, LANES, net->hidden, at->c3_trace + block * LANES * net->hidden_row,
                   net->hidden_row);
}

/* A dense layer's sums for n images: (units, PART) from (inputs, PART). */
static void dense_forward(const network *net, int layer, const float *x, float *out, long n) {
    const matrix *m = &net->m[layer];
    multiply(&(product){
        .rows = m->rows, .columns = padded(n), .depth = m->columns,
        .a = net->at.weights + m->at, .a_row = m->stride, .a_column = 1,
        .b = x, .b_row = PART,
        .c = out, .c_row = PART,
        .bias = net->at.weights + net->m[layer + 1].at});
}

static void c5_forward_bf16(const network *net, long n) {
    const space *at = &net->at;
    const matrix *m = &net->m[C5];
    for (long i = 0; i < m->columns; i += 2)
        for (long j = 0; j < padded(n); j += LANES)
            store(at->c3_pairs + i / 2 * PART + j,
                  pair(load(at->c3_lanes + i * PART + j), load(at->c3_lanes + (i + 1) * PART + j)));
    multiply(&(product){
        .rows = m->rows, .columns = padded(n), .depth = (m->columns + 1) / 2,
        .a = at->c5_packed, .a_row = m->stride / 2, .a_column = 1,
        .b = at->c3_pairs, .b_row = PART,
        .c = at->c5_lanes, .c_row = PART,
        .bias = at->weights + net->m[C5_BIAS].at,
        .is_bf16 = 1});
}

/* (units, PART) -> (PART, units), each row filled up to whole vectors. */
static void turn(const float *lanes, long units, long n, float *rows) {
    for (long i = 0; i < n; i += LANES)
        from_lanes(lanes + i, PART, units, rows + i * padded(units), padded(units));
}

/* Run n images through the network; their scores are left in (classes, PART). */
static void forward(network *net, const selection *images, long first, long n, int is_training,
                    const dropout *left_out) {
    const space *at = &net->at;
    const shape *is = &net->is;
    float *c5_slopes = is_training ? at->slope_lanes : 0;
    float *f6_slopes = is_training ? at->slope_lanes + net->c5_row * PART : 0;
    for (long i = 0; i < n; i++) load_image(images, first + i, at->images + i * PIXELS);
    for (long block = 0; block * LANES < n; block++) {
        c1_forward(net, block, is_training);
        c3_forward(net, block, is_training);
    }
    if (is->is_bf16)
        c5_forward_bf16(net, n);
    else
        dense_forward(net, C5, at->c3_lanes, at->c5_lanes, n);
    activate_dense(net, at->c5_lanes, c5_slopes, is->c5, n, 0, left_out);
    dense_forward(net, F6, at->c5_lanes, at->f6_lanes, n);
    activate_dense(net, at->f6_lanes, f6_slopes, is->f6, n, 1, left_out);
    dense_forward(net, OUTPUT, at->f6_lanes, at->scores_lanes, n);
    if (!is_training) return;
    turn(at->c3_lanes, net->hidden, n, at->c3);
    turn(at->c5_lanes, is->c5, n, at->c5);
    turn(at->f6_lanes, is->f6, n, at->f6);
    turn(c5_slopes, is->c5, n, at->c5_slope);
    turn(f6_slopes, is->f6, n, at->f6_slope);
}

/* Turn scores into the gradient of the batch's mean cross-entropy: the networks' shares less those
   that are wanted, divided by the size of the batch. */
static void loss_backward(network *net, const int64_t *labels, long n, const recipe *how) {
    const space *at = &net->at;
    long classes = net->is.classes;
    float *scores = at->scores_lanes;
    float others = how->label_smoothing / classes, wanted = 1 - how->label_smoothing + others;
    for (long i = 0; i < n; i += LANES) {
        vector most = load(scores + i), sum = all(0);
        for (long c = 1; c < classes; c++) {
            vector x = load(scores + c * PART + i);
            most = choose(x > most, x, most);
        }
        for (long c = 0; c < classes; c++) {
            vector e = exponential(load(scores + c * PART + i) - most);
            store(scores + c * PART + i, e);
            sum += e;
        }
        for (long c = 0; c < classes; c++) {
            vector share = load(scores + c * PART + i) / sum;
            store(scores + c * PART + i, (share - others) / (float)how->batch_size);
        }
    }
    turn(scores, classes, n, at->scores_error);
    for (long i = 0; i < n; i++)
        at->scores_error[i * net->scores_row + labels[i]] -= (wanted - others) / how->batch_size;
}

static void multiply_each(float *x, const float *by, long n) {
    for (long i = 0; i < n; i += LANES) store(x + i, load(x + i) * load(by + i));
}

/* One image's (places, channels) -> (channels, places), each row filled up with what lies behind it. */
static void turn_places(const float *x, long places, long channels, float *turned) {
    long row = padded(places);
    for (long c = 0; c < channels; c += LANES)
        from_lanes(x + c, channels, places, turned + c * row, row);
}

/* C3's gradient of its input, which is C1's output: c1_error, of one image. */
static void c3_backward_data(network *net, long image) {
    const space *at = &net->at;
    const matrix *m = &net->m[C3];
    list winners = at->winners;
    memset(at->c1_error, 0, C1_MAP * net->is.c1 * sizeof(float));
    convolution_backward_data(&net->second, at->c3_error + image * net->hidden_row,
                              at->c3_trace + image * net->hidden_row, at->weights + m->at,
                              m->stride, at->c1_error, &winners);
}

static void c3_backward_weights(network *net, long image) {
    const space *at = &net->at;
    const matrix *m = &net->m[C3];
    list winners = at->winners;
    turn_places(at->c3_error + image * net->hidden_row, C3_MAP, net->is.c3, at->c3_error_turned);
    turn_places(at->c3_trace + image * net->hidden_row, C3_MAP, net->is.c3, at->c3_trace_turned);
    convolution_backward_weights(&net->second, at->c3_error_turned, at->c3_trace_turned,
                                 at->c3_corners, at->c1 + image * padded(C1_MAP * net->is.c1),
                                 at->gradient + m->at, m->stride, at->c3_bias_lanes, &winners);
}

static void c1_backward_weights(network *net, long image) {
    const space *at = &net->at;
    const matrix *m = &net->m[C1];
    long channels = net->is.c1;
    list winners = at->winners;
    turn_places(at->c1_error, C1_MAP, channels, at->c1_error_turned);
    convolution_backward_weights(&net->first, at->c1_error_turned,
                                 at->c1_trace + image * channels * padded(C1_MAP), at->c1_corners,
                                 at->images + image * PIXELS, at->gradient + m->at, m->stride,
                                 at->c1_bias_lanes, &winners);
}

static void backward(network *net, long n) {
    const space *at = &net->at;
    const matrix *m = net->m;
    dense_backward(&m[OUTPUT], &m[OUTPUT_BIAS], at->weights, n, at->scores_error, at->f6,
                   at->f6_error, at->gradient);
    multiply_each(at->f6_error, at->f6_slope, n * net->f6_row);
    dense_backward(&m[F6], &m[F6_BIAS], at->weights, n, at->f6_error, at->c5, at->c5_error,
                   at->gradient);
    multiply_each(at->c5_error, at->c5_slope, n * net->c5_row);
    dense_backward(&m[C5], &m[C5_BIAS], at->weights, n, at->c5_error, at->c3, at->c3_error,
                   at->gradient);
    for (long image = 0; image < n; image++) {
        c3_backward_data(net, image);
        c3_backward_weights(net, image);
        c1_backward_weights(net, image);
    }
}

/* Sum up what the lanes hold of the biases' gradients, and clear what was written behind rows. */
static void finish_gradient(network *net) {
    const space *at = &net->at;
    for (long c = 0; c < net->is.c1; c++)
        at->gradient[net->m[C1_BIAS].at + c] = total(load(at->c1_bias_lanes + c * LANES));
    for (long c = 0; c < net->is.c3; c++)
        at->gradient[net->m[C3_BIAS].at + c] = total(load(at->c3_bias_lanes + c * LANES));
    for (int layer = C1; layer <= C3; layer += C3 - C1) {
        const matrix *m = &net->m[layer];
        for (long r = 0; r < m->rows; r++)
            memset(at->gradient + m->at + r * m->stride + m->columns, 0,
                   (m->stride - m->columns) * sizeof(float));
    }
}

static void train_batch(network *net, const recipe *how, const selection *images,
                        const int64_t *labels, long batch) {
    const space *at = &net->at;
    memset(at->gradient, 0, net->size * sizeof(float));
    memset(at->c1_bias_lanes, 0, net->is.c1 * LANES * sizeof(float));
    memset(at->c3_bias_lanes, 0, net->is.c3 * LANES * sizeof(float));
    pack_weights(net);
    for (long first = 0; first < how->batch_size; first += PART) {
        long n = least(PART, how->batch_size - first), from = batch * how->batch_size + first;
        dropout left_out = {how->dropout, how->seed, how->first_batch + batch, how->batch_size,
                            first};
        forward(net, images, from, n, 1, &left_out);
        loss_backward(net, labels + from, n, how);
        backward(net, n);
    }
    finish_gradient(net);
    optimizer_step(net, how, how->step + batch + 1);
}

/* How many bytes of space a network takes. */
int64_t space_needed(const shape *is) {
    network net;
    return lay_out(&net, is, 0);
}

/* Train on n_batches batches of images. `states`: weights, average, momentum and square (NULL for
   sgd), each a network's vector. */
void train(const shape *is, const recipe *how, const selection *images, const int64_t *labels,
           float *const states[4], char *memory) {
    network net;
    lay_out(&net, is, memory);
    float *rows[4] = {net.at.weights, net.at.average, net.at.momentum, net.at.square};
    for (int i = 0; i < 4; i++)
        if (states[i]) into_rows(&net, states[i], rows[i]);
    for (long batch = 0; batch < how->n_batches; batch++)
        train_batch(&net, how, images, labels, batch);
    for (int i = 0; i < 4; i++)
        if (states[i]) out_of_rows(&net, rows[i], states[i]);
}

/* Say for each of n images which class has the highest score. */
void classify(const shape *is, const float *weights, const selection *images, int64_t n,
              int64_t *classes, char *memory) {
    network net;
    lay_out(&net, is, memory);
    into_rows(&net, weights, net.at.weights);
    pack_weights(&net);
    for (long first = 0; first < n; first += PART) {
        long some = least(PART, n - first);
        forward(&net, images, first, some, 0, 0);
        for (long i = 0; i < some; i++) {
            const float *scores = net.at.scores_lanes + i;
            long best = 0;
            for (long c = 1; c < is->classes; c++)
                if (scores[c * PART] > scores[best * PART]) best = c;
            classes[first + i] = best;
        }
    }
}
