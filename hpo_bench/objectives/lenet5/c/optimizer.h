/* SGD, Adam and AdamW, and the average of the weights: what optimizer.py does, on padded rows. */

enum optimizer { SGD, ADAM, ADAMW };

/* What Python passes; kernel.py declares the same. */
typedef struct {
    int64_t optimizer, batch_size, first_batch, n_batches, step, warm_up, average_decay;
    double learning_rate, momentum, weight_decay, square_decay, epsilon, dropout, label_smoothing;
    uint64_t seed;
} recipe;

static void step_sgd(const space *at, long size, const recipe *how, float rate) {
    float beta = how->momentum, decay = how->weight_decay;
    for (long i = 0; i < size; i++) {
        float gradient = at->gradient[i] + decay * at->weights[i];
        at->momentum[i] = beta * at->momentum[i] + gradient;
        at->weights[i] -= rate * at->momentum[i];
    }
}

static void step_adam(const space *at, long size, const recipe *how, double rate, long step) {
    float *restrict w = at->weights, *restrict m = at->momentum, *restrict s = at->square;
    const float *restrict g = at->gradient;
    int is_decoupled = how->optimizer == ADAMW;
    float kept = is_decoupled ? 1 - rate * how->weight_decay : 1;
    float decay = is_decoupled ? 0 : how->weight_decay;
    float fresh = 1 - how->momentum, square_fresh = 1 - how->square_decay;
    float square_decay = how->square_decay, epsilon = how->epsilon;
    /* The running means start at zero: divided by their total weight they are unbiased. */
    float unbiased = 1 / sqrt(1 - pow(how->square_decay, step));
    float scaled = rate / (1 - pow(how->momentum, step));
    for (long i = 0; i < size; i++) {
        float gradient = g[i] + decay * w[i];
        m[i] += fresh * (gradient - m[i]);
        s[i] = square_decay * s[i] + square_fresh * gradient * gradient;
        w[i] = kept * w[i] - scaled * m[i] / (sqrtf(s[i]) * unbiased + epsilon);
    }
}

/* Make one step, counted from 1, and let the weights enter their average. */
static void optimizer_step(network *net, const recipe *how, long step) {
    const space *at = &net->at;
    double rate = how->learning_rate * (step < how->warm_up ? (double)step / how->warm_up : 1);
    if (how->optimizer == SGD)
        step_sgd(at, net->size, how, rate);
    else
        step_adam(at, net->size, how, rate, step);
    float share = (how->average_decay + 1.0) / (step + how->average_decay);
    for (long i = 0; i < net->size; i++)
        at->average[i] += share * (at->weights[i] - at->average[i]);
}
