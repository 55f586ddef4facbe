/* Dense layers are products of matrices: a tile of 6 rows and some vectors of columns is summed up
   in registers. */

/* A product's operands: c = a b + bias, or c += a b. Rows and columns of a at any distances; those
   of b and c have neighbouring columns, a multiple of LANES of them. */
typedef struct {
    long rows, columns, depth;
    const float *a;
    long a_row, a_column;
    const float *b;
    long b_row;
    float *c;
    long c_row;
    const float *bias; /* one for each row; NULL: c is added to */
    int is_bf16;       /* a and b are pairs along the depth */
} product;

INLINE void tile(const product *of, long row, long column, const int m, const int n,
                 const int is_bf16) {
    const float *a = of->a + row * of->a_row, *b = of->b + column;
    float *c = of->c + row * of->c_row + column;
    vector sum[ROWS][COLUMNS];
    UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < n; j++)
        sum[i][j] = of->bias ? all(of->bias[row + i]) : load(c + i * of->c_row + j * LANES);
    for (long k = 0; k < of->depth; k++, a += of->a_column, b += of->b_row) {
        vector right[COLUMNS];
        UNROLL for (int j = 0; j < n; j++) right[j] = load(b + j * LANES);
        UNROLL for (int i = 0; i < m; i++) {
            vector left = all(a[i * of->a_row]);
            UNROLL for (int j = 0; j < n; j++)
                sum[i][j] = multiply_add(left, right[j], sum[i][j], is_bf16);
        }
    }
    UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < n; j++)
        store(c + i * of->c_row + j * LANES, sum[i][j]);
}

INLINE void tiles(const product *of, long column, const int n, const int is_bf16) {
    long row = 0;
    for (; row + ROWS <= of->rows; row += ROWS) tile(of, row, column, ROWS, n, is_bf16);
    switch (of->rows - row) {
    case 1: tile(of, row, column, 1, n, is_bf16); break;
    case 2: tile(of, row, column, 2, n, is_bf16); break;
    case 3: tile(of, row, column, 3, n, is_bf16); break;
    case 4: tile(of, row, column, 4, n, is_bf16); break;
    case 5: tile(of, row, column, 5, n, is_bf16); break;
    }
}

INLINE void multiply_as(const product *of, const int is_bf16) {
    for (long column = 0; column < of->columns; column += COLUMNS * LANES)
        switch (least(COLUMNS, (of->columns - column) / LANES)) {
        case 1: tiles(of, column, 1, is_bf16); break;
        case 2: tiles(of, column, 2, is_bf16); break;
#if COLUMNS == 4
        case 3: tiles(of, column, 3, is_bf16); break;
        case 4: tiles(of, column, 4, is_bf16); break;
#endif
        }
}

static void multiply_f32(const product *of) { multiply_as(of, 0); }

static void multiply_bf16(const product *of) { multiply_as(of, 1); }

static void multiply(const product *of) {
    if (of->is_bf16)
        multiply_bf16(of);
    else
        multiply_f32(of);
}

/* Sum up the rows of a matrix. */
static void add_up_rows(const float *x, long n, long row, float *sum) {
    for (long i = 0; i < n; i++, x += row)
        for (long j = 0; j < row; j += LANES) store(sum + j, load(sum + j) + load(x + j));
}

/* The way back through a dense layer: error, (n, rows of m), is the gradient of its sums. Adds the
   gradients of the weights and biases, and writes that of the input unless x_error is NULL. */
static void dense_backward(const matrix *m, const matrix *bias, const float *weights, long n,
                           const float *error, const float *x, float *x_error, float *gradient) {
    long row = padded(m->rows);
    multiply(&(product){
        .rows = m->rows, .columns = m->stride, .depth = n,
        .a = error, .a_row = 1, .a_column = row,
        .b = x, .b_row = m->stride,
        .c = gradient + m->at, .c_row = m->stride});
    add_up_rows(error, n, row, gradient + bias->at);
    memset(x_error, 0, n * m->stride * sizeof(float));
    multiply(&(product){
        .rows = n, .columns = m->stride, .depth = m->rows,
        .a = error, .a_row = row, .a_column = 1,
        .b = weights + m->at, .b_row = m->stride,
        .c = x_error, .c_row = m->stride});
}
