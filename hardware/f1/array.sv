// Dot products of ROWS factors each, for PIXELS times COLS pairs: registers behind the operands and the products, and
// behind each level of the tree that adds them up.
module array #(
    parameter int ROWS = 8,
    parameter int COLS = 8,
    parameter int PIXELS = 4
) (
    input logic clk,
    input logic [PIXELS-1:0][ROWS-1:0][7:0] a,
    input logic [COLS-1:0][ROWS-1:0][7:0] b,
    output logic [PIXELS-1:0][COLS-1:0][31:0] dots
);
  for (genvar x = 0; x < PIXELS; x++) begin : pixel
    for (genvar k = 0; k < COLS; k++) begin : column
      dot #(.ROWS(ROWS)) sum (.clk, .a(a[x]), .b(b[k]), .dot(dots[x][k]));
    end
  end
endmodule

module dot #(
    parameter int ROWS = 8
) (
    input logic clk,
    input logic [ROWS-1:0][7:0] a, b,
    output logic [31:0] dot
);
  localparam int LEVELS = $clog2(ROWS);
  localparam int WIDEST = 1 << LEVELS;
  logic [LEVELS:0][WIDEST-1:0][15+LEVELS:0] level;  // level 0 are the products
  for (genvar t = 0; t < WIDEST; t++) begin : factor
    if (t < ROWS) begin : some
      logic signed [7:0] left, right;
      wire signed [15:0] product = left * right;
      always_ff @(posedge clk) begin
        left <= a[t];
        right <= b[t];
        level[0][t] <= (16 + LEVELS)'(product);
      end
    end else begin : none
      assign level[0][t] = '0;
    end
  end
  for (genvar l = 1; l <= LEVELS; l++) begin : adder
    for (genvar t = 0; t < WIDEST >> l; t++) begin : pair
      always_ff @(posedge clk) level[l][t] <= level[l-1][2*t] + level[l-1][2*t+1];
    end
  end
  assign dot = 32'(signed'(level[LEVELS][0]));
endmodule
