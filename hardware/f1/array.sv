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
  localparam int LEAVES = 1 << LEVELS;
  // A tree numbered from its root 1 on: below node n are 2n and 2n + 1, from LEAVES on they are the products.
  for (genvar n = 2 * LEAVES - 1; n > 0; n--) begin : node
    logic signed [15+LEVELS:0] sum;
    if (n < LEAVES) begin : inner
      always_ff @(posedge clk) sum <= node[2*n].sum + node[2*n+1].sum;
    end else if (n - LEAVES < ROWS) begin : product
      logic signed [7:0] left, right;
      always_ff @(posedge clk) begin
        left <= a[n-LEAVES];
        right <= b[n-LEAVES];
        sum <= left * right;
      end
    end else begin : none
      assign sum = 0;
    end
  end
  assign dot = 32'(node[1].sum);
endmodule
