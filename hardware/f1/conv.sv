// The overlay's array: PIXELS of a line by ROWS input channels by COLS output channels a cycle. The sums of a group of
// pixels and output channels are whole after all taps of the window and all input channels, one step a cycle, and then go
// to psum; groups follow one another without a gap, output channels inside of pixels.
module products import shell_pkg::*; import isa_pkg::*; #(
    parameter int ROWS = 8,
    parameter int COLS = 8,
    parameter int PIXELS = 4,
    parameter int STILL = 1
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
    input logic [ROWS*COLS-1:0][7:0] weight_data,
    output logic [PIXELS-1:0] a_read,
    output logic [PIXELS-1:0][23:0] a_address,
    input logic [PIXELS*ROWS-1:0][7:0] a_data,
    output logic [PIXELS-1:0] sum_read, sum_write,
    output logic [PIXELS-1:0][21:0] sum_read_address, sum_write_address,
    output logic [7:0] sum_write_count,
    input logic [PIXELS-1:0][COLS-1:0][31:0] sum_read_data,
    output logic [PIXELS-1:0][COLS-1:0][31:0] sum_write_data
);
  // Cycles from a step to its dot products: 3 to read, 2 to multiply, the levels of the tree that adds up.
  localparam int DOTS = 5 + $clog2(ROWS);

  // ---- where a step reads -----------------------------------------------------------------------------------------
  // A product and the one behind it, which is taken up while the first still steps.
  product_t p, next;
  logic [SEMAPHORES-1:0] p_signals, next_signals;
  logic active, waiting;
  logic settling;  // a product that adds to sums begins a cycle later, when those of the one before are written
  logic [15:0] i0, i1, j, t0;
  logic [5:0] t1, t2;
  logic [23:0] line, pixel, tap2, tap1, weight_tile, weight, sum_line, sum_pixel;

  wire t0_end = t0 + 16'(ROWS) >= p.k0;
  wire t1_end = t1 + 1 == p.k1;
  wire t2_end = t2 + 1 == p.k2;
  wire whole = t0_end && t1_end && t2_end;          // the last step of a group
  wire tile_end = whole && j + 16'(COLS) >= p.n;    // of all output channels
  wire line_end = tile_end && i0 + 16'(PIXELS) >= p.m0;
  wire product_end = line_end && i1 + 1 == p.m1;
  wire [15:0] pixels_left = p.m0 - i0;
  wire [15:0] channels_left = p.k0 - t0;
  wire [15:0] outputs_left = p.n - j;
  wire step = active && !settling;
  wire over = step && product_end;
  assign ready = !waiting;

  logic [PIXELS-1:0] held;  // pixels that the line has
  always_comb for (int x = 0; x < PIXELS; x++) held[x] = 16'(x) < pixels_left;
  always_ff @(posedge clk) begin
    a_read <= step ? held : '0;
    weight_read <= step;
    weight_address <= weight;
    for (int x = 0; x < PIXELS; x++) a_address[x] <= line + pixel + 24'(x) * 24'(p.am0) + tap1 + 24'(t0);
  end

  always_ff @(posedge clk) begin
    product_t begun;
    logic begins;
    begins = start && (!active || over && !waiting);
    begun = product;
    if (reset) begin
      active <= 0;
      waiting <= 0;
      fault <= 0;
    end else begin
      if (start) fault <= fault || product.c[1:0] != 0 || product.pitch[1:0] != 0;  // sums are words
      if (over) active <= waiting || start;
      if (!active && start) active <= 1;
      if (over) waiting <= 0;
      if (start && active && !over) begin
        next <= product;
        next_signals <= masks.signals;
        waiting <= 1;
      end
      if (over && waiting) begin
        begins = 1;
        begun = next;
      end
      settling <= 0;
      if (step) begin
        weight <= weight + 24'(ROWS * COLS);
        t0 <= t0_end ? 0 : t0 + 16'(ROWS);
        if (t0_end) begin
          t1 <= t1_end ? 0 : t1 + 1;
          tap1 <= t1_end ? tap2 + 24'(p.ak2) : tap1 + 24'(p.ak1);
          if (t1_end) begin
            t2 <= t2 + 1;
            tap2 <= tap2 + 24'(p.ak2);
          end
        end
        if (whole) begin
          t2 <= 0;
          tap1 <= 0;
          tap2 <= 0;
          j <= j + 16'(COLS);
        end
        if (tile_end) begin
          j <= 0;
          weight <= p.w;
          i0 <= i0 + 16'(PIXELS);
          pixel <= pixel + 24'(PIXELS) * 24'(p.am0);
          sum_pixel <= sum_pixel + 24'(PIXELS) * 24'(p.pitch);
        end
        if (line_end) begin
          i0 <= 0;
          pixel <= 0;
          i1 <= i1 + 1;
          line <= line + 24'(p.am1);
          sum_pixel <= sum_line + 24'(p.m0) * 24'(p.pitch);
          sum_line <= sum_line + 24'(p.m0) * 24'(p.pitch);
        end
      end
      if (begins) begin
        p <= begun;
        settling <= begun.accumulate;
        p_signals <= over && waiting ? next_signals : masks.signals;
        i0 <= 0;
        i1 <= 0;
        j <= 0;
        t0 <= 0;
        t1 <= 0;
        t2 <= 0;
        line <= begun.a;
        pixel <= 0;
        tap1 <= 0;
        tap2 <= 0;
        weight <= begun.w;
        sum_line <= begun.c;
        sum_pixel <= begun.c;
      end
    end
  end

  // ---- the array and the sums -------------------------------------------------------------------------------------
  typedef struct packed {
    logic valid, first, whole, add, last;
    logic [SEMAPHORES-1:0] signals;
    logic [PIXELS-1:0] held;
    logic [7:0] channels, outputs;
    logic [23:0] sum, pitch;
  } step_t;
  step_t stepping, adding, writing;
  step_t [DOTS:0] travelling;
  assign stepping = '{
      valid: step && !reset, first: t0 == 0 && t1 == 0 && t2 == 0, whole: whole, add: p.accumulate, last: product_end,
      signals: p_signals, held: held, channels: channels_left < 16'(ROWS) ? 8'(channels_left) : 8'(ROWS),
      outputs: outputs_left < 16'(COLS) ? 8'(outputs_left) : 8'(COLS), sum: sum_pixel + 24'(4 * j), pitch: 24'(p.pitch)
  };
  always_ff @(posedge clk) travelling <= reset ? '0 : {travelling[DOTS-1:0], stepping};

  logic [PIXELS-1:0][ROWS-1:0][7:0] a;
  logic [COLS-1:0][ROWS-1:0][7:0] b;
  always_ff @(posedge clk)
    for (int t = 0; t < ROWS; t++) begin
      for (int x = 0; x < PIXELS; x++)
        a[x][t] <= travelling[1].held[x] && 8'(t) < travelling[1].channels ? a_data[x*ROWS+t] : 8'd0;
      for (int k = 0; k < COLS; k++) b[k][t] <= weight_data[t*COLS+k];
    end
  logic [PIXELS-1:0][COLS-1:0][31:0] dots, totals;
  array #(.ROWS(ROWS), .COLS(COLS), .PIXELS(PIXELS)) multipliers (.clk, .a, .b, .dots);

  assign adding = travelling[DOTS-1];
  assign writing = travelling[DOTS];
  always_ff @(posedge clk)
    for (int x = 0; x < PIXELS; x++)
      for (int k = 0; k < COLS; k++)
        totals[x][k] <= dots[x][k] + (adding.first ? 32'd0 : totals[x][k]);
  always_comb
    for (int x = 0; x < PIXELS; x++) begin
      sum_read[x] = adding.valid && adding.whole && adding.add && adding.held[x];
      sum_read_address[x] = 22'((adding.sum + 24'(x) * adding.pitch) >> 2);
      sum_write[x] = writing.valid && writing.whole && writing.held[x];
      sum_write_address[x] = 22'((writing.sum + 24'(x) * writing.pitch) >> 2);
      for (int k = 0; k < COLS; k++)
        sum_write_data[x][k] = totals[x][k] + (writing.add ? sum_read_data[x][k] : 32'd0);
    end
  assign sum_write_count = writing.outputs;

  always_ff @(posedge clk) begin
    done <= writing.valid && writing.last && !reset;
    signals <= writing.signals;
  end
  logic [DOTS:0] busy;
  always_comb for (int s = 0; s <= DOTS; s++) busy[s] = travelling[s].valid;
  assign idle = !active && busy == 0 && !done;
endmodule
