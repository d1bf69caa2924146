// The matrix unit. With weights that stand still one half loads them, a row of the array a cycle, and the other streams
// rows of activations over them; the first is a fold ahead, into the next product if need be. With sums that stand still a
// step of the sum enters a cycle, and while the next fold runs the sums leave row by row. What the array gives is added to
// the accumulators.
module products import shell_pkg::*; import isa_pkg::*; #(
    parameter int ROWS = 8,
    parameter int COLS = 8,
    parameter int PIXELS = 1,
    parameter int STILL = 1  // the number of the mapping in which sums stand still
) (
    input logic clk, reset,
    input logic start,
    input product_t product,
    input masks_t masks,
    output logic ready, done, idle,
    output logic [SEMAPHORES-1:0] signals,
    output logic fault,
    output logic weight_read,
    output logic [23:0] weight_address,
    input logic [COLS-1:0][7:0] weight_data,
    output logic [ROWS-1:0] a_read,
    output logic [ROWS-1:0][23:0] a_address,
    input logic [ROWS-1:0][7:0] a_data,
    output logic sum_read, sum_write,
    output logic [21:0] sum_read_address, sum_write_address,
    output logic [7:0] sum_write_count,
    input logic [COLS-1:0][31:0] sum_read_data,
    output logic [COLS-1:0][31:0] sum_write_data
);
  localparam int DEPTH = ROWS + COLS;  // cycles from a row of activations at the array to its sums
  localparam int BITS = $clog2(ROWS);

  // products whose weights are being loaded or streamed over
  product_t products[4];
  logic [SEMAPHORES-1:0] product_signals[4];
  logic [1:0] newest, oldest;

  // ---- loading weights --------------------------------------------------------------------------------------------
  logic loading;
  logic [15:0] folds_left;
  logic [23:0] weight_at;
  logic [BITS-1:0] weight_row;
  logic [31:0] loaded, streamed;  // folds, of all products
  wire may_load = loaded <= streamed + 1;
  wire [15:0] deep = (product.k0 + 16'(ROWS) - 1) / 16'(ROWS);
  wire [15:0] wide = (product.n + 16'(COLS) - 1) / 16'(COLS);
  wire stepping;  // a step of sums that stand still reads weights
  logic [23:0] step_weight;
  wire load_read = loading && may_load && !stepping;
  assign weight_read = load_read || stepping;
  assign weight_address = stepping ? step_weight : weight_at;
  wire fold_loaded = load_read && weight_row == BITS'(ROWS - 1);
  wire product_loaded = fold_loaded && folds_left == 1;
  assign ready = (!loading || product_loaded) && newest + 2'd1 != oldest && newest + 2'd2 != oldest;

  logic load, load_bank;
  logic [BITS-1:0] load_row;
  always_ff @(posedge clk) begin
    load <= load_read && !reset;
    load_bank <= loaded[0];
    load_row <= weight_row;
    if (start) begin
      products[newest] <= product;
      product_signals[newest] <= masks.signals;
    end
    if (reset) begin
      loading <= 0;
      newest <= 0;
      loaded <= 0;
      weight_row <= 0;
    end else begin
      if (load_read) begin
        weight_at <= weight_at + 24'(COLS);
        weight_row <= fold_loaded ? 0 : weight_row + 1;
      end
      if (fold_loaded) begin
        loaded <= loaded + 1;
        folds_left <= folds_left - 1;
      end
      if (product_loaded) loading <= 0;
      if (start) begin
        loading <= product.mapping != 2'(STILL);
        newest <= newest + 1;
        weight_at <= product.w;
        folds_left <= deep * wide * 16'(product.k1) * 16'(product.k2);
      end
    end
  end

  // ---- streaming activations --------------------------------------------------------------------------------------
  product_t p;
  assign p = products[oldest];
  logic [15:0] i0, i1, j;
  logic [15:0] t0;  // of the fold, in elements
  logic [5:0] t1, t2;
  logic [23:0] tap2, tap1, outer, inner;  // addresses without what lies inside of them
  logic [19:0] sum_at;
  logic fresh;                            // the registers above are those of the next product
  logic [7:0] settling;                   // cycles in which sums that stood still are still on their way

  wire have = newest != oldest && !fresh;
  wire still = p.mapping == 2'(STILL);
  wire [23:0] first_tap = still ? 24'd0 : p.a;
  wire t1_end = t1 + 1 == p.k1;
  wire t2_end = t2 + 1 == p.k2;
  wire last_tile = j + 16'(COLS) >= p.n;
  wire [15:0] wide_left = p.n - j;
  wire [7:0] tile_width = wide_left < 16'(COLS) ? 8'(wide_left) : 8'(COLS);

  wire streaming = have && !still && loaded > streamed && settling == 0;
  wire row_end = i0 + 1 == p.m0;
  wire fold_end = streaming && row_end && i1 + 1 == p.m1;
  wire t0_end = t0 + (still ? 16'd1 : 16'(ROWS)) >= p.k0;
  wire tile_end = fold_end && t0_end && t1_end && t2_end;
  wire first_fold = t0 == 0 && t1 == 0 && t2 == 0;

  typedef struct packed {
    logic valid, add, last;
    logic [SEMAPHORES-1:0] signals;
    logic [19:0] address;
    logic [7:0] count;
  } sum_t;
  sum_t entering, draining;   // `draining`: the sums that leave, the last row of the array first
  logic [7:0] drain_row;

  // sums that stand still: a tile of rows from `row` on, a step a cycle, at least as many cycles as sums take to leave
  logic [23:0] row;
  logic [15:0] waited;
  logic summed, still_bank;  // all steps of the fold were taken; where its sums stand
  wire [23:0] all_rows = 24'(p.m0) * 24'(p.m1);
  wire [23:0] rows_left = all_rows - row;
  wire leaving = draining.valid && drain_row != 0;  // sums of the fold before, which those of this one must not overtake
  wire at_last_step = t0_end && t1_end && t2_end;
  assign stepping = have && still && !summed && !(at_last_step && leaving);
  assign a_read = {ROWS{streaming || stepping}};
  assign fault = 0;
  wire last_step = stepping && at_last_step;
  wire still_end = have && still && (summed || last_step) && waited + 1 >= 16'(ROWS);
  wire rows_end = still_end && last_tile;
  wire product_end = still ? rows_end && rows_left <= 24'(ROWS) : tile_end && last_tile;

  logic [ROWS-1:0][23:0] row_address;
  function automatic logic [ROWS-1:0][23:0] rows_of(input product_t q, input logic [23:0] from);
    logic [ROWS-1:0][23:0] found;
    for (int r = 0; r < ROWS; r++)
      found[r] = q.a + ((from + 24'(r)) / 24'(q.m0)) * q.am1 + ((from + 24'(r)) % 24'(q.m0)) * q.am0;
    return found;
  endfunction
  wire [23:0] tap = tap1 + 24'(t0);
  always_comb for (int r = 0; r < ROWS; r++) a_address[r] = tap + (still ? row_address[r] : outer + inner + 24'(r));

  logic entering_bank, entering_streams, entering_still, entering_first, entering_whole;
  logic [7:0] entering_rows, drain_rows;
  logic [15:0] drain_pitch;
  wire [15:0] deep_left = p.k0 - t0;

  wire [23:0] depth = (24'(p.k0) + 24'(ROWS) - 1) / 24'(ROWS) * 24'(ROWS);
  always_ff @(posedge clk) begin
    entering <= '{valid: streaming && !reset, add: p.accumulate || !first_fold, last: product_end,
                  signals: product_signals[oldest], address: sum_at, count: tile_width};
    if (draining.valid) begin
      entering <= draining;
      entering.valid <= drain_row < drain_rows;
      entering.last <= draining.last && drain_row == 0;
      entering.address <= draining.address + 20'(drain_row) * 20'(drain_pitch);
      drain_row <= drain_row - 1;
      if (drain_row == 0) draining.valid <= 0;
    end
    entering_bank <= still ? still_bank : streamed[0];
    entering_still <= stepping;
    entering_streams <= streaming;
    entering_first <= first_fold;
    entering_whole <= last_step;
    entering_rows <= still ? (rows_left < 24'(ROWS) ? 8'(rows_left) : 8'(ROWS))
        : deep_left < 16'(ROWS) ? 8'(deep_left) : 8'(ROWS);
    if (reset) begin
      oldest <= 0;
      streamed <= 0;
      fresh <= 1;
      draining <= '0;
      settling <= 0;
    end else begin
      if (stepping) settling <= 8'(2 * ROWS);
      else if (settling != 0) settling <= settling - 1;
      if (streaming) begin
        sum_at <= sum_at + 20'(p.pitch);
        i0 <= row_end ? 0 : i0 + 1;
        inner <= row_end ? 0 : inner + p.am0;
        if (row_end) begin
          i1 <= i1 + 1;
          outer <= outer + p.am1;
        end
      end
      if (fold_end) begin
        streamed <= streamed + 1;
        i1 <= 0;
        outer <= 0;
        sum_at <= p.c + 20'(j);
      end
      if (fold_end || stepping) begin
        t0 <= t0_end ? 0 : t0 + (still ? 16'd1 : 16'(ROWS));
        if (t0_end) begin
          t1 <= t1_end ? 0 : t1 + 1;
          tap1 <= t1_end ? (t2_end ? first_tap : tap2 + p.ak2) : tap1 + p.ak1;
          if (t1_end) begin
            t2 <= t2_end ? 0 : t2 + 1;
            tap2 <= t2_end ? first_tap : tap2 + p.ak2;
          end
        end
      end
      if (tile_end) begin
        j <= j + 16'(COLS);
        sum_at <= p.c + 20'(j) + 20'(COLS);
      end
      if (stepping) step_weight <= step_weight + (t0_end ? (depth - 24'(t0)) * 24'(COLS) : 24'(COLS));
      if (have && still) waited <= waited + 1;
      if (last_step) begin
        summed <= 1;
        draining <= '{valid: 1, add: p.accumulate, last: last_tile && rows_left <= 24'(ROWS), signals: product_signals[oldest],
                      address: p.c + 20'(j) + 20'(row) * 20'(p.pitch), count: tile_width};
        drain_row <= 8'(ROWS - 1);
        drain_rows <= rows_left < 24'(ROWS) ? 8'(rows_left) : 8'(ROWS);
        drain_pitch <= p.pitch;
      end
      if (still_end) begin
        summed <= 0;
        waited <= 0;
        still_bank <= !still_bank;
        j <= j + 16'(COLS);
      end
      if (rows_end) begin
        j <= 0;
        row <= row + 24'(ROWS);
        row_address <= rows_of(p, row + 24'(ROWS));
        step_weight <= p.w;
      end
      if (product_end) begin
        oldest <= oldest + 1;
        fresh <= 1;
      end
      if (newest != oldest && fresh || product_end && newest != oldest + 2'd1) begin
        product_t next;
        next = product_end ? products[oldest+1] : p;
        fresh <= 0;
        i0 <= 0;
        i1 <= 0;
        j <= 0;
        t0 <= 0;
        t1 <= 0;
        t2 <= 0;
        tap2 <= next.mapping == 2'(STILL) ? 0 : next.a;
        tap1 <= next.mapping == 2'(STILL) ? 0 : next.a;
        outer <= 0;
        inner <= 0;
        sum_at <= next.c;
        row <= 0;
        row_address <= rows_of(next, 0);
        step_weight <= next.w;
        summed <= 0;
        waited <= 0;
      end
    end
  end

  // ---- the array and the accumulators -----------------------------------------------------------------------------
  logic [ROWS-1:0][7:0] a;
  always_comb
    for (int r = 0; r < ROWS; r++) a[r] = (entering_streams || entering_still) && 8'(r) < entering_rows ? a_data[r] : 8'd0;
  logic [COLS-1:0][31:0] sums, sums_held;
  logic drain, drain_bank;
  delay #(.WIDTH(2), .CYCLES(ROWS)) whole (.clk, .in({entering_whole, entering_bank}), .out({drain, drain_bank}));
  array #(.ROWS(ROWS), .COLS(COLS)) multipliers (
      .clk, .a, .bank(entering_bank), .still(entering_still), .first(entering_first), .load, .load_bank, .load_row,
      .drain, .drain_bank, .weights(weight_data), .sums
  );

  // Sums leave DEPTH - 1 cycles behind; what they are added to is read in the cycle before they are.
  sum_t [DEPTH-1:0] travelling;
  always_ff @(posedge clk) begin
    travelling <= reset ? '0 : {travelling[DEPTH-2:0], entering};
  end
  sum_t reading, writing;
  assign reading = travelling[DEPTH-2];
  assign writing = travelling[DEPTH-1];
  assign sum_read = reading.valid && reading.add;
  assign sum_read_address = 22'(reading.address);
  assign sum_write = writing.valid;
  assign sum_write_address = 22'(writing.address);
  assign sum_write_count = writing.count;
  // Rows that follow one another may share sums: what one writes while the next one reads is handed on.
  logic handed_on;
  logic signed [20:0] behind;  // the first lane that is read, from the first one that is written
  logic [7:0] written_count;
  logic [COLS-1:0][31:0] written;
  always_ff @(posedge clk) begin
    sums_held <= sums;
    handed_on <= sum_read && sum_write;
    behind <= 21'(reading.address) - 21'(writing.address);
    written <= sum_write_data;
    written_count <= writing.count;
  end
  always_comb begin
    logic signed [20:0] lane;
    for (int k = 0; k < COLS; k++) begin
      lane = behind + 21'(k);
      sum_write_data[k] = sums_held[k] + (!writing.add ? 32'd0
          : handed_on && lane >= 0 && lane < 21'(written_count) ? written[lane] : sum_read_data[k]);
    end
  end

  always_ff @(posedge clk) begin
    done <= writing.valid && writing.last && !reset;
    signals <= writing.signals;
  end
  logic [DEPTH-1:0] busy;
  always_comb for (int s = 0; s < DEPTH; s++) busy[s] = travelling[s].valid;
  assign idle = newest == oldest && !loading && !draining.valid && !entering.valid && busy == 0 && !done;
endmodule
