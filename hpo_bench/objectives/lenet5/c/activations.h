/* Activations, and their slopes. Values that are not numbers stay so. */

enum activation { RELU, LEAKY_RELU, TANH, GELU, SILU };

/* e^x to 1e-7 of it, x between -87 and 88 and cut to that: 2^n times a polynomial (Cephes). */
INLINE vector exponential(vector x) {
    x = choose(x < -87.3f, all(-87.3f), x);
    x = choose(x > 88.3f, all(88.3f), x);
    const vector shift = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    vector scaled = x * 1.44269504f + shift, n = scaled - shift;
    x = x - n * 0.693359375f;
    x = x + n * 2.12194440e-4f;
    vector p = x * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * x * x + x + 1.0f;
    /* The lowest bits of `scaled` are n; they become the exponent of 2^n. */
    return p * (vector)(((words)scaled << 23) + (127u << 23));
}

INLINE vector absolute(vector x) { return (vector)((words)x & 0x7fffffffu); }

INLINE vector hyperbolic_tangent(vector x) {
    vector size = absolute(x), square = x * x;
    vector t = exponential(-2.0f * size);
    vector far = (1.0f - t) / (1.0f + t);
    far = (vector)((words)far | ((words)x & 0x80000000u));
    /* Near 0 the difference above would lose digits; Cephes' polynomial does not. */
    vector p = square * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    return choose(size < 0.625f, p * square * x + x, far);
}

/* The share of a normal distribution below x, and its density there. Abramowitz and Stegun,
   "Handbook of Mathematical Functions", 7.1.26: an error of 1e-7 at most. */
INLINE vector normal_share(vector x, vector *density) {
    vector e = exponential(-0.5f * x * x);
    vector t = 1.0f / (1.0f + 0.2316418882f * absolute(x)); /* 0.3275911 / sqrt(2) */
    vector p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vector tail = 0.5f * p * t * e;
    *density = 0.3989422804f * e;
    return choose(x < 0.0f, tail, 1.0f - tail);
}

/* The value of an activation at x, and its slope there. */
INLINE vector activated(enum activation kind, vector x, vector *slope) {
    vector share, density;
    switch (kind) {
    case RELU:
        *slope = choose(x <= 0.0f, all(0), all(1));
        return choose(x < 0.0f, all(0), x);
    case LEAKY_RELU:
        *slope = choose(x <= 0.0f, all(0.01f), all(1));
        return *slope * x;
    case TANH:
        share = hyperbolic_tangent(x);
        *slope = 1.0f - share * share;
        return share;
    case GELU:
        share = normal_share(x, &density);
        *slope = share + x * density;
        return x * share;
    default:
        share = 1.0f / (1.0f + exponential(-x));
        *slope = share + x * share * (1.0f - share);
        return x * share;
    }
}

/* gelu and silu fall up to a point and then rise; the others never fall. */
INLINE int is_monotone(enum activation kind) { return kind != GELU && kind != SILU; }
