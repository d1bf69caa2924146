// An in-order queue of an engine. `depth` is at most MOST.
module queue #(
    parameter int WIDTH = 32,
    parameter int MOST = 16
) (
    input logic clk, reset,
    input logic [15:0] depth,
    input logic push, pop,
    input logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out,
    output logic valid, room
);
  localparam int BITS = $clog2(MOST);
  logic [WIDTH-1:0] items[MOST];
  logic [BITS-1:0] head, tail;
  logic [15:0] count;

  assign out = items[head];
  assign valid = count != 0;
  assign room = count < depth;

  always_ff @(posedge clk) begin
    if (push) items[tail] <= in;
    if (reset) begin
      head <= 0;
      tail <= 0;
      count <= 0;
    end else begin
      if (push) tail <= tail + 1;
      if (pop) head <= head + 1;
      count <= count + 16'(push) - 16'(pop);
    end
  end
endmodule
