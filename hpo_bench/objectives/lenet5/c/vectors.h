/* Vectors as gcc and clang have them on every processor, and what needs a processor's own words.

   The files of this folder are compiled as one, in the order in which kernel.py names them. Where
   an instruction of AVX-512 has no counterpart among the vector extensions, a portable twin stands
   beside it; -DPORTABLE chooses the twins, so that tests can compare the two. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if !defined(PORTABLE) && defined(__AVX512F__)
#define HAS_COMPRESS 1
#include <immintrin.h>
#else
#define HAS_COMPRESS 0
#endif
#if !defined(PORTABLE) && defined(__AVX512BF16__)
#define HAS_BF16_DOT 1
#else
#define HAS_BF16_DOT 0
#endif

/* Tiles are as large as the registers allow: 32 registers of 16 floats, or 16 of 8. */
#if defined(__AVX512F__)
#define LANES 16
#define CHANNELS 6 /* output channels of a convolution at a time: 4 x 6 sums */
#define COLUMNS 4  /* vectors of a product at a time: 6 x 4 sums */
#define TALL 5     /* vectors in a row up to which five rows are summed at a time */
#else
#define LANES 8
#define CHANNELS 2
#define COLUMNS 2
#define TALL 2
#endif
#define ROWS 6
#define WIDE 10 /* vectors of a single row that are summed at a time */

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

INLINE long least(long a, long b) { return a < b ? a : b; }

/* The smallest multiple of LANES that is n or more. */
INLINE long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

INLINE vector load(const float *p) {
    vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vector v) { memcpy(p, &v, sizeof v); }

/* x - 0 is x for every x, which x + 0 is not for -0: compilers drop the subtraction. */
INLINE vector all(float x) { return x - (vector){0}; }

INLINE vector choose(integers where, vector a, vector b) {
    return (vector)((where & (integers)a) | (~where & (integers)b));
}

INLINE integers choose_integers(integers where, integers a, integers b) {
    return (where & a) | (~where & b);
}

INLINE float total(vector v) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += v[i];
    return sum;
}

#if LANES == 16
#define COUNT_UP {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#else
#define COUNT_UP {0, 1, 2, 3, 4, 5, 6, 7}
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#endif

/* Transpose a square of LANES x LANES. Interleaving the first half of the rows with the second
   rotates the bits of an element's index by one: log2(LANES) times that swap row and column. */
INLINE void transpose(const float *from, long from_row, float *to, long to_row) {
    vector a[LANES], b[LANES];
    UNROLL for (int i = 0; i < LANES; i++) a[i] = load(from + i * from_row);
    UNROLL for (int stage = 1; stage < LANES; stage *= 2) {
        UNROLL for (int i = 0; i < LANES / 2; i++) {
            b[2 * i] = __builtin_shufflevector(a[i], a[i + LANES / 2], LOW_HALVES);
            b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + LANES / 2], HIGH_HALVES);
        }
        UNROLL for (int i = 0; i < LANES; i++) a[i] = b[i];
    }
    UNROLL for (int i = 0; i < LANES; i++) store(to + i * to_row, a[i]);
}

/* Transpose LANES rows of n columns into n rows of LANES, or n rows of LANES into LANES rows. What
   lies behind the n is read and written up to a multiple of LANES. */
static void to_lanes(const float *from, long from_row, long n, float *to, long to_row) {
    for (long i = 0; i < n; i += LANES) transpose(from + i, from_row, to + i * to_row, to_row);
}

static void from_lanes(const float *from, long from_row, long n, float *to, long to_row) {
    for (long i = 0; i < n; i += LANES) transpose(from + i * from_row, from_row, to + i, to_row);
}

/* A list of gradients that are not zero, and of where each belongs. */
typedef struct {
    float *value;
    int32_t *place;
    long n;
} list;

/* Append those lanes whose `where` is set (all bits). Whole vectors are written: a list needs room
   for LANES more than it will hold. */
INLINE void append(list *to, integers where, vector values, integers places) {
#if HAS_COMPRESS
    __mmask16 mask = _mm512_movepi32_mask((__m512i)where);
    /* Compressing into a register and storing all of it: into memory takes ten times as long. */
    _mm512_storeu_ps(to->value + to->n, _mm512_maskz_compress_ps(mask, (__m512)values));
    _mm512_storeu_si512(to->place + to->n, _mm512_maskz_compress_epi32(mask, (__m512i)places));
    to->n += __builtin_popcount(mask);
#else
    for (int i = 0; i < LANES; i++) {
        to->value[to->n] = values[i];
        to->place[to->n] = places[i];
        to->n -= where[i];
    }
#endif
}

/* Two numbers in bfloat16 in each word, the first one in the lower half; rounded to nearest even. */
INLINE words rounded(vector v) {
    words bits = (words)v;
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

INLINE vector pair(vector first, vector second) {
    return (vector)(rounded(first) | (rounded(second) << 16));
}

/* Make pairs of neighbours, n of them even. */
static void pair_neighbours(const float *x, long n, float *pairs) {
    for (long i = 0; i < n; i += 2) {
        uint32_t two[2];
        memcpy(two, x + i, sizeof two);
        for (int j = 0; j < 2; j++) two[j] = (two[j] + 0x7fff + (two[j] >> 16 & 1)) >> 16;
        uint32_t both = two[0] | two[1] << 16;
        memcpy(pairs + i / 2, &both, sizeof both);
    }
}

/* sum + a * b; of pairs sum + a.first * b.first + a.second * b.second, in 32 bits. */
INLINE vector multiply_add(vector a, vector b, vector sum, const int is_bf16) {
    if (!is_bf16) return a * b + sum;
#if HAS_BF16_DOT
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    sum += (vector)((words)a << 16) * (vector)((words)b << 16);
    return (vector)((words)a & 0xffff0000u) * (vector)((words)b & 0xffff0000u) + sum;
#endif
}
