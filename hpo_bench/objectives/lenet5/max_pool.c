/* Max pooling over squares of 2x2 in NHWC memory, forwards and backwards.

   torch's own pooling vectorises over channels, of which LeNet5 has few; here whole rows are
   compared. Values and gradients are those of torch to the bit: of equal values the first one in
   reading order wins, and what is not a number wins over everything. */

#include <stdint.h>
#include <string.h>

typedef uint16_t bfloat16;

static inline float value_float(float x) { return x; }

static inline float value_bfloat16(bfloat16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* x: (n, height, width, c); out and winner: (n, height / 2, width / 2, c).
   winner: which of the four has won, 0 to 3 in reading order. */
#define FORWARD(T)                                                                                 \
    void forward_##T(const T *restrict x, T *restrict out, uint8_t *restrict winner, long n,       \
                     long height, long width, long c) {                                            \
        long row = width * c;                                                                      \
        T column[row], best[row];                                                                  \
        uint8_t from[row], won[row];                                                               \
        for (long y = 0; y < n * height / 2; y++) {                                                \
            const T *upper = x + 2 * y * row, *lower = upper + row;                                \
            for (long i = 0; i < row; i++) {                                                       \
                float a = value_##T(upper[i]), b = value_##T(lower[i]);                            \
                uint8_t below = (b > a) | (b != b);                                                \
                column[i] = below ? lower[i] : upper[i];                                           \
                from[i] = 2 * below;                                                               \
            }                                                                                      \
            /* Also for pairs that straddle two squares, which are not read: it is one loop. */    \
            for (long i = 0; i < row - c; i++) {                                                   \
                float a = value_##T(column[i]), b = value_##T(column[i + c]);                      \
                uint8_t beside = (b > a) | (b != b) | ((b == a) & (from[i + c] < from[i]));        \
                best[i] = beside ? column[i + c] : column[i];                                      \
                won[i] = beside ? from[i + c] + 1 : from[i];                                       \
            }                                                                                      \
            for (long i = 0; i < row; i += 2 * c) {                                                \
                memcpy(out, best + i, c * sizeof(T));                                              \
                memcpy(winner, won + i, c);                                                        \
                out += c, winner += c;                                                             \
            }                                                                                      \
        }                                                                                          \
    }

/* gradient and winner: (n, height / 2, width / 2, c); x: (n, height, width, c), all written. */
#define BACKWARD(T)                                                                                \
    void backward_##T(const T *restrict gradient, const uint8_t *restrict winner, T *restrict x,   \
                      long n, long height, long width, long c) {                                   \
        long row = width * c;                                                                      \
        T spread[row];                                                                             \
        uint8_t to[row];                                                                           \
        for (long y = 0; y < n * height / 2; y++) {                                                \
            for (long i = 0; i < row; i += 2 * c) {                                                \
                memcpy(spread + i, gradient, c * sizeof(T));                                       \
                memcpy(spread + i + c, gradient, c * sizeof(T));                                   \
                for (long j = 0; j < c; j++) {                                                     \
                    to[i + j] = winner[j];                                                         \
                    to[i + c + j] = winner[j] - 1;                                                 \
                }                                                                                  \
                gradient += c, winner += c;                                                        \
            }                                                                                      \
            T *restrict upper = x + 2 * y * row, *restrict lower = upper + row;                    \
            for (long i = 0; i < row; i++) {                                                       \
                upper[i] = to[i] == 0 ? spread[i] : 0;                                             \
                lower[i] = to[i] == 2 ? spread[i] : 0;                                             \
            }                                                                                      \
        }                                                                                          \
    }

FORWARD(float)
FORWARD(bfloat16)
BACKWARD(float)
BACKWARD(bfloat16)
