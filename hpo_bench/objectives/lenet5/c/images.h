/* Images on their way into the network: picked, moved, flipped, normalised. */

/* What becomes of the images of a batch; arrays of one entry for each image. */
typedef struct {
    const uint8_t *pixels;  /* of all images of the source, (all, 32, 32, 3) */
    const int64_t *order;   /* which of them */
    const uint8_t *flipped; /* left to right; NULL: none */
    const int64_t *down, *right; /* how far they are moved, plus CROP; NULL: not at all */
} selection;

enum { CROP = 4, ROW = SIDE * 3, HALF = ROW / 2 };

static void moved(const uint8_t *from, long down, long right, uint8_t *to) {
    for (long y = 0; y < SIDE; y++, to += ROW) {
        long row = least(y + down > 0 ? y + down : 0, SIDE - 1);
        for (long x = 0; x < SIDE; x++) {
            long column = least(x + right > 0 ? x + right : 0, SIDE - 1);
            memcpy(to + 3 * x, from + row * ROW + 3 * column, 3);
        }
    }
}

typedef uint8_t bytes __attribute__((vector_size(64)));

/* Put 16 pixels, which are 48 bytes, in reverse order. */
static void reversed(const uint8_t *from, uint8_t *to) {
    bytes v = {0};
    memcpy(&v, from, HALF);
    v = __builtin_shufflevector(v, v,
        45, 46, 47, 42, 43, 44, 39, 40, 41, 36, 37, 38, 33, 34, 35, 30,
        31, 32, 27, 28, 29, 24, 25, 26, 21, 22, 23, 18, 19, 20, 15, 16,
        17, 12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2,
        48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63);
    memcpy(to, &v, HALF);
}

static void flipped(const uint8_t *from, uint8_t *to) {
    for (long y = 0; y < SIDE; y++, from += ROW, to += ROW) {
        reversed(from + HALF, to);
        reversed(from, to + HALF);
    }
}

/* Write image i of a selection around 0: the spread of natural images is a quarter of the range. */
static void load_image(const selection *of, long i, float *restrict to) {
    uint8_t cropped[PIXELS], turned[PIXELS];
    const uint8_t *image = of->pixels + of->order[i] * PIXELS;
    if (of->down) {
        moved(image, of->down[i] - CROP, of->right[i] - CROP, cropped);
        image = cropped;
    }
    if (of->flipped && of->flipped[i]) {
        flipped(image, turned);
        image = turned;
    }
    const uint8_t *restrict from = image;
    for (long j = 0; j < PIXELS; j++) to[j] = ((float)from[j] - 127.5f) / 64.0f;
}
