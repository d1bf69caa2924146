// The systolic array. Activations go east. Either weights stand still in two banks and sums go south, or sums stand still
// in two banks, weights go south, and the sums follow them row by row when they are whole.
module element (
    input logic clk,
    input logic load, load_bank,             // a weight comes by that stays; into which bank
    input logic signed [7:0] weight,
    input logic bank, still, first,          // with a: which bank, whether sums stand still, the first of a sum
    input logic signed [7:0] a, passing,     // what is multiplied, the weight that goes by when sums stand still
    input logic signed [31:0] sum,
    input logic drain, drain_bank,           // sums that stood still leave
    output logic load_east, load_bank_east, bank_east, still_east, first_east,
    output logic signed [7:0] a_east, passing_south,
    output logic signed [31:0] sum_south
);
  logic signed [7:0] held[2];
  logic signed [31:0] kept[2];
  wire signed [31:0] product = a * (still ? passing : held[bank]);
  always_ff @(posedge clk) begin
    if (load) held[load_bank] <= weight;
    if (still) kept[bank] <= product + (first ? 0 : kept[bank]);
    load_east <= load;
    load_bank_east <= load_bank;
    bank_east <= bank;
    still_east <= still;
    first_east <= first;
    a_east <= a;
    passing_south <= passing;
    sum_south <= drain ? kept[drain_bank] : still ? sum : sum + product;
  end
endmodule

module delay #(
    parameter int WIDTH = 8,
    parameter int CYCLES = 1
) (
    input logic clk,
    input logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
  if (CYCLES == 0) begin : none
    assign out = in;
  end else if (CYCLES == 1) begin : one
    always_ff @(posedge clk) out <= in;
  end else begin : some
    logic [CYCLES*WIDTH-1:0] held;
    always_ff @(posedge clk) held <= {held[(CYCLES-1)*WIDTH-1:0], in};
    assign out = held[CYCLES*WIDTH-1-:WIDTH];
  end
endmodule

// A row of activations enters a cycle, a row of weights is stored a cycle; a row of sums leaves LATENCY cycles behind its
// activations. Skew on the way in and out is the array's own.
module array #(
    parameter int ROWS = 8,
    parameter int COLS = 8
) (
    input logic clk,
    input logic [ROWS-1:0][7:0] a,
    input logic bank, still, first,
    input logic load, load_bank,
    input logic [$clog2(ROWS)-1:0] load_row,
    input logic drain, drain_bank,
    input logic [COLS-1:0][7:0] weights,
    output logic [COLS-1:0][31:0] sums
);
  logic [ROWS-1:0][COLS:0] loads, load_banks, banks, stills, firsts;
  logic [ROWS:0][COLS-1:0][7:0] passing;
  logic [COLS-1:0] drains, drain_banks;
  logic [ROWS-1:0][COLS:0][7:0] as;
  logic [ROWS:0][COLS-1:0][31:0] partial;
  assign partial[0] = '0;

  for (genvar r = 0; r < ROWS; r++) begin : row
    delay #(.WIDTH(11), .CYCLES(r)) skew (
        .clk, .in({bank, still, first, a[r]}), .out({banks[r][0], stills[r][0], firsts[r][0], as[r][0]})
    );
    assign loads[r][0] = load && load_row == ($clog2(ROWS))'(r);
    assign load_banks[r][0] = load_bank;
    for (genvar c = 0; c < COLS; c++) begin : column
      element pe (
          .clk, .load(loads[r][c]), .load_bank(load_banks[r][c]), .weight(passing[0][c]), .bank(banks[r][c]),
          .still(stills[r][c]), .first(firsts[r][c]), .a(as[r][c]), .passing(passing[r][c]), .sum(partial[r][c]),
          .drain(drains[c]), .drain_bank(drain_banks[c]), .load_east(loads[r][c+1]),
          .load_bank_east(load_banks[r][c+1]), .bank_east(banks[r][c+1]), .still_east(stills[r][c+1]),
          .first_east(firsts[r][c+1]), .a_east(as[r][c+1]), .passing_south(passing[r+1][c]), .sum_south(partial[r+1][c])
      );
    end
  end

  for (genvar c = 0; c < COLS; c++) begin : column_skew
    delay #(.WIDTH(8), .CYCLES(c)) skew (.clk, .in(weights[c]), .out(passing[0][c]));
    delay #(.WIDTH(2), .CYCLES(c)) drain_skew (.clk, .in({drain, drain_bank}), .out({drains[c], drain_banks[c]}));
    delay #(.WIDTH(32), .CYCLES(COLS - 1 - c)) straighten (.clk, .in(partial[ROWS][c]), .out(sums[c]));
  end
endmodule
